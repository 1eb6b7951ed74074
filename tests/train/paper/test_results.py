"""Predictions of a finished run come back with the outcomes of the cohort."""

from pathlib import Path

import numpy as np
import pytest

from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.paper.results import Result, read_run
from survnode.train.runs.results import Predictions, write_predictions

PATIENTS = (
    DicomPatient("A", 0.5, True, True, "1.2", (), "ab"),
    DicomPatient("B", 1.0, False, False, "1.2", (), "ab"),
    DicomPatient("C", 40.0, True, False, "1.2", (), "ab"),
)
COHORT = Cohort("mine", PATIENTS)
CIF = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])


@pytest.fixture
def result(tmp_path: Path) -> Result:
    write_predictions(tmp_path / "predictions.csv", Predictions(COHORT.ids, np.array([1, 0, 1]), CIF), COHORT)
    rows = ["patient,attention", *(["A,0.25", "A,0.75", "B,1", "C,0.5", "C,0.5"])]
    (tmp_path / "attention.csv").write_text("\n".join(rows) + "\n")
    return read_run(tmp_path, COHORT)


def test_run_is_read_with_its_outcomes_folds_and_attention(result: Result) -> None:
    assert result.patients == ("A", "B", "C")
    assert result.folds.tolist() == [1, 0, 1]
    assert (result.time_months.tolist(), result.event.tolist()) == ([0.5, 1, 40], [True, False, True])
    assert result.cif.tolist() == CIF.tolist()
    assert [shares.tolist() for shares in result.attention] == [[0.25, 0.75], [1], [0.5, 0.5]]


def test_network_without_slices_has_no_attention(tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions.csv", Predictions(COHORT.ids, np.array([1, 0, 1]), CIF), COHORT)
    assert read_run(tmp_path, COHORT).attention == ()


def test_some_patients_keep_what_belongs_to_them(result: Result) -> None:
    some = result.of(("C", "A"))
    assert (some.patients, some.folds.tolist(), some.event.tolist()) == (("C", "A"), [1, 1], [True, True])
    assert some.cif.tolist() == [[0.5, 0.6], [0.1, 0.2]]
    assert [shares.tolist() for shares in some.attention] == [[0.5, 0.5], [0.25, 0.75]]


def test_incidence_lies_on_the_curve_where_follow_up_ended_and_beyond_the_horizon_at_its_end(result: Result) -> None:
    assert [result.incidence_at(row) for row in range(3)] == pytest.approx([0.05, 0.3, 0.6])


def test_predictions_have_time_and_event_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    write_predictions(path, Predictions(COHORT.ids, np.array([1, 0, 1]), CIF), COHORT)
    assert path.read_text().splitlines()[:2] == ["patient,fold,time_months,event,month,cif", "A,1,0.5,1,1,0.1"]
