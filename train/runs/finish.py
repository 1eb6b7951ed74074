"""The end of a run: what all folds came to is measured, and written as tables, a checkpoint and its model card."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from survnode.model.checkpoint import Tensors, load_checkpoint, read_card, save_checkpoint
from survnode.model.seen import SeenPatients, merge_members
from survnode.train.cohorts.folds import Fold, Role
from survnode.train.cohorts.phantom import PhantomPatient
from survnode.train.fit.files import write_whole
from survnode.train.measure.evaluate import Evaluation
from survnode.train.measure.truth import TruthComparison, compare_with_truth
from survnode.train.recipe import Intensity
from survnode.train.runs.certainty import Certainty, certainty_of, words_of
from survnode.train.runs.likeness import likeness_of
from survnode.train.runs.material import Material, mean_prediction, member_predictions
from survnode.train.runs.measured import measure
from survnode.train.runs.model_card import model_card
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.results import (
    FoldResult,
    Predictions,
    attention_by_image,
    evaluation_json,
    gathered,
)
from survnode.train.runs.sealing import Learned, rounded, seal


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Parameters
    ----------
    material : cohort (without whom preprocessing refused) and caches
    predictions : of each patient by the fold that tested them, or of another cohort's by all folds
    truth : where phantoms were measured that no fold had
    certainty : None where a fold of an earlier format has no recalibration
    """

    plan: RunPlan
    material: Material
    folds: tuple[Fold, ...]
    results: tuple[FoldResult, ...]
    predictions: Predictions
    evaluation: Evaluation
    truth: TruthComparison | None
    certainty: Certainty | None


def finish(plan: RunPlan, material: Material, results: tuple[FoldResult, ...], unseen: Material | None) -> Run:
    """Measure and write what all folds came to."""
    folds = tuple(result.fold for result in results)
    measured, predictions = _measured(plan, material, results, unseen)
    cohort, out = measured.cohort, plan.out
    evaluation = measure(plan, measured, predictions)
    truth = _truth(plan, measured, predictions) if unseen else None
    certainty = _certainty(plan, measured, folds, predictions, evaluation)
    finished = Run(plan, material, folds, results, predictions, evaluation, truth, certainty)
    if material.recipe.intensity is not Intensity.FOLD:  # otherwise each fold has a preprocessing of its own
        _write_ensemble(finished)
    card = model_card(
        plan.name,
        plan.recipe,
        material.cohort,
        evaluation,
        folds=folds,
        exclusions=material.cohort.exclusions,
        unseen=None if unseen is None else cohort.name,
    )
    if certainty is not None:
        card = "\n".join((card, *words_of(certainty), ""))
    write_whole(out / "model.md", card.encode())
    write_whole(out / "metrics.json", (json.dumps(_metrics(finished), indent=2) + "\n").encode())
    return finished


def _members(plan: RunPlan, folds: Sequence[Fold]) -> tuple[Tensors, ...]:
    return tuple(load_checkpoint(plan.folder(fold)).members[0] for fold in folds)


def _certainty(
    plan: RunPlan, measured: Material, folds: Sequence[Fold], predictions: Predictions, evaluation: Evaluation
) -> Certainty | None:
    kept = [read_card(plan.folder(fold)).recalibration for fold in folds]
    maps = [it for recalibration in kept for it in recalibration or ()]
    if len(maps) < len(folds):
        return None
    members = () if predictions.fold is not None else _members(plan, folds)
    return certainty_of(plan, measured, predictions, members, maps, evaluation)


def _seen(plan: RunPlan, folds: Sequence[Fold]) -> tuple[SeenPatients, ...] | None:
    """Whom each member of the ensemble has seen; None where one does not say."""
    members = [read_card(plan.folder(fold)).seen for fold in folds]
    recorded = [records for records in members if records is not None]
    return merge_members(recorded) if len(recorded) == len(members) else None


def _measured(
    plan: RunPlan, material: Material, results: tuple[FoldResult, ...], unseen: Material | None
) -> tuple[Material, Predictions]:
    """Who is measured: the cohort, each patient by the fold that tested them, or the unseen one by all folds."""
    if unseen is None:
        return material, gathered(material.cohort, results, material.remark)
    predicted = mean_prediction(_members(plan, [result.fold for result in results]), unseen)
    attention = tuple(predicted.attention)
    return unseen, Predictions(unseen.cohort.ids, None, predicted.cif, attention, material.remark)


def _truth(plan: RunPlan, measured: Material, predictions: Predictions) -> TruthComparison | None:
    """The comparison with what is true of phantoms; None of patients, of whom nobody knows it."""
    phantoms = [patient for patient in measured.cohort.patients if isinstance(patient, PhantomPatient)]
    if len(phantoms) < len(measured.cohort.patients):
        return None
    attention = attention_by_image(predictions, measured.cohort, measured.slices)
    return compare_with_truth(phantoms, predictions.cif, attention, resamples=plan.resamples, seed=plan.seed)


def _metrics(finished: Run) -> dict[str, JsonValue]:
    tested = finished.evaluation.ctd_by_fold or [None] * len(finished.results)
    by_fold: list[JsonValue] = [
        {
            "fold": result.fold.number,
            "patients": {str(role): len(result.fold.of(role)) for role in Role},
            "epoch": result.best.number,
            "validation_ctd": rounded(result.best.concordance),
            "test_ctd": ctd,
        }
        for result, ctd in zip(finished.results, tested, strict=True)
    ]
    truth: dict[str, JsonValue] = {} if finished.truth is None else {"truth": finished.truth.model_dump(mode="json")}
    sure: dict[str, JsonValue] = {}
    if finished.certainty is not None:
        sure["certainty"] = finished.certainty.model_dump(mode="json")
    return {**evaluation_json(finished.evaluation), **sure, "folds": by_fold, **truth}


def _write_ensemble(finished: Run) -> None:
    """Write the mean of all folds' networks as one checkpoint."""
    plan, material, folds = finished.plan, finished.material, finished.folds
    members = _members(plan, folds)
    unseen = finished.predictions.fold is None
    survival = 1 - np.stack([predicted.cif[:, -1] for predicted in member_predictions(members, material)])  # (M, B)
    learned = Learned(
        name=plan.name,
        patients=material.cohort.patients,
        words=f"{material.cohort.name}, {len(folds)} folds",
        survival=survival.mean(axis=0) if unseen else 1 - finished.predictions.cif[:, -1],
        metrics=_figures_of_unseen(finished) if unseen else _figures(finished),
        lung_heights_mm=material.lung_heights_mm(material.cohort.patients),
        covariates=None if material.table is None else material.table.distributed(material.cohort.ids),
        seen=_seen(plan, folds),
        spreads=np.ptp(survival, axis=0).tolist(),
        recalibration=None if finished.certainty is None else finished.certainty.recalibration,
        lower_bound=None if finished.certainty is None else finished.certainty.lower_bound,
        likeness=likeness_of(material, material.recipe, material.cohort.patients),
    )
    save_checkpoint(plan.out, seal(learned, material.recipe, material.cohort), members)


def _figures(finished: Run) -> dict[str, JsonValue]:
    evaluation = finished.evaluation
    figures: dict[str, JsonValue] = {
        name: estimate.model_dump(mode="json") for name, estimate in evaluation.metrics.items()
    }
    return {**figures, "remark": evaluation.remark} if evaluation.remark else figures


def _figures_of_unseen(finished: Run) -> dict[str, JsonValue]:
    evaluation = finished.evaluation
    unseen: dict[str, JsonValue] = {
        "patients": evaluation.patients,
        "deaths_within_horizon": evaluation.deaths_by_horizon,
        **_figures(finished),
    }
    if finished.truth is not None:
        unseen |= finished.truth.model_dump(mode="json")
    folds: list[JsonValue] = [
        {"epoch": result.best.number, "validation_ctd": rounded(result.best.concordance)} for result in finished.results
    ]
    return {"seed": finished.plan.seed, "folds": folds, "unseen": unseen}
