"""Nobody is left out in silence."""

import csv
from pathlib import Path

import pytest

from survnode.model.ct.coverage import CoverageWarning
from survnode.model.errors import Reason
from survnode.train.cohorts.exclusions import Exclusion, ExclusionReason, Warned, write_exclusions


def test_each_patient_has_the_reason_as_a_word_and_as_a_sentence(tmp_path: Path) -> None:
    write_exclusions(
        tmp_path / "exclusions.csv",
        [
            Exclusion("A", ExclusionReason.LISTED, 'Said "no", and left.'),
            Exclusion("B", Reason.TOO_FEW_SLICES, "3 slices"),
            Exclusion("C", ExclusionReason.NO_CT),
        ],
    )
    with (tmp_path / "exclusions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["patient"] for row in rows] == ["A", "B", "C"]
    assert [row["reason"] for row in rows] == ["LISTED", "TOO_FEW_SLICES", "NO_CT"]
    assert [row["detail"] for row in rows] == ['Said "no", and left.', "3 slices", ""]
    assert rows[0]["sentence"] == "The patient is on the cohort's list of exclusions."
    assert rows[1]["sentence"] == Reason.TOO_FEW_SLICES.sentence


def test_who_is_analysed_with_a_warning_has_a_row_too(tmp_path: Path) -> None:
    path = tmp_path / "exclusions.csv"
    write_exclusions(path, [Exclusion("A", ExclusionReason.NO_CT)], [Warned("B", CoverageWarning.ONE_LUNG)])
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["patient"], row["reason"], row["analysed"]) for row in rows] == [
        ("A", "NO_CT", "no"),
        ("B", "ONE_LUNG", "yes"),
    ]


@pytest.mark.parametrize("reason", ExclusionReason)
def test_no_reason_of_the_table_is_mistaken_for_one_of_the_ct(reason: ExclusionReason) -> None:
    assert str(reason) not in {str(of_ct) for of_ct in Reason}
    assert reason.sentence.endswith(".")
