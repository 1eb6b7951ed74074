"""The card of a trained model: what it is, whom it learned from, how good it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from survnode.model.certainty import LowerBound, Recalibration
from survnode.model.checkpoint import Backbone, Card, CohortSummary, Lungs, limits_of
from survnode.model.covariates import Covariate
from survnode.model.likeness import Likeness
from survnode.model.seen import SeenPatients
from survnode.train.cohorts.cohort import Cohort, Patient
from survnode.train.fit.features import encoder_of
from survnode.train.fit.inputs import Net
from survnode.train.fit.slices import lung_weights_sha256
from survnode.train.recipe import KeptWeights, Recipe
from survnode.train.runs.model_card import INTENDED_USE

OF_PHANTOMS = "Demonstration and test of the software. Trained on phantoms, it knows nothing of patients."


@dataclass(frozen=True, eq=False)
class Learned:
    """What became of the training.

    Parameters
    ----------
    name : of the model
    patients : whom it learned from
    words : on them, one line
    survival : (B,) at the horizon, as predicted for them
    metrics : figures for the card
    lung_heights_mm : of these patients
    seen : records of whom it has seen; None where a model that it started from has none
    covariates : what stands beside the image, with its distribution in these patients
    spreads : of these patients, how far apart the members of an ensemble lie; see `Limits`
    recalibration : of each member
    lower_bound : of an ensemble
    likeness : of these patients
    """

    name: str
    patients: Sequence[Patient]
    words: str
    survival: NDArray[np.float64]
    metrics: dict[str, JsonValue]
    lung_heights_mm: Sequence[float]
    seen: tuple[SeenPatients, ...] | None
    spreads: Sequence[float] = ()
    covariates: tuple[Covariate, ...] | None = None
    recalibration: tuple[Recalibration, ...] | None = None
    lower_bound: LowerBound | None = None
    likeness: Likeness | None = None


def seal(learned: Learned, recipe: Recipe, cohort: Cohort) -> Card:
    """The card of a trained model, ready to be saved; what learned from phantoms is a demonstration."""
    encoder, sha256 = encoder_of(recipe.network)
    return Card(
        name=learned.name,
        version="1",
        network=recipe.network.model_dump(mode="json"),
        preprocessing=recipe.preprocessing,
        lungs=Lungs(method=recipe.lungs, weights_sha256=lung_weights_sha256(recipe.lungs)),
        backbone=Backbone(name=str(encoder.spec.weights or recipe.network.encoder), sha256=sha256),
        cohort=CohortSummary(
            description=_described(learned.words, cohort),
            n_patients=len(learned.patients),
            n_events=sum(patient.event for patient in learned.patients),
            sha256=cohort.sha256,
        ),
        metrics=learned.metrics,
        cohort_survival=_percentiles(learned.survival),
        seen=learned.seen,
        covariates=learned.covariates,
        recalibration=learned.recalibration,
        lower_bound=learned.lower_bound,
        likeness=learned.likeness,
        limits=limits_of(learned.lung_heights_mm, learned.spreads),
        intended_use=OF_PHANTOMS if cohort.computed else INTENDED_USE,
        licence="Apache-2.0" if cohort.computed else "as the cohort's",
        demonstration=cohort.computed,
    )


def _described(words: str, cohort: Cohort) -> str:
    if cohort.computed:
        return f"computed phantoms, no patients: {words}"
    return f"{words}, read as de-identified" if cohort.deidentified else words


def keep(net: Net, weights: KeptWeights) -> dict[str, NDArray[np.generic]]:
    """What was trained, as a checkpoint keeps it; the network itself is rounded to it."""
    state = net.trained_state()
    if weights is KeptWeights.HALF:
        # What stands beside the image has any unit: half precision ends at 65504.
        state = {name: tensor if name.startswith("beside.") else tensor.half() for name, tensor in state.items()}
        net.load_trained_state(state)
    return {name: tensor.cpu().numpy() for name, tensor in state.items()}


def rounded(value: float) -> float | None:
    """As it is shown; None where it is not defined."""
    return round(value, 4) if np.isfinite(value) else None


def _percentiles(survival: NDArray[np.float64]) -> tuple[float, ...]:
    """Survival at the quantiles 0, 1, ..., 100 % of patients, ascending."""
    return tuple(round(float(value), 6) for value in np.quantile(survival, np.linspace(0, 1, 101)))
