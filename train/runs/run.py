"""A whole run: a cohort -> slices -> folds -> features -> a network a fold -> figures, tables and checkpoints.

Every step keeps what it made. Started again with the same settings in the same folder, a run goes on where it was; an
interrupted one comes to the same figures as one that was not.

::

    OUT/run.json           what the run is: recipe, cohort, folds, seed
    OUT/folds.csv          patient, fold, role           OUT/exclusions.csv   patient, reason, sentence, detail
    OUT/predictions.csv    patient, fold, month, cif     OUT/attention.csv    patient, fold, slice, image, attention
    OUT/metrics.json       `Evaluation`                  OUT/model.md         the model card
    OUT/log.jsonl          what happened when            OUT/folds/K/         the checkpoint of fold K
    OUT/model.json, OUT/model.safetensors                the ensemble of all folds, a checkpoint: OUT itself is one
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from survnode.model.checkpoint import Tensors, load_checkpoint, save_checkpoint
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.errors import FoldsRefused
from survnode.train.cohorts.exclusions import write_exclusions
from survnode.train.cohorts.folds import Fold, Role, make_folds, make_holdouts, write_folds
from survnode.train.cohorts.phantom import PhantomPatient
from survnode.train.errors import RunDiffers
from survnode.train.fit.features import encoder_of
from survnode.train.fit.files import write_whole
from survnode.train.fit.loop import Epoch
from survnode.train.fit.networks import initial
from survnode.train.journal import EPOCH, MEASURED, Journal, RunListener, unheard
from survnode.train.measure.evaluate import Evaluation, evaluate
from survnode.train.measure.truth import TruthComparison, compare_with_truth
from survnode.train.recipe import Intensity
from survnode.train.runs.fold import fit_fold
from survnode.train.runs.material import Material, fill_features, mean_prediction, member_predictions, prepared, steps
from survnode.train.runs.model_card import model_card
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.results import FoldResult, Predictions, attention_by_image, gathered, write_tables
from survnode.train.runs.sealing import Learned, rounded, seal
from survnode.train.workers import Report, each

RUN = "run.json"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Parameters
    ----------
    material : cohort (without whom preprocessing refused) and caches
    predictions : of each patient by the fold that tested them, or of another cohort's by all folds
    truth : where phantoms were measured that no fold had
    """

    plan: RunPlan
    material: Material
    folds: tuple[Fold, ...]
    results: tuple[FoldResult, ...]
    predictions: Predictions
    evaluation: Evaluation
    truth: TruthComparison | None


def run(
    cohort: Cohort,
    plan: RunPlan,
    *,
    folds: Sequence[Fold] | None = None,
    unseen: Cohort | None = None,
    listener: RunListener = unheard,
) -> Run:
    """Train and test every fold of a cohort, and write all of it to ``plan.out``.

    Parameters
    ----------
    folds : instead of those that the plan's seed makes
    unseen : measure all folds together on this cohort; then no fold tests anybody
    listener : called with what happens

    Raises
    ------
    RunDiffers
        The folder holds another run.
    FoldsImpossible, FoldsRefused
        There are too few patients, or ``folds`` are of other patients.
    NothingToMeasure
        No CT could be used.
    WeightsMissing, WeightsChanged, InitialModelRefused, CheckpointRefused
    """
    _refuse_early(plan)
    plan.out.mkdir(parents=True, exist_ok=True)
    with Journal(plan.out, [listener]) as journal:
        journal("started", name=plan.name, cohort=cohort.name, patients=len(cohort.patients), seed=plan.seed)
        material = prepared(cohort, plan, journal)
        other = None if unseen is None else prepared(unseen, plan, journal)
        chosen = _folds(material.cohort, plan, folds, tested=other is None)
        _claim(plan, material, chosen, other)
        excluded = material.cohort.exclusions + (() if other is None else other.cohort.exclusions)
        write_exclusions(plan.out / "exclusions.csv", excluded)
        write_folds(plan.out / "folds.csv", chosen)
        for needed in (material, other):
            if needed is not None:
                fill_features(needed, plan.workers, journal)
        results = _fit(material, chosen, plan, journal)
        finished = _finish(plan, material, results, other)
        metrics = {name: estimate.value for name, estimate in finished.evaluation.metrics.items()}
        journal(MEASURED, **metrics)
    return finished


def _folds(cohort: Cohort, plan: RunPlan, folds: Sequence[Fold] | None, *, tested: bool) -> tuple[Fold, ...]:
    if not tested:
        return make_holdouts(cohort.ids, count=plan.folds, seed=plan.seed)
    if folds is None:
        return make_folds(cohort.ids, cohort.died_within_two_years, count=plan.folds, seed=plan.seed)
    named = {who for fold in folds for role in Role for who in fold.of(role)}
    if named != set(cohort.ids):
        other, absent = len(named - set(cohort.ids)), len(set(cohort.ids) - named)
        raise FoldsRefused(f"The folds name {other} patients who are not in the cohort, and lack {absent} of it.")
    return tuple(folds)


def _refuse_early(plan: RunPlan) -> None:
    """Look at all that a run would otherwise fail for after hours of preprocessing."""
    _refuse_other(plan.out, _settings(plan))
    encoder_of(plan.recipe.network)
    if plan.init is not None:
        initial(plan.init, 0)


def _claim(plan: RunPlan, material: Material, folds: Sequence[Fold], unseen: Material | None) -> None:
    """Say whose folder it is, or refuse to mix two runs."""
    own = {
        **_settings(plan),
        "cohort": {"name": material.cohort.name, "sha256": material.cohort.sha256},
        "folds": [{str(role): list(fold.of(role)) for role in Role} for fold in folds],
        "unseen": None if unseen is None else {"name": unseen.cohort.name, "sha256": unseen.cohort.sha256},
    }
    _refuse_other(plan.out, own)
    write_whole(plan.out / RUN, (json.dumps(own, indent=2) + "\n").encode())


def _settings(plan: RunPlan) -> dict[str, JsonValue]:
    return {
        "name": plan.name,
        "seed": plan.seed,
        "init": None if plan.init is None else str(plan.init.resolve()),
        "recipe": plan.recipe.model_dump(mode="json"),
    }


def _refuse_other(out: Path, own: Mapping[str, object]) -> None:
    path = out / RUN
    if path.exists():
        begun = json.loads(path.read_text(encoding="utf-8"))
        differing = [key for key in own if begun.get(key) != own[key]]
        if differing:
            raise RunDiffers(f"{out} holds a run with another {', '.join(differing)}. Name another folder.")


def _fit(material: Material, folds: Sequence[Fold], plan: RunPlan, listener: RunListener) -> tuple[FoldResult, ...]:
    """Fit every fold, one after the other or in processes of one thread."""
    step = steps(listener, "folds", len(folds))

    def heard(result: FoldResult) -> FoldResult:
        best = result.best
        listener("fold", fold=result.fold.number, epoch=best.number, validation_ctd=rounded(best.concordance))
        step()
        return result

    tasks = [(material, fold, _folder(plan, fold)) for fold in folds]
    results = [heard(result) for result in each(_fit_fold, tasks, plan.workers, partial(_report_epoch, listener))]
    return tuple(sorted(results, key=lambda result: result.fold.number))


def _folder(plan: RunPlan, fold: Fold) -> Path:
    return plan.out / "folds" / str(fold.number)


def _fit_fold(report: Report, material: Material, fold: Fold, folder: Path) -> FoldResult:
    return fit_fold(material, fold, folder, lambda epoch: report((fold.number, epoch)))


def _report_epoch(listener: RunListener, reported: tuple[int, Epoch]) -> None:
    fold, epoch = reported
    listener(EPOCH, fold=fold, number=epoch.number, loss=epoch.loss, validation_ctd=rounded(epoch.concordance))


def _members(plan: RunPlan, folds: Sequence[Fold]) -> tuple[Tensors, ...]:
    return tuple(load_checkpoint(_folder(plan, fold)).members[0] for fold in folds)


def _measured(
    plan: RunPlan, material: Material, results: tuple[FoldResult, ...], unseen: Material | None
) -> tuple[Material, Predictions]:
    """Who is measured: the cohort, each patient by the fold that tested them, or the unseen one by all folds."""
    if unseen is None:
        return material, gathered(material.cohort, results)
    predicted = mean_prediction(_members(plan, [result.fold for result in results]), unseen)
    return unseen, Predictions(unseen.cohort.ids, None, predicted.cif, tuple(predicted.attention))


def _finish(plan: RunPlan, material: Material, results: tuple[FoldResult, ...], unseen: Material | None) -> Run:
    """Measure and write what all folds came to."""
    folds = tuple(result.fold for result in results)
    measured, predictions = _measured(plan, material, results, unseen)
    cohort, out = measured.cohort, plan.out
    evaluation = evaluate(
        cohort.time_months,
        cohort.event,
        predictions.cif,
        folds=predictions.fold,
        resamples=plan.resamples,
        seed=plan.seed,
    )
    write_tables(out, predictions, cohort, measured.slices)
    truth = _truth(plan, measured, predictions) if unseen else None
    finished = Run(plan, material, folds, results, predictions, evaluation, truth)
    if material.recipe.intensity is not Intensity.FOLD:  # otherwise each fold has a preprocessing of its own
        write_ensemble(finished)
    card = model_card(
        plan.name,
        plan.recipe,
        material.cohort,
        evaluation,
        folds=folds,
        exclusions=material.cohort.exclusions,
        unseen=None if unseen is None else cohort.name,
    )
    write_whole(out / "model.md", card.encode())
    write_whole(out / "metrics.json", (json.dumps(_metrics(finished), indent=2) + "\n").encode())
    return finished


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
    return {"pooled": finished.evaluation.model_dump(mode="json"), "folds": by_fold, **truth}


def write_ensemble(finished: Run) -> None:
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
        spreads=np.ptp(survival, axis=0).tolist(),
    )
    save_checkpoint(plan.out, seal(learned, material.recipe, material.cohort), members)


def _figures(finished: Run) -> dict[str, JsonValue]:
    return {name: estimate.model_dump(mode="json") for name, estimate in finished.evaluation.metrics.items()}


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
