"""A whole run: a cohort -> slices -> folds -> features -> a network a fold -> figures, tables and checkpoints.

Every step keeps what it made. Started again with the same settings in the same folder, a run goes on where it was; an
interrupted one comes to the same figures as one that was not.

::

    OUT/run.json           what the run is: recipe, cohort, folds, seed
    OUT/folds.csv          patient, fold, role           OUT/exclusions.csv   who is left out, or warned of, and why
    OUT/predictions.csv    who, outcome, month, cif       OUT/attention.csv    patient, fold, slice, image, attention
    OUT/metrics.json       `Evaluation`                  OUT/model.md         the model card
    OUT/baselines.csv      what is predicted without the network, on the same folds; baselines.json: how well
    OUT/subgroups.csv      every figure by sex, stage..  OUT/net-benefit.csv  the decision curve at the horizon
    OUT/log.jsonl          what happened when            OUT/folds/K/         the checkpoint of fold K
    OUT/model.json, OUT/model.safetensors                the ensemble of all folds, a checkpoint: OUT itself is one
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.errors import FoldsRefused
from survnode.train.cohorts.exclusions import write_exclusions
from survnode.train.cohorts.folds import Fold, Role, make_folds, make_holdouts, write_folds
from survnode.train.fit.features import encoder_of
from survnode.train.fit.loop import Epoch
from survnode.train.fit.memory import free_bytes, process_bytes, processes_that_fit
from survnode.train.fit.networks import initial
from survnode.train.journal import EPOCH, MEASURED, PROGRESS, WARNING, Journal, RunListener, unheard
from survnode.train.runs.baselines import compare_baselines
from survnode.train.runs.claim import EXCLUSIONS, claim, refuse_other_settings
from survnode.train.runs.finish import Run, finish
from survnode.train.runs.fold import fit_fold
from survnode.train.runs.material import Material, fill_features, prepared, steps
from survnode.train.runs.overlap import mark_or_refuse, overlap_of, overlap_of_folds, overlap_of_unseen
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.results import FoldResult
from survnode.train.runs.sealing import rounded
from survnode.train.workers import Report, each


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
    OverlapRefused
        Patients who are to be measured were seen before, and the plan does not allow it.
    WeightsMissing, WeightsChanged, InitialModelRefused, CheckpointRefused
    """
    _refuse_early(plan)
    plan.out.mkdir(parents=True, exist_ok=True)
    with Journal(plan.out, [listener]) as journal:
        journal("started", name=plan.name, cohort=cohort.name, patients=len(cohort.patients), seed=plan.seed)
        material = prepared(cohort, plan, journal)
        other = None if unseen is None else prepared(unseen, plan, journal)
        chosen = _folds(material.cohort, plan, folds, tested=other is None)
        material = replace(
            material, remark=_remark(plan, material.cohort, chosen, None if other is None else other.cohort)
        )
        if material.remark:
            journal(WARNING, sentence=material.remark)
        claim(plan, material.cohort, chosen, None if other is None else other.cohort)
        read = [it.cohort for it in (material, other) if it is not None]
        excluded, warned = [it for who in read for it in who.exclusions], [it for who in read for it in who.warned]
        write_exclusions(plan.out / EXCLUSIONS, excluded, warned)
        write_folds(plan.out / "folds.csv", chosen)
        for needed in (material, other):
            if needed is not None:
                fill_features(needed, plan.workers, journal)
        results = _fit(material, chosen, plan, journal)
        finished = finish(plan, material, results, other)
        compare_baselines(finished)
        metrics = {name: estimate.value for name, estimate in finished.evaluation.metrics.items()}
        journal(MEASURED, **metrics)
    return finished


def _remark(plan: RunPlan, cohort: Cohort, folds: Sequence[Fold], unseen: Cohort | None) -> str:
    """What must be said of patients whom a model has seen before it is measured on them.

    Raises
    ------
    OverlapRefused
    """
    allowed, remarks = plan.allow_overlap, list[str]()
    if unseen is not None:
        folds_of = f"the folds of {cohort.name}"
        remarks.append(mark_or_refuse(overlap_of(cohort, unseen), unseen.name, folds_of, allowed=allowed))
    if plan.init is not None:
        start = f"the model to start from, {plan.init.name},"
        if unseen is None:
            overlap = overlap_of_folds(plan.init, folds, cohort)
        else:
            overlap = overlap_of_unseen(plan.init, folds, unseen)
        remarks.append(mark_or_refuse(overlap, (unseen or cohort).name, start, allowed=allowed))
    return " ".join(dict.fromkeys(filter(None, remarks)))


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
    refuse_other_settings(plan)
    encoder_of(plan.recipe.network)
    if plan.init is not None:
        initial(plan.init, 0)


def _fit(material: Material, folds: Sequence[Fold], plan: RunPlan, listener: RunListener) -> tuple[FoldResult, ...]:
    """Fit every fold, one after the other or in processes of one thread."""
    listener(PROGRESS, stage="folds", done=0, total=len(folds))
    step = steps(listener, "folds", len(folds))

    def heard(result: FoldResult) -> FoldResult:
        best = result.best
        listener("fold", fold=result.fold.number, epoch=best.number, validation_ctd=rounded(best.concordance))
        step()
        return result

    tasks = [(material, fold, plan.folder(fold)) for fold in folds]
    workers = _workers(material, len(folds), plan, listener)
    results = [heard(result) for result in each(_fit_fold, tasks, workers, partial(_report_epoch, listener))]
    return tuple(sorted(results, key=lambda result: result.fold.number))


def _workers(material: Material, folds: int, plan: RunPlan, listener: RunListener) -> int:
    """As many processes as were asked for and fit into memory; says so where these are fewer."""
    wanted = min(plan.workers, folds)
    if plan.device != "cpu":
        return wanted
    slices = max(material.slices.count(patient) for patient in material.cohort.patients)
    each_bytes, free = process_bytes(material.recipe, len(material.cohort.patients), slices), free_bytes()
    fitting = processes_that_fit(wanted, each_bytes, free)
    if free is not None and fitting * each_bytes > free:
        sentence = f"may end for want of memory: it needs about {_gib(each_bytes)}, and {_gib(free)} are free"
        listener(WARNING, sentence=f"A process that fits a fold {sentence}. A smaller fitting.batch needs less.")
    elif fitting < wanted:
        sentence = f"{fitting} at a time instead of {wanted}: each needs about {_gib(each_bytes)} of memory"
        listener(WARNING, sentence=f"Folds are fitted {sentence}, and {_gib(free or 0)} are free.")
    return fitting


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def _fit_fold(report: Report, material: Material, fold: Fold, folder: Path) -> FoldResult:
    return fit_fold(material, fold, folder, lambda epoch: report((fold.number, epoch)))


def _report_epoch(listener: RunListener, reported: tuple[int, Epoch]) -> None:
    fold, epoch = reported
    listener(EPOCH, fold=fold, number=epoch.number, loss=epoch.loss, validation_ctd=rounded(epoch.concordance))
