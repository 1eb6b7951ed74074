"""The paper's folds on the real clinical table, and folds as a file."""

from pathlib import Path

import numpy as np
import pytest

from survnode.train.cohorts.clinical import MonthRule, PatientOutcome, read_clinical
from survnode.train.cohorts.errors import FoldsImpossible, FoldsRefused
from survnode.train.cohorts.folds import Fold, Role, make_folds, make_holdouts, read_folds, write_folds

from ..trees import as_lung1, papers_outcomes


@pytest.fixture(scope="module")
def clinical(shared_data: Path) -> Path:
    return next((shared_data / "NSCLC-Radiomics").glob("*.csv"))


@pytest.fixture(scope="module")
def outcomes(shared_data: Path) -> tuple[PatientOutcome, ...]:
    return papers_outcomes(shared_data)


def deaths(outcomes: tuple[PatientOutcome, ...], rule: MonthRule) -> np.ndarray:
    return np.array([rule.died_within_two_years(one.days, event=one.event) for one in outcomes])


@pytest.fixture(scope="module")
def folds(outcomes: tuple[PatientOutcome, ...]) -> tuple[Fold, ...]:
    return make_folds([one.patient_id for one in outcomes], deaths(outcomes, MonthRule.RELEASED))


def test_whole_lung1_has_422_patients_and_373_deaths(clinical: Path) -> None:
    found = read_clinical(clinical, as_lung1(clinical, clinical.parent).columns).outcomes
    days = np.array([one.days for one in found])
    assert (len(found), sum(one.event for one in found)) == (422, 373)
    assert (days.min(), days.max(), np.median(days)) == (10, 4454, 545.5)


def test_labels_are_251_deaths_as_released_and_247_exactly(outcomes: tuple[PatientOutcome, ...]) -> None:
    assert len(outcomes) == 415
    assert deaths(outcomes, MonthRule.RELEASED).sum() == 251
    assert deaths(outcomes, MonthRule.EXACT).sum() == 247


def test_folds_have_the_papers_sizes(folds: tuple[Fold, ...], outcomes: tuple[PatientOutcome, ...]) -> None:
    sizes = [tuple(len(fold.of(role)) for role in Role) for fold in folds]
    assert sizes == [(335, 38, 42)] * 5 + [(336, 38, 41)] * 5
    died = dict(zip([one.patient_id for one in outcomes], deaths(outcomes, MonthRule.RELEASED), strict=True))
    assert {sum(died[patient] for patient in fold.test) for fold in folds} == {25, 26}


def test_first_patients_tested_are_the_papers(folds: tuple[Fold, ...]) -> None:
    assert folds[0].test[:3] == ("LUNG1-003", "LUNG1-016", "LUNG1-028")
    assert folds[8].test[:3] == ("LUNG1-001", "LUNG1-002", "LUNG1-005")


def test_parts_are_disjoint_and_everybody_is_tested_once(folds: tuple[Fold, ...]) -> None:
    for fold in folds:
        assert len({*fold.train, *fold.validation, *fold.test}) == 415
    assert len({patient for fold in folds for patient in fold.test}) == 415


def test_folds_come_back_from_their_file(folds: tuple[Fold, ...], tmp_path: Path) -> None:
    write_folds(tmp_path / "folds.csv", folds)
    assert read_folds(tmp_path / "folds.csv") == folds
    assert (tmp_path / "folds.csv").read_text().startswith("patient,fold,role\n")


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (["who,fold,role"], "header"),
        (["patient,fold,role", "a,0,teach"], "row 2"),
        (["patient,fold,role", "a,0"], "row 2"),
        (["patient,fold,role", "a,0,test", "b,0,train"], "exactly one"),
        (["patient,fold,role", "a,0,test", "a,1,test"], "exactly one"),
        (["patient,fold,role", "a,0,test", "a,0,train"], "two roles"),
    ],
)
def test_file_that_contradicts_itself_is_refused(tmp_path: Path, rows: list[str], match: str) -> None:
    (tmp_path / "folds.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(FoldsRefused, match=match):
        read_folds(tmp_path / "folds.csv")


def test_too_few_patients_of_one_outcome_are_refused() -> None:
    with pytest.raises(FoldsImpossible, match="one has 2"):
        make_folds([str(number) for number in range(20)], np.arange(20) < 2, count=3)


def test_holdouts_test_nobody_and_validate_everybody_once() -> None:
    ids = [f"P{number}" for number in range(11)]
    holdouts = make_holdouts(ids, count=5, seed=3)
    assert holdouts == make_holdouts(ids, count=5, seed=3) != make_holdouts(ids, count=5, seed=4)
    assert sorted(who for fold in holdouts for who in fold.validation) == sorted(ids)
    for fold in holdouts:
        assert fold.test == ()
        assert set(fold.train) == set(ids) - set(fold.validation)
        assert list(fold.train) == [who for who in ids if who in fold.train]  # in the cohort's order
    with pytest.raises(FoldsImpossible, match="there are 4"):
        make_holdouts(ids[:4], count=5)
