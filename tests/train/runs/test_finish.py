"""What a run leaves when all of its folds are done."""

import json

import numpy as np
import pytest

from survnode.model.checkpoint import load_checkpoint, read_card
from survnode.model.predict import Predictor
from survnode.train.cohorts.folds import read_folds
from survnode.train.runs.finish import Run

from ..tiny import PATIENTS, rows


def test_run_writes_every_table_and_figure(whole: Run) -> None:
    out = whole.plan.out
    predicted = rows(out / "predictions.csv")
    assert len(predicted) == len(PATIENTS) * 24
    assert {row["patient"] for row in predicted} == set(whole.material.cohort.ids)
    folds = read_folds(out / "folds.csv")
    assert folds == whole.folds
    assert all(row["patient"] in folds[int(row["fold"])].test for row in predicted)
    cif = np.array([float(row["cif"]) for row in predicted]).reshape(-1, 24)
    assert cif == pytest.approx(whole.predictions.cif, rel=1e-6)
    assert (np.diff(cif) >= 0).all()
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["evaluation"]["metrics"]["ctd"]["value"] == whole.evaluation.metrics["ctd"].value
    assert [fold["patients"]["test"] for fold in metrics["folds"]] == [4, 4]
    events = [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]
    first = ["started", *["epoch"] * 3, "fold", *["epoch"] * 3, "fold", "measured"]
    assert events[: len(first)] == first  # another test may have started the run again
    assert rows(out / "exclusions.csv") == []
    card = (out / "model.md").read_text()
    assert all(word in card for word in ("Cohort", "Figures", "Calibration", "Intended use", "Limits", "Research use"))


def test_attention_of_each_patient_sums_to_one_over_slices_that_name_their_image(whole: Run) -> None:
    attention: dict[str, list[dict[str, str]]] = {}
    for row in rows(whole.plan.out / "attention.csv"):
        attention.setdefault(row["patient"], []).append(row)
    assert set(attention) == set(whole.material.cohort.ids)
    for own in attention.values():
        assert sum(float(row["attention"]) for row in own) == pytest.approx(1, abs=1e-4)
        assert all(0 <= int(row["image"]) < int(row["images"]) == 30 for row in own)


def test_run_is_a_checkpoint_whose_prediction_is_the_mean_of_its_folds(whole: Run) -> None:
    out = whole.plan.out
    volume = whole.material.cohort.patients[0].volume()
    ensemble = Predictor(load_checkpoint(out)).predict(volume)
    folds = [Predictor(load_checkpoint(out / "folds" / str(number))).predict(volume) for number in (0, 1)]
    assert ensemble.cif == pytest.approx(np.mean([fold.cif for fold in folds], axis=0), abs=1e-9)
    assert whole.predictions.fold is not None
    tested = whole.predictions.fold[0]
    assert folds[tested].cif == pytest.approx(whole.predictions.cif[0], abs=2e-3)  # features are kept in half precision
    assert len(read_card(out).cohort_survival) == 101
