"""No training patient in a test: who of a cohort a model has seen, and what follows from it."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from survnode.model.checkpoint import Card
from survnode.model.seen import Identity, SeenPatients
from survnode.train.cohorts.cohort import Cohort, Patient
from survnode.train.cohorts.folds import Fold
from survnode.train.errors import OverlapRefused
from survnode.train.fit.networks import initial

MARK = "Contains training patients"
ALLOW = "--allow-overlap goes on, and marks every result"
OTHERS = "If people who share a PatientID are not the same, give them other identifiers in table and headers."


@dataclass(frozen=True)
class Overlap:
    """Of how many patients a model has seen some.

    Parameters
    ----------
    shared : patients whom the model has seen, by PatientID or by CT
    by_patient_id, by_image : how many of them by each
    patients : of the cohort
    recorded : False where the model does not say whom it has seen
    """

    shared: int
    by_patient_id: int
    by_image: int
    patients: int
    recorded: bool = True

    def __bool__(self) -> bool:
        """Whether something must be said."""
        return self.shared > 0 or not self.recorded

    @property
    def sentence(self) -> str:
        """What every result carries."""
        if not self.recorded:
            return "May contain training patients: the model does not record whom it has seen."
        how = f"{self.by_patient_id} by PatientID, {self.by_image} by CT"
        return f"{MARK}: {self.shared} of {self.patients} ({how})."


def salt_of(cohort: Cohort) -> str:
    """Of the hashes of a cohort: the same cohort trained in the same way gives the same checkpoint."""
    return hashlib.sha256(f"seen patients of {cohort.sha256}".encode()).hexdigest()[:32]


def seen_in(cohort: Cohort, patients: Sequence[Patient]) -> SeenPatients:
    """The record of those patients of a cohort whom a fold has seen."""
    return SeenPatients.of(salt_of(cohort), map(identity, patients))


def identity(patient: Patient) -> Identity:
    """What the patient is recognised by."""
    return Identity(patient.id, patient.key)


def overlap_with(seen: Iterable[SeenPatients] | None, patients: Sequence[Patient]) -> Overlap:
    """Those of ``patients`` whom a model has seen, by the records of its checkpoint; None: it has none."""
    if seen is None:
        return Overlap(0, 0, 0, len(patients), recorded=False)
    records, identities = tuple(seen), [identity(patient) for patient in patients]
    by_patient_id = [any(record.has_patient(it) for record in records) for it in identities]
    by_image = [any(record.has_image(it) for record in records) for it in identities]
    shared = sum(who or image for who, image in zip(by_patient_id, by_image, strict=True))
    return Overlap(shared, sum(by_patient_id), sum(by_image), len(patients))


def overlap_of(first: Cohort, second: Cohort) -> Overlap:
    """Those of ``second`` who are in ``first``."""
    return overlap_with((seen_in(first, first.patients),), second.patients)


def seen_by_initial(init: Path, number: int) -> tuple[SeenPatients, ...] | None:
    """Whom the model has seen that fold ``number`` starts from; None where it does not say."""
    card: Card = initial(init, number).card
    if card.seen is None:
        return None
    return tuple(record.of_member(number % card.members) for record in card.seen)


def overlap_of_folds(init: Path, folds: Sequence[Fold], cohort: Cohort) -> Overlap:
    """Test patients of a fold whom the model that it starts from has seen; between equal splits there are none."""
    tested = [overlap_with(seen_by_initial(init, fold.number), cohort.of(fold.test)) for fold in folds]
    return _sum(tested, len(cohort.patients))


def overlap_of_unseen(init: Path, folds: Sequence[Fold], unseen: Cohort) -> Overlap:
    """Patients of a cohort that all folds measure whom a model has seen that one of them starts from."""
    each = [overlap_with(seen_by_initial(init, fold.number), unseen.patients) for fold in folds]
    return max(each, key=lambda overlap: (not overlap.recorded, overlap.shared))


def mark_or_refuse(overlap: Overlap, cohort: str, model: str, *, allowed: bool, instead: str = "") -> str:
    """The sentence that every result must carry, empty where nobody is shared.

    Parameters
    ----------
    cohort, model : their names
    instead : what can be done without overlap

    Raises
    ------
    OverlapRefused
        Somebody is shared, and it is not allowed.
    """
    if not overlap:
        return ""
    if allowed:
        return overlap.sentence
    if not overlap.recorded:
        msg = f"{model} was made before checkpoints recorded whom they have seen: whether {cohort} holds training"
        raise OverlapRefused(f'{msg} patients cannot be told. {ALLOW} "may contain training patients".')
    how = f"{overlap.by_patient_id} by PatientID, {overlap.by_image} by CT"
    msg = f"{overlap.shared} of {overlap.patients} patients of {cohort} have been seen by {model} ({how}): figures of"
    words = [f"{msg} them say nothing of new patients.", instead, OTHERS if overlap.by_patient_id else ""]
    words.append(f'{ALLOW} "contains training patients".')
    raise OverlapRefused(" ".join(word for word in words if word))


def _sum(overlaps: Sequence[Overlap], patients: int) -> Overlap:
    return Overlap(
        sum(it.shared for it in overlaps),
        sum(it.by_patient_id for it in overlaps),
        sum(it.by_image for it in overlaps),
        patients,
        recorded=all(it.recorded for it in overlaps),
    )
