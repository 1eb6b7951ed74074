"""A finished model on patients of another cohort, as it is."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from survnode.model.checkpoint import Card, Checkpoint, checkpoint_folder, load_checkpoint
from survnode.model.errors import CheckpointRefused
from survnode.model.net.network import NetworkConfig
from survnode.train.cohorts.cohort import Cohort, Patient
from survnode.train.cohorts.exclusions import write_exclusions
from survnode.train.cohorts.feature_table import FeatureTable, read_features
from survnode.train.errors import OverlapRefused, RunDiffers
from survnode.train.fit.features import encoder_of
from survnode.train.fit.files import write_whole
from survnode.train.fit.slices import lung_weights_sha256
from survnode.train.journal import MEASURED, WARNING, Journal, RunListener, unheard
from survnode.train.measure.evaluate import Evaluation
from survnode.train.recipe import Augmentation, Recipe
from survnode.train.runs.claim import EXCLUSIONS, RUN
from survnode.train.runs.material import Material, fill_features, mean_prediction, member_predictions, prepared
from survnode.train.runs.measured import measure
from survnode.train.runs.overlap import identity, mark_or_refuse, overlap_with
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.results import Predictions, evaluation_json

CROSS_VALIDATED = "--cross-validated measures each patient by the members that never saw them."


def score(
    model: str, cohort: Cohort, plan: RunPlan, *, cross_validated: bool = False, listener: RunListener = unheard
) -> Evaluation:
    """Measure a checkpoint on a cohort; figures and tables are written to ``plan.out``.

    Parameters
    ----------
    model : a checkpoint's folder, or "demo"; of an ensemble the mean of the members counts
    plan : its recipe is not used: the checkpoint has its own
    cross_validated : of an ensemble only the members count that never saw the patient

    Raises
    ------
    RunDiffers
        The folder holds a training run.
    OverlapRefused
        The model has seen some of the patients, and the plan does not allow it.
    CheckpointRefused, WeightsMissing, WeightsChanged
    NothingToMeasure
    """
    if (plan.out / RUN).exists():
        raise RunDiffers(f"{plan.out} holds a training run, whose figures would be overwritten. Name another folder.")
    checkpoint = load_checkpoint(checkpoint_folder(model))
    plan = replace(plan, recipe=recipe_of(checkpoint.card))
    if cross_validated:
        members_without(checkpoint.card, cohort.patients)
    else:
        _remark(checkpoint.card, cohort, plan)
    plan.out.mkdir(parents=True, exist_ok=True)
    with Journal(plan.out, [listener]) as journal:
        journal("started", model=checkpoint.card.device_uid, cohort=cohort.name, patients=len(cohort.patients))
        material = prepared(cohort, plan, journal)
        remark = "" if cross_validated else _remark(checkpoint.card, material.cohort, plan)
        if remark:
            journal(WARNING, sentence=remark)
        fill_features(material, plan.workers, journal)
        predictions = _predictions(checkpoint, material, remark, cross_validated=cross_validated)
        evaluation = _write(plan, material, predictions, checkpoint.card)
        journal(MEASURED, **{name: estimate.value for name, estimate in evaluation.metrics.items()})
    return evaluation


def _remark(card: Card, cohort: Cohort, plan: RunPlan) -> str:
    """What the results must carry; refuses an overlap that is not allowed."""
    overlap = overlap_with(card.seen, cohort.patients)
    instead = CROSS_VALIDATED if _each_has_a_member(card, cohort.patients) else ""
    return mark_or_refuse(overlap, cohort.name, card.name, allowed=plan.allow_overlap, instead=instead)


def _each_has_a_member(card: Card, patients: Sequence[Patient]) -> bool:
    """Whether some member never saw each of the patients."""
    return card.members > 1 and card.seen is not None and bool(_unseen(card, patients).any(axis=0).all())


def members_without(card: Card, patients: Sequence[Patient]) -> NDArray[np.bool_]:
    """Which members never saw each patient, (M, B).

    Raises
    ------
    OverlapRefused
        The checkpoint does not say, or every member has seen some patient.
    """
    if card.seen is None:
        raise OverlapRefused(f"{card.name} does not record whom it has seen: nothing can be cross-validated with it.")
    unseen = _unseen(card, patients)
    seen_by_all = int((~unseen.any(axis=0)).sum())
    if seen_by_all:
        msg = f"{seen_by_all} of {len(patients)} patients have been seen by every member of {card.name}"
        raise OverlapRefused(f"{msg}: of them there are no cross-validated predictions.")
    return unseen


def _unseen(card: Card, patients: Sequence[Patient]) -> NDArray[np.bool_]:
    records = card.seen or ()
    unseen = np.ones((card.members, len(patients)), np.bool_)
    for member in range(card.members):
        seen = [record.of_member(member) for record in records]
        for row, who in enumerate(map(identity, patients)):
            unseen[member, row] = not any(record.has_patient(who) or record.has_image(who) for record in seen)
    return unseen


def _predictions(checkpoint: Checkpoint, material: Material, remark: str, *, cross_validated: bool) -> Predictions:
    cohort = material.cohort
    if not cross_validated:
        predicted = mean_prediction(checkpoint.members, material)
        return Predictions(cohort.ids, None, predicted.cif, tuple(predicted.attention), remark)
    unseen = members_without(checkpoint.card, cohort.patients)
    by_member = member_predictions(checkpoint.members, material)
    cif = np.stack([predicted.cif for predicted in by_member])  # (M, B, K)
    mean = np.einsum("mb,mbk->bk", unseen / unseen.sum(axis=0), cif)
    attention = tuple(
        np.mean([by_member[member].attention[row] for member in np.flatnonzero(unseen[:, row])], axis=0)
        for row in range(len(cohort.patients) if by_member[0].attention else 0)
    )
    one_each = bool((unseen.sum(axis=0) == 1).all())
    return Predictions(cohort.ids, unseen.argmax(axis=0) if one_each else None, mean, attention, remark)


def table_for(card: Card, path: Path | None) -> FeatureTable | None:
    """The table of features that a model takes; without one nothing is known beside the image.

    Raises
    ------
    CheckpointRefused
        The model takes no table, or says nothing without one.
    FeatureTableRefused
    """
    if path is not None:
        if card.covariates is None:
            raise CheckpointRefused(f"{card.name} takes nothing beside the image: leave --features out.")
        return read_features(path, known=card.covariates)
    network = recipe_of(card).network
    if isinstance(network, NetworkConfig) and network.needs_beside:
        raise CheckpointRefused(f"{card.name} says nothing without a table of features: name one with --features.")
    return None


def recipe_of(card: Card) -> Recipe:
    """What a checkpoint's predictions are made by, its weights checked against those on this machine."""
    try:
        recipe = Recipe.model_validate(
            {
                "network": card.network,
                "preprocessing": card.preprocessing,
                "lungs": card.lungs.method,
                "augmentation": Augmentation(probability=0),
            }
        )
    except ValidationError as error:
        msg = f"The checkpoint {card.name} describes a network that this software does not know: {error}"
        raise CheckpointRefused(msg) from error
    present = encoder_of(recipe.network)[1], lung_weights_sha256(recipe.lungs)
    if present != (card.backbone.sha256, card.lungs.weights_sha256):
        msg = f"The weights on this machine are not those that the checkpoint {card.name} was made with."
        raise CheckpointRefused(msg)
    return recipe


def _write(plan: RunPlan, material: Material, predictions: Predictions, card: Card) -> Evaluation:
    cohort, out = material.cohort, plan.out
    evaluation = measure(plan, material, predictions)
    write_exclusions(out / EXCLUSIONS, cohort.exclusions, cohort.warned)
    model = {"name": card.name, "version": card.version, "device_uid": card.device_uid}
    metrics = {
        "model": model,
        "cohort": cohort.sha256,
        "warning": predictions.remark or None,
        **evaluation_json(evaluation),
    }
    write_whole(out / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    return evaluation
