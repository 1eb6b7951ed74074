"""Net benefit of acting on a prediction (decision curve; Vickers and Elkin, Medical Decision Making 26:565, 2006)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survnode.train.measure.resampling import bootstrap_weights, cohort_itself, interval
from survnode.train.measure.scores import known_at

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))  # of the probability of death: 0.05 to 0.95


@dataclass(frozen=True)
class NetBenefit:
    """What acting on everybody above a threshold is worth, in deaths found a patient.

    Parameters
    ----------
    threshold : probability of death at the horizon from which one acts: a false alarm then costs threshold /
        (1 - threshold) of a death that is found
    model, low, high : of acting on whom the model puts at or above it, with its 95 % interval
    everybody : of acting on all; acting on nobody is worth 0
    """

    threshold: float
    model: float
    low: float
    high: float
    everybody: float


def net_benefits(
    cif: FloatArray, time_months: FloatArray, event: BoolArray, *, resamples: int, seed: int = 0
) -> tuple[NetBenefit, ...]:
    """The decision curve at the horizon; whose state then is not known is weighted by the others, see `known_at`.

    Parameters
    ----------
    cif : (B, K), as `Prediction.cif`
    """
    horizon, size = cif.shape[1], len(event)
    drawn = bootstrap_weights(size, np.random.default_rng(seed), resamples)
    died = event & (time_months < horizon)
    weights = [known_at(time_months, event, one, horizon) for one in (cohort_itself(size), drawn)]

    def of(threshold: float) -> NetBenefit:
        worth = np.where(died, 1.0, -threshold / (1 - threshold))  # (B,) of acting on a patient
        acts = cif[:, -1] >= threshold
        itself, resampled = (known @ (worth * acts) / size for known in weights)
        low, high = interval(resampled)
        return NetBenefit(threshold, float(itself[0]), low, high, float((weights[0] @ worth)[0] / size))

    return tuple(map(of, THRESHOLDS))
