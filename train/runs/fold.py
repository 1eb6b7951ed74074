"""One fold of a run: a network is fitted, tests its patients, and is written; what is there is not made again."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from survnode.model.certainty import Recalibration
from survnode.model.checkpoint import save_checkpoint
from survnode.model.seen import SeenPatients, merge_members
from survnode.train.cohorts.folds import Fold
from survnode.train.fit.loop import Epoch, Predicted, Trainer
from survnode.train.fit.networks import initial, new_net, start_from, start_weights
from survnode.train.measure.certainty import recalibration
from survnode.train.measure.figures import concordance_of
from survnode.train.runs.likeness import likeness_of
from survnode.train.runs.material import Material, inputs_of
from survnode.train.runs.overlap import seen_by_initial, seen_in
from survnode.train.runs.results import FoldResult, read_result, write_result
from survnode.train.runs.sealing import Learned, keep, rounded, seal
from survnode.train.workers import one_thread_here

STATE = "unfinished.pt"
AfterEpoch = Callable[[Epoch], None]


def fit_fold(material: Material, fold: Fold, folder: Path, after_epoch: AfterEpoch = lambda _: None) -> FoldResult:
    """Fit, test and write one fold to ``folder``; if it is there, read it."""
    path = folder / "result.safetensors"
    if path.exists():
        return read_result(path, fold)
    # A head gains nothing from threads, and with one its figures do not depend on how many processes there are.
    with one_thread_here() if material.recipe.frozen and material.device == "cpu" else nullcontext():
        result = _fit(material, fold, folder, after_epoch)
    write_result(path, result)
    (folder / STATE).unlink(missing_ok=True)
    return result


def _fit(material: Material, fold: Fold, folder: Path, after_epoch: AfterEpoch) -> FoldResult:
    """Fit, test and write the checkpoint of one fold."""
    recipe, seed = material.recipe_of(fold), _seed(material, fold)
    inputs = inputs_of(material, recipe)
    net = new_net(recipe.network, seed)
    start_weights(net, recipe.fitting.start_weights)
    net = net.to(material.device)
    fitting = recipe.fitting.model_copy(update={"learning_rate": recipe.learning_rate})
    if material.init is not None:
        start_from(net, initial(material.init, fold.number), fold.number)
        fitting = fitting.model_copy(update={"centre_features": False})  # the centre comes with the model
    trainer = Trainer(net, inputs, material.outcomes, fitting, seed, folder / STATE)
    train, test = material.rows(fold.train), material.rows(fold.test)
    best = trainer.fit(train, material.rows(fold.validation), after_epoch)
    state = keep(net, recipe.weights)
    nobody = Predicted(np.empty((0, recipe.network.n_bins)), [])
    result = FoldResult(fold, best, trainer.predict(test) if len(test) else nobody)
    survival = 1 - trainer.predict(train).cif[:, -1]
    learned = Learned(
        name=f"{material.name} fold {fold.number}",
        patients=material.cohort.of(fold.train),
        words=f"{material.cohort.name}, training part of fold {fold.number}",
        survival=survival,
        metrics=_metrics(material, result),
        lung_heights_mm=material.lung_heights_mm(material.cohort.of(fold.train)),
        covariates=None if material.table is None else material.table.distributed(fold.train),
        seen=_seen(material, fold),
        recalibration=(_recalibration(material, fold, trainer),),
        likeness=likeness_of(material, recipe, material.cohort.of(fold.train)),
    )
    save_checkpoint(folder, seal(learned, recipe, material.cohort), (state,))
    return result


def _recalibration(material: Material, fold: Fold, trainer: Trainer) -> Recalibration:
    rows, outcomes = material.rows(fold.validation), material.outcomes
    return recalibration(trainer.predict(rows).cif, outcomes.time_months[rows], outcomes.event[rows])


def _seen(material: Material, fold: Fold) -> tuple[SeenPatients, ...] | None:
    """Whom the fold's network has seen: those who trained it or chose its epoch, and whom its initial model saw."""
    own = seen_in(material.cohort, material.cohort.of((*fold.train, *fold.validation)))
    if material.init is None:
        return (own,)
    inherited = seen_by_initial(material.init, fold.number)
    return None if inherited is None else (*merge_members([(own, *inherited)]),)


def _seed(material: Material, fold: Fold) -> int:
    """Of a fold's network.

    Repeats of an experiment move the seed by one, and no two of their networks may share theirs. Where no fold tests
    anybody there are no repeats, and the seeds are those of the packaged demonstration model.
    """
    return material.seed * 1000 + fold.number if fold.test else material.seed + fold.number


def _metrics(material: Material, result: FoldResult) -> dict[str, JsonValue]:
    fold, best = result.fold, result.best
    validation: JsonValue = {"patients": len(fold.validation), "ctd": rounded(best.concordance)}
    if not fold.test:
        return {"epoch": best.number, "validation": validation}
    rows, outcomes = material.rows(fold.test), material.outcomes
    tested = concordance_of(outcomes.time_months[rows], outcomes.event[rows], result.predicted.cif)
    test: dict[str, JsonValue] = {"patients": len(fold.test), "ctd": rounded(tested)}
    if material.remark:
        test["remark"] = material.remark
    return {"epoch": best.number, "validation": validation, "test": test}
