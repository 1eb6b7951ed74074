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
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

from pydantic import JsonValue

from survnode.model.checkpoint import load_checkpoint, save_checkpoint, spread_limit
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.errors import FoldsRefused
from survnode.train.cohorts.exclusions import write_exclusions
from survnode.train.cohorts.folds import Fold, Role, make_folds, write_folds
from survnode.train.errors import NothingToMeasure, RunDiffers
from survnode.train.fit.features import encoder_of
from survnode.train.fit.files import write_whole
from survnode.train.fit.loop import Epoch
from survnode.train.fit.networks import initial
from survnode.train.journal import EPOCH, MEASURED, PROGRESS, Journal, Tell, silence
from survnode.train.measure.evaluate import Evaluation, evaluate
from survnode.train.measure.resampling import RESAMPLES
from survnode.train.presets import Intensity, Recipe
from survnode.train.runs.fold import Material, fit_fold, rounded, seal, spreads
from survnode.train.runs.model_card import model_card
from survnode.train.runs.results import FoldResult, Predictions, gathered, write_attention, write_predictions
from survnode.train.workers import Hear, each

RUN = "run.json"


@dataclass(frozen=True)
class Plan:
    """One run.

    Parameters
    ----------
    out : folder of the run
    caches : folder that any number of runs share: slices, features and headers
    folds, seed : of the cross-validation; the seed is also that of the networks
    init : a run or checkpoint whose networks are started from, fold by fold
    workers : processes; 1 does everything in this one, as a GPU wants it
    """

    name: str
    recipe: Recipe
    out: Path
    caches: Path
    folds: int = 10
    seed: int = 42
    init: Path | None = None
    workers: int = os.cpu_count() or 1
    device: str = "cpu"
    resamples: int = RESAMPLES


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Parameters
    ----------
    material : cohort (without whom preprocessing refused) and caches
    predictions : of each patient by the fold that tested them
    """

    plan: Plan
    material: Material
    folds: tuple[Fold, ...]
    results: tuple[FoldResult, ...]
    predictions: Predictions
    evaluation: Evaluation


def run(cohort: Cohort, plan: Plan, *, folds: Sequence[Fold] | None = None, tell: Tell = silence) -> Run:
    """Train and test every fold of a cohort, and write all of it to ``plan.out``.

    Parameters
    ----------
    folds : instead of those that the plan's seed makes
    tell : hears what happens

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
    with Journal(plan.out, [tell]) as journal:
        journal("started", name=plan.name, cohort=cohort.name, patients=len(cohort.patients), seed=plan.seed)
        material = prepared(cohort, plan, journal)
        chosen = _folds(material.cohort, plan, folds)
        _claim(plan, material, chosen)
        write_exclusions(plan.out / "exclusions.csv", material.cohort.exclusions)
        write_folds(plan.out / "folds.csv", chosen)
        fill_features(material, plan.workers, journal)
        results = _fit(material, chosen, plan, journal)
        finished = _finish(plan, material, chosen, results)
        metrics = {name: estimate.value for name, estimate in finished.evaluation.metrics.items()}
        journal(MEASURED, **metrics)
    return finished


def prepared(cohort: Cohort, plan: Plan, tell: Tell) -> Material:
    """The cohort with its slices in the cache, without the patients whose CT turned out to be unsuitable."""
    material = Material(plan.name, cohort, plan.recipe, plan.caches, plan.seed, plan.device, plan.init)
    steps = _steps(tell, "slices", len(cohort.patients))
    refused = material.slices.fill(cohort.patients, workers=plan.workers, done=steps)
    out = {one.patient_id for one in refused}
    for one in refused:
        tell("excluded", reason=str(one.reason))
    left = tuple(patient for patient in cohort.patients if patient.id not in out)
    if not left:
        raise NothingToMeasure(f"None of {len(cohort.patients)} patients of {cohort.name} has a CT that can be used.")
    return replace(material, cohort=replace(cohort, patients=left, exclusions=(*cohort.exclusions, *refused)))


def fill_features(material: Material, workers: int, tell: Tell) -> None:
    """Make the features of a frozen encoder that every fold shares."""
    if material.recipe.frozen and material.recipe.intensity is Intensity.WINDOW:
        features = material.features(material.recipe)
        patients = material.cohort.patients
        features.fill(patients, workers=workers, done=_steps(tell, "features", len(patients) * features.views))


def _folds(cohort: Cohort, plan: Plan, folds: Sequence[Fold] | None) -> tuple[Fold, ...]:
    if folds is None:
        return make_folds(cohort.ids, cohort.died_within_two_years, count=plan.folds, seed=plan.seed)
    named = {who for fold in folds for role in Role for who in fold.of(role)}
    if named != set(cohort.ids):
        other, absent = len(named - set(cohort.ids)), len(set(cohort.ids) - named)
        raise FoldsRefused(f"The folds name {other} patients who are not in the cohort, and lack {absent} of it.")
    return tuple(folds)


def _refuse_early(plan: Plan) -> None:
    """Look at all that a run would otherwise fail for after hours of preprocessing."""
    _refuse_other(plan.out, _settings(plan))
    encoder_of(plan.recipe.network)
    if plan.init is not None:
        initial(plan.init, 0)


def _claim(plan: Plan, material: Material, folds: Sequence[Fold]) -> None:
    """Say whose folder it is, or refuse to mix two runs."""
    own = {
        **_settings(plan),
        "cohort": {"name": material.cohort.name, "sha256": material.cohort.sha256},
        "folds": [{str(role): list(fold.of(role)) for role in Role} for fold in folds],
    }
    _refuse_other(plan.out, own)
    write_whole(plan.out / RUN, (json.dumps(own, indent=2) + "\n").encode())


def _settings(plan: Plan) -> dict[str, JsonValue]:
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


def _fit(material: Material, folds: Sequence[Fold], plan: Plan, tell: Tell) -> tuple[FoldResult, ...]:
    """Fit every fold, one after the other or in processes of one thread."""
    folders = [plan.out / "folds" / str(fold.number) for fold in folds]
    step = _steps(tell, "folds", len(folds))

    def told(result: FoldResult) -> FoldResult:
        best = result.best
        tell("fold", fold=result.fold.number, epoch=best.number, validation_ctd=rounded(best.concordance))
        step()
        return result

    tasks = [(material, fold, folder) for fold, folder in zip(folds, folders, strict=True)]
    results = [told(result) for result in each(_fit_fold, tasks, plan.workers, partial(_tell_epoch, tell))]
    return tuple(sorted(results, key=lambda result: result.fold.number))


def _fit_fold(hear: Hear, material: Material, fold: Fold, folder: Path) -> FoldResult:
    return fit_fold(material, fold, folder, lambda epoch: hear((fold.number, epoch)))


def _tell_epoch(tell: Tell, told: tuple[int, Epoch]) -> None:
    fold, epoch = told
    tell(EPOCH, fold=fold, number=epoch.number, loss=epoch.loss, validation_ctd=rounded(epoch.concordance))


def _finish(plan: Plan, material: Material, folds: tuple[Fold, ...], results: tuple[FoldResult, ...]) -> Run:
    """Measure and write what all folds came to."""
    cohort, out = material.cohort, plan.out
    predictions = gathered(cohort, results)
    evaluation = evaluate(
        cohort.time_months,
        cohort.event,
        predictions.cif,
        folds=predictions.fold,
        resamples=plan.resamples,
        seed=plan.seed,
    )
    write_predictions(out / "predictions.csv", predictions)
    if predictions.attention:
        write_attention(out / "attention.csv", predictions, cohort, material.slices)
    write_ensemble(plan, material, folds, predictions, evaluation)
    card = model_card(plan.name, plan.recipe, cohort, evaluation, folds=folds, exclusions=cohort.exclusions)
    write_whole(out / "model.md", card.encode())
    by_fold = [
        {
            "fold": result.fold.number,
            "patients": {str(role): len(result.fold.of(role)) for role in Role},
            "epoch": result.best.number,
            "validation_ctd": rounded(result.best.concordance),
            "test_ctd": ctd,
        }
        for result, ctd in zip(results, evaluation.ctd_by_fold, strict=True)
    ]
    metrics = {"pooled": evaluation.model_dump(mode="json"), "folds": by_fold}
    write_whole(out / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    return Run(plan, material, folds, results, predictions, evaluation)


def write_ensemble(
    plan: Plan, material: Material, folds: Sequence[Fold], predictions: Predictions, evaluation: Evaluation
) -> None:
    """Write the mean of all folds' networks as one checkpoint, unless each has a preprocessing of its own."""
    if material.recipe.intensity is Intensity.FOLD:
        return
    members = tuple(load_checkpoint(plan.out / "folds" / str(fold.number)).members[0] for fold in folds)
    card = seal(
        material,
        material.recipe,
        f"{material.cohort.name}, {len(folds)} folds",
        material.cohort.patients,
        name=plan.name,
        metrics={name: estimate.model_dump(mode="json") for name, estimate in evaluation.metrics.items()},
        survival=1 - predictions.cif[:, -1],
    )
    limits = card.limits.model_copy(update={"max_spread": spread_limit(spreads(material, members))})
    save_checkpoint(plan.out, card.model_copy(update={"limits": limits}), members)


def _steps(tell: Tell, stage: str, total: int) -> Callable[[], None]:
    """A callback that counts."""
    done = count(1)
    return lambda: tell(PROGRESS, stage=stage, done=next(done), total=total)
