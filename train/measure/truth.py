"""Predictions for phantoms, whose truth is known, beside that truth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from survnode.model.timegrid import TimeGrid
from survnode.train.cohorts.phantom import PhantomPatient, hazard_a_month
from survnode.train.measure.attention import share_found
from survnode.train.measure.concordance import compare_constant
from survnode.train.measure.evaluate import Estimate
from survnode.train.measure.resampling import bootstrap_weights, cohort_itself
from survnode.train.measure.scores import pair_concordance

FloatArray = NDArray[np.float64]

TOP_IMAGES = 5
DIAMETERS_MM = (20, 40)


class TumoursFound(BaseModel):
    """Of how many patients with a larger tumour one of the top images shows it; None without such patients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    over_mm: int
    patients: int
    share: float | None


class TruthComparison(BaseModel):
    """How near predictions come to what is true of phantoms.

    Parameters
    ----------
    ctd_of_true_radius : what the tumour's true radius scores as a risk
    survival_error : mean absolute difference between predicted and true survival at the horizon
    tumour_among_top_images : by diameter
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ctd_of_true_radius: Estimate
    survival_error: float
    tumour_among_top_images: tuple[TumoursFound, ...]


def compare_with_truth(
    phantoms: Sequence[PhantomPatient],
    cif: FloatArray,
    attention: Sequence[FloatArray],
    *,
    resamples: int,
    seed: int,
) -> TruthComparison:
    """The comparison of predictions for ``phantoms``.

    Parameters
    ----------
    cif : (B, K), as `Prediction.cif`
    attention : of each patient (D,), by source image; empty for a network that has none
    """
    radius = np.array([patient.radius_mm for patient in phantoms])
    time = np.array([patient.time_months for patient in phantoms])
    event = np.array([patient.event for patient in phantoms])
    pairs = compare_constant(TimeGrid(cif.shape[1]), radius, time, event)
    itself, drawn = cohort_itself(len(event)), bootstrap_weights(len(event), np.random.default_rng(seed), resamples)
    true_survival = np.exp([-cif.shape[1] * hazard_a_month(patient.radius_mm) for patient in phantoms])
    return TruthComparison(
        ctd_of_true_radius=Estimate.of(lambda weights: pair_concordance(pairs, weights), itself, drawn),
        survival_error=float(np.abs(1 - cif[:, -1] - true_survival).mean()),
        tumour_among_top_images=tuple(_found(phantoms, attention, over) for over in DIAMETERS_MM) if attention else (),
    )


def _found(phantoms: Sequence[PhantomPatient], attention: Sequence[FloatArray], over_mm: int) -> TumoursFound:
    large = [row for row, patient in enumerate(phantoms) if 2 * patient.radius_mm > over_mm]
    shown = [_shown(phantoms[row], len(attention[row])) for row in large]
    share = share_found([attention[row] for row in large], shown, TOP_IMAGES)
    return TumoursFound(over_mm=over_mm, patients=len(large), share=share if large else None)


def _shown(patient: PhantomPatient, images: int) -> NDArray[np.bool_]:
    """Which of the images show the tumour, (D,)."""
    truth, image = patient.truth(), np.arange(images)
    return (truth.first <= image) & (image < truth.end)
