"""Whether predicted survival comes true."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class CalibrationGroup:
    """Patients of similar predicted survival: how many, the mean of it, and what came of them (Kaplan-Meier)."""

    patients: int
    predicted: float
    observed: float


def calibration(
    survival: FloatArray, time_months: FloatArray, event: BoolArray, month: float, groups: int
) -> tuple[CalibrationGroup, ...]:
    """Equally large groups by predicted survival at ``month``, worst first.

    Parameters
    ----------
    survival : (B,) predicted probability of being alive at ``month``
    time_months, event : (B,)
    """
    return tuple(
        CalibrationGroup(len(rows), float(survival[rows].mean()), kaplan_meier(time_months[rows], event[rows], month))
        for rows in np.array_split(np.argsort(survival, kind="stable"), groups)
    )


def kaplan_meier(time_months: FloatArray, event: BoolArray, month: float) -> float:
    """The share alive at ``month``, by the product-limit estimator; deaths at ``month`` itself count."""
    alive = 1.0
    for death in np.unique(time_months[event & (time_months <= month)]):
        at_risk = np.count_nonzero(time_months >= death)
        alive *= 1 - np.count_nonzero(event & (time_months == death)) / at_risk
    return alive
