"""What folds predicted comes back from disk as it was, and stands in the tables in the cohort's order."""

from pathlib import Path

import numpy as np
import pytest

from survnode.train.cohorts.cohort import Cohort, DicomPatient, Patient
from survnode.train.cohorts.folds import Fold
from survnode.train.fit.loop import Epoch, Predicted
from survnode.train.fit.slices import SliceCache, Slices
from survnode.train.runs.results import (
    FoldResult,
    Predictions,
    attention_by_image,
    gathered,
    read_result,
    write_predictions,
    write_result,
    write_tables,
)

from ..tiny import rows

COHORT = Cohort("mine", tuple(DicomPatient(who, 1.0, True, True, "1.2", (), "ab") for who in "ABC"))
BEST = Epoch(3, 0.5, 0.75)
LATER = Fold(1, train=("B",), validation=(), test=("C", "A"))
FIRST = Fold(0, train=("A",), validation=("C",), test=("B",))


def predicted(*cif: float, slices: tuple[int, ...] = ()) -> Predicted:
    return Predicted(np.array([[value / 2, value] for value in cif]), [np.full(count, 1 / count) for count in slices])


class TwoSlicesAnImage(SliceCache):
    """Of each patient two slices of the first image and the rest of the third; of three images."""

    def read(self, patient: Patient) -> Slices:
        assert patient in COHORT.patients
        source = np.array([0, 0, 2, 2], np.int64)
        return Slices(np.zeros((4, 1, 1), np.int16), source, 3, 250.0)


SLICES = TwoSlicesAnImage(Path(), None, None)  # type: ignore[arg-type]  # neither is asked for


@pytest.mark.parametrize("slices", [(4, 7), ()])
def test_result_comes_back_as_it_was(tmp_path: Path, slices: tuple[int, ...]) -> None:
    result = FoldResult(LATER, BEST, predicted(0.8, 0.2, slices=slices))
    write_result(tmp_path / "result", result)
    again = read_result(tmp_path / "result", LATER)
    assert again.best == BEST
    assert again.predicted.cif.tolist() == result.predicted.cif.tolist()
    assert [shares.tolist() for shares in again.predicted.attention] == [[1 / count] * count for count in slices]


def test_fold_that_tests_nobody_comes_back_empty(tmp_path: Path) -> None:
    write_result(tmp_path / "result", FoldResult(FIRST, BEST, Predicted(np.empty((0, 2)), [])))
    again = read_result(tmp_path / "result", FIRST).predicted
    assert (again.cif.shape, again.attention) == ((0, 2), [])


def test_predictions_are_gathered_in_the_order_of_the_cohort() -> None:
    results = [
        FoldResult(LATER, BEST, predicted(0.8, 0.2, slices=(4, 7))),
        FoldResult(FIRST, BEST, predicted(0.4, slices=(5,))),
    ]
    together = gathered(COHORT, results)
    assert together.patients == ("A", "B", "C")
    assert together.fold is not None
    assert together.fold.tolist() == [1, 0, 1]
    assert together.cif[:, 1].tolist() == [0.2, 0.4, 0.8]
    assert [len(shares) for shares in together.attention] == [7, 5, 4]


def test_predictions_of_all_folds_together_stand_under_fold_0(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.csv", Predictions(COHORT.ids, None, predicted(1 / 3, 1, 0).cif), COHORT)
    found = [(row["patient"], row["fold"], row["month"], row["cif"]) for row in rows(tmp_path / "predictions.csv")]
    assert found[:4] == [
        ("A", "0", "1", "0.16666667"), ("A", "0", "2", "0.33333333"), ("B", "0", "1", "0.5"), ("B", "0", "2", "1"),
    ]  # fmt: skip


def test_attention_is_told_for_each_slice_with_the_image_that_it_shows(tmp_path: Path) -> None:
    shares = tuple(np.array([0.1, 0.2, 0.3, 0.4]) for _ in COHORT.ids)
    predictions = Predictions(COHORT.ids, np.array([1, 0, 1]), predicted(1, 1, 1).cif, shares)
    write_tables(tmp_path, predictions, COHORT, SLICES)
    first = rows(tmp_path / "attention.csv")[:4]
    assert [(row["slice"], row["image"], row["images"], row["attention"]) for row in first] == [
        ("0", "0", "3", "0.1"), ("1", "0", "3", "0.2"), ("2", "2", "3", "0.3"), ("3", "2", "3", "0.4"),
    ]  # fmt: skip
    by_image = attention_by_image(predictions, COHORT, SLICES)
    assert by_image[0] == pytest.approx([0.3, 0, 0.7])


def test_network_without_slices_has_no_table_of_attention(tmp_path: Path) -> None:
    write_tables(tmp_path, Predictions(COHORT.ids, np.array([1, 0, 1]), predicted(1, 1, 1).cif), COHORT, SLICES)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
