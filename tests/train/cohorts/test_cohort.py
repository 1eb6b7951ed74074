"""Patients as arrays, and a hash that changes with what a model could learn from them."""

from dataclasses import replace

import pytest

from survnode.train.cohorts.cohort import Cohort, DicomPatient

A = DicomPatient("A", 5.0, True, True, "1.2.3.1", (), "aa")
B = DicomPatient("B", 30.0, True, False, "1.2.3.2", (), "bb")
C = DicomPatient("C", 12.0, False, False, "1.2.3.3", (), "cc")
COHORT = Cohort("mine", (A, B, C))


def test_arrays_are_in_the_order_of_the_patients() -> None:
    assert COHORT.ids == ("A", "B", "C")
    assert COHORT.time_months.tolist() == [5, 30, 12]
    assert COHORT.event.tolist() == [True, True, False]
    assert COHORT.died_within_two_years.tolist() == [True, False, False]


def test_patients_come_in_the_order_in_which_they_are_asked_for() -> None:
    assert COHORT.of(["C", "A"]) == (C, A)
    with pytest.raises(KeyError):
        COHORT.of(["D"])


@pytest.mark.parametrize(
    "other", [{"id": "X"}, {"time_months": 5.1}, {"event": False}, {"died_within_two_years": False}, {"key": "ab"}]
)
def test_hash_changes_with_any_outcome_and_any_ct(other: dict[str, object]) -> None:
    changed = replace(COHORT, patients=(replace(A, **other), B, C))  # type: ignore[arg-type]  # one field of any kind
    assert changed.sha256 != COHORT.sha256


def test_hash_is_of_the_patients_alone() -> None:
    assert replace(COHORT, name="other", computed=True).sha256 == COHORT.sha256
    assert replace(COHORT, patients=(B, A, C)).sha256 != COHORT.sha256  # folds are made in their order
