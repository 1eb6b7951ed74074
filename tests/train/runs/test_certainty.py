"""A run keeps its folds' recalibration and a lower bound, and says what they are worth."""

import json

import numpy as np
import pytest

from survnode.model.certainty import LowerBound, Recalibration
from survnode.model.checkpoint import load_checkpoint, read_card
from survnode.train.measure.certainty import recalibration
from survnode.train.measure.evaluate import Estimate
from survnode.train.runs.certainty import Certainty, words_of
from survnode.train.runs.finish import Run
from survnode.train.runs.material import member_predictions


def test_each_fold_is_recalibrated_by_its_validation_patients_and_the_ensemble_keeps_all_maps(whole: Run) -> None:
    material, kept = whole.material, []
    for fold in whole.folds:
        checkpoint = load_checkpoint(whole.plan.folder(fold))
        rows = material.rows(fold.validation)
        predicted = member_predictions(checkpoint.members, material)[0].cif[rows]
        cohort = material.cohort
        expected = recalibration(predicted, cohort.time_months[rows], cohort.event[rows])
        assert checkpoint.card.recalibration == (expected,)
        kept.append(expected)
    assert read_card(whole.plan.out).recalibration == tuple(kept)


def test_figures_stand_in_the_run_before_and_after_and_no_prediction_is_changed(whole: Run) -> None:
    metrics = json.loads((whole.plan.out / "metrics.json").read_text())
    found = Certainty.model_validate(metrics["certainty"])
    assert found == whole.certainty
    assert found.before["calibration_slope"] == whole.evaluation.metrics["calibration_slope"]
    assert found.lower_bound is None  # eight patients cannot stand for nine in ten
    card = (whole.plan.out / "model.md").read_text()
    assert "## How sure" in card
    assert "Too few patients for a conformal lower bound" in card


def test_card_says_the_bound_and_how_many_lived_to_it() -> None:
    nothing = Estimate(value=1.0, low=0.5, high=1.5)
    bound = LowerBound(level=0.9, incidence=0.125, coverage=0.91, low=0.88, high=0.94, patients=415)
    either = {"calibration_slope": nothing, "calibration_intercept": nothing}
    found = Certainty(
        recalibration=(Recalibration.none(),), before=either, after=either, calibration=(), lower_bound=bound
    )
    words = "\n".join(words_of(found))
    assert "90% of patients live at least until their predicted incidence reaches 0.125" in words
    assert "Of 415 patients, each by the bound from other folds, 0.910 (0.880 to 0.940) did." in words
    assert bound.months(np.array([[0.05, 0.2]])) == pytest.approx([1.5])
