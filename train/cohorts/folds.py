"""Who trains, who chooses the epoch and who is predicted, in each fold of a cross-validation.

The paper's protocol: ten folds stratified by death within two years, and of what is not tested a tenth, stratified in
the same way, for validation; scikit-learn's generators with seed 42, on the patients in the order of the table.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, train_test_split

from survnode.train.cohorts.errors import FoldsImpossible, FoldsRefused

HEADER = ["patient", "fold", "role"]


class Role(StrEnum):
    """What a patient does in a fold."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Fold:
    """The patients of one fold by their ids, each part in the cohort's order; ``number`` counts from 0."""

    number: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def of(self, role: Role) -> tuple[str, ...]:
        """The patients with that role."""
        return {Role.TRAIN: self.train, Role.VALIDATION: self.validation, Role.TEST: self.test}[role]


def make_folds(
    patient_ids: Sequence[str],
    strata: NDArray[np.bool_],
    *,
    count: int = 10,
    seed: int = 42,
    validation_share: float = 0.1,
) -> tuple[Fold, ...]:
    """The folds of a cohort; the same patients in the same order give the same folds.

    Parameters
    ----------
    patient_ids : in the order of the cohort
    strata : (B,) death within two years, as the cohort counts it
    count : of folds; each patient is in the test part of one
    validation_share : of the patients of a fold that are not tested

    Raises
    ------
    FoldsImpossible
        One of the two outcomes has fewer patients than there are folds.
    """
    fewest = min(int(strata.sum()), int((~strata).sum()))
    if fewest < max(count, 3):
        raise FoldsImpossible(f"{count} folds need {max(count, 3)} patients of each outcome, one has {fewest}.")
    names = np.array(patient_ids, dtype=np.object_)
    splits = StratifiedKFold(count, shuffle=True, random_state=seed).split(strata, strata)
    folds = []
    for number, (rest, test) in enumerate(splits):
        size = validation_share if validation_share * len(rest) > 1 else 2  # one of each outcome at least
        train, validation = train_test_split(rest, test_size=size, stratify=strata[rest], random_state=seed)
        parts = (tuple(map(str, names[np.sort(part)])) for part in (train, validation, test))
        folds.append(Fold(number, *parts))
    return tuple(folds)


def make_holdouts(patient_ids: Sequence[str], *, count: int = 5, seed: int = 42) -> tuple[Fold, ...]:
    """Folds that test nobody, for models that are measured on another cohort: each leaves another part for validation.

    Raises
    ------
    FoldsImpossible
        There are fewer patients than folds.
    """
    if len(patient_ids) < count:
        raise FoldsImpossible(f"{count} folds need {count} patients, there are {len(patient_ids)}.")
    names = np.array(patient_ids, dtype=np.object_)
    parts = np.array_split(np.random.default_rng(seed).permutation(len(names)), count)
    folds = []
    for number, part in enumerate(parts):
        rest = np.setdiff1d(np.arange(len(names)), part)
        train, validation = (tuple(map(str, names[rows])) for rows in (rest, np.sort(part)))
        folds.append(Fold(number, train, validation, test=()))
    return tuple(folds)


def write_folds(path: Path, folds: Iterable[Fold]) -> None:
    """Write one row for each patient of each fold."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for fold in folds:
            for role in Role:
                writer.writerows([patient_id, fold.number, role] for patient_id in fold.of(role))


def read_folds(path: Path) -> tuple[Fold, ...]:
    """The folds that `write_folds` wrote, or that a person wrote in the same way.

    Raises
    ------
    FoldsRefused
        A row cannot be read, a patient has two roles in a fold, or is tested more or less often than once.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error):
        raise FoldsRefused(f"{path.name} must be a CSV table in UTF-8.") from None
    if not rows or rows[0] != HEADER:
        raise FoldsRefused(f"{path.name} must begin with the header {','.join(HEADER)}.")
    parts: dict[int, dict[Role, list[str]]] = {}
    for line, row in enumerate(rows[1:], start=2):
        try:
            patient_id, number, role = row
            parts.setdefault(int(number), {role: [] for role in Role})[Role(role)].append(patient_id)
        except ValueError:
            expected = f"patient, fold number and one of {', '.join(Role)}"
            raise FoldsRefused(f"{path.name}, row {line}: expected {expected}, found {','.join(row)}.") from None
    folds = tuple(Fold(number, *(tuple(parts[number][role]) for role in Role)) for number in sorted(parts))
    _check(path.name, folds)
    return folds


def _check(name: str, folds: Sequence[Fold]) -> None:
    tested = [patient_id for fold in folds for patient_id in fold.test]
    everybody = {patient_id for fold in folds for role in Role for patient_id in fold.of(role)}
    if len(tested) != len(set(tested)) or set(tested) != everybody:
        raise FoldsRefused(f"{name}: each patient must be in the test part of exactly one fold.")
    for fold in folds:
        patients = [patient_id for role in Role for patient_id in fold.of(role)]
        if len(patients) != len(set(patients)):
            raise FoldsRefused(f"{name}: a patient of fold {fold.number} has two roles or is named twice.")
