"""How sure a run's model is: recalibrated by its folds' validation patients, and its lower bound on survival."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from survnode.model.certainty import LowerBound, Recalibration
from survnode.model.checkpoint import Tensors
from survnode.train.measure.certainty import lower_bound
from survnode.train.measure.evaluate import CalibrationPoint, Estimate, Evaluation, evaluate
from survnode.train.runs.material import Material, member_predictions
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.results import Predictions

COEFFICIENTS = ("calibration_slope", "calibration_intercept")
NOT_APPLIED = (
    "The figures above and every prediction are those before recalibration: the maps stand in the checkpoint, and"
    " nothing applies them unasked."
)
GROUPS = 10  # of patients whom all folds predicted: the coverage of each is that of the bound from the others


class Certainty(BaseModel):
    """What recalibration changes, and how long patients live at least.

    Parameters
    ----------
    recalibration : a map a fold, from its validation patients
    before, after : calibration slope and intercept of the predictions that were measured
    calibration : of the recalibrated predictions, groups by predicted survival
    lower_bound : None where too few patients stand for one
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recalibration: tuple[Recalibration, ...]
    before: dict[str, Estimate]
    after: dict[str, Estimate]
    calibration: tuple[CalibrationPoint, ...]
    lower_bound: LowerBound | None


def certainty_of(
    plan: RunPlan,
    measured: Material,
    predictions: Predictions,
    members: Sequence[Tensors],
    maps: Sequence[Recalibration],
    evaluation: Evaluation,
) -> Certainty:
    """What the maps of all folds, in their order, make of the predictions that were measured."""
    cohort = measured.cohort
    cif = _recalibrated(measured, predictions, members, maps)
    after = evaluate(cohort.time_months, cohort.event, cif, resamples=plan.resamples, seed=plan.seed)
    groups = np.arange(len(cohort.patients)) % GROUPS if predictions.fold is None else predictions.fold
    outcomes = cohort.time_months, cohort.event
    return Certainty(
        recalibration=tuple(maps),
        before={name: evaluation.metrics[name] for name in COEFFICIENTS},
        after={name: after.metrics[name] for name in COEFFICIENTS},
        calibration=after.calibration,
        lower_bound=lower_bound(predictions.cif, *outcomes, groups, resamples=plan.resamples, seed=plan.seed),
    )


def words_of(certainty: Certainty) -> Iterator[str]:
    """The model card's section."""
    yield from (
        "## How sure",
        "",
        "| recalibrated by each fold's validation patients | before | after |",
        "|---|---|---|",
    )
    for name in COEFFICIENTS:
        words = name.replace("_", " ")
        yield f"| {words} | {_cell(certainty.before[name])} | {_cell(certainty.after[name])} |"
    yield from ("", "| patients | predicted survival, recalibrated | observed (Kaplan-Meier) |", "|---|---|---|")
    for point in certainty.calibration:
        yield f"| {point.patients} | {point.predicted:.3f} | {_cell(point.observed)} |"
    yield from ("", NOT_APPLIED, "", _bound(certainty.lower_bound))


def _bound(bound: LowerBound | None) -> str:
    if bound is None or bound.coverage is None:
        return "Too few patients for a conformal lower bound on survival."
    return (
        f"Lower bound: {bound.level:.0%} of patients live at least until their predicted incidence reaches"
        f" {bound.incidence:.3f}. Of {bound.patients} patients, each by the bound from other folds,"
        f" {_cell(Estimate(value=bound.coverage, low=bound.low, high=bound.high))} did. Conformal, deaths weighted for"
        " censoring; it holds for patients drawn as these were, and on average over them, not for each kind of patient."
    )


def _recalibrated(
    measured: Material, predictions: Predictions, members: Sequence[Tensors], maps: Sequence[Recalibration]
) -> NDArray[np.float64]:
    """Each patient by the map of the fold that tested them, or by the mean of all folds, each with its map."""
    if predictions.fold is None:
        predicted = member_predictions(members, measured)
        return np.asarray(np.mean([it.apply(one.cif) for it, one in zip(maps, predicted, strict=True)], axis=0))
    order = {number: place for place, number in enumerate(np.unique(predictions.fold).tolist())}
    rows = [maps[order[fold]].apply(cif) for fold, cif in zip(predictions.fold.tolist(), predictions.cif, strict=True)]
    return np.stack(rows)


def _cell(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "not defined"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
