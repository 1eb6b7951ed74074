"""A finished model on patients of another cohort, as it is."""

import json
from dataclasses import replace

from pydantic import ValidationError

from survnode.model.checkpoint import Card, checkpoint_folder, load_checkpoint
from survnode.model.errors import CheckpointRefused
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.exclusions import write_exclusions
from survnode.train.errors import RunDiffers
from survnode.train.fit.features import encoder_of
from survnode.train.fit.files import write_whole
from survnode.train.fit.loop import Predicted
from survnode.train.fit.slices import lung_weights_sha256
from survnode.train.journal import MEASURED, WARNING, Journal, RunListener, unheard
from survnode.train.measure.evaluate import Evaluation, evaluate
from survnode.train.recipe import Augmentation, Recipe
from survnode.train.runs.claim import RUN
from survnode.train.runs.material import Material, fill_features, mean_prediction, prepared
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.results import Predictions, write_tables

LEARNED_FROM, UNSEEN = "phantom", "phantom-unseen"  # cohorts of `survnode.train.cohorts.named`


def score(model: str, cohort: Cohort, plan: RunPlan, *, listener: RunListener = unheard) -> Evaluation:
    """Measure a checkpoint on a cohort; figures and tables are written to ``plan.out``.

    Parameters
    ----------
    model : a checkpoint's folder, or "demo"; of an ensemble the mean of the members counts
    plan : its recipe is not used: the checkpoint has its own

    Raises
    ------
    RunDiffers
        The folder holds a training run.
    CheckpointRefused, WeightsMissing, WeightsChanged
    NothingToMeasure
    """
    if (plan.out / RUN).exists():
        raise RunDiffers(f"{plan.out} holds a training run, whose figures would be overwritten. Name another folder.")
    checkpoint = load_checkpoint(checkpoint_folder(model))
    plan = replace(plan, recipe=recipe_of(checkpoint.card))
    plan.out.mkdir(parents=True, exist_ok=True)
    with Journal(plan.out, [listener]) as journal:
        journal("started", model=checkpoint.card.device_uid, cohort=cohort.name, patients=len(cohort.patients))
        material = prepared(cohort, plan, journal)
        warning = warning_of(checkpoint.card, material.cohort)
        if warning is not None:
            journal(WARNING, sentence=warning)
        fill_features(material, plan.workers, journal)
        predicted = mean_prediction(checkpoint.members, material)
        evaluation = _write(plan, material, predicted, checkpoint.card)
        journal(MEASURED, **{name: estimate.value for name, estimate in evaluation.metrics.items()})
    return evaluation


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


def warning_of(card: Card, cohort: Cohort) -> str | None:
    """What must be known of figures of patients whom the model learned from, if they are known to be these.

    Of the demonstration model's phantoms the name is looked at: their hash depends on whether they lie in DICOM files.
    """
    if card.cohort.sha256 == cohort.sha256:
        learned = f"{card.name} was trained on this very cohort"
    elif card.demonstration and cohort.computed and cohort.name == LEARNED_FROM:
        learned = f"{card.name} was trained on phantoms of this name; {UNSEEN} are others, drawn in the same way"
    else:
        return None
    return f"{learned}. The figures do not tell how good it is with patients that it never saw."


def _write(plan: RunPlan, material: Material, predicted: Predicted, card: Card) -> Evaluation:
    cohort, out = material.cohort, plan.out
    predictions = Predictions(cohort.ids, None, predicted.cif, tuple(predicted.attention))
    evaluation = evaluate(cohort.time_months, cohort.event, predicted.cif, resamples=plan.resamples, seed=plan.seed)
    write_exclusions(out / "exclusions.csv", cohort.exclusions, cohort.warned)
    write_tables(out, predictions, cohort, material.slices)
    model = {"name": card.name, "version": card.version, "device_uid": card.device_uid}
    metrics = {
        "model": model,
        "cohort": cohort.sha256,
        "warning": warning_of(card, cohort),
        "pooled": evaluation.model_dump(mode="json"),
    }
    write_whole(out / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    return evaluation
