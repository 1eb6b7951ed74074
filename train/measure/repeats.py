"""A cross-validation repeated with other folds and seeds: its figure, and an interval that varies the training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survnode.train.measure.evaluate import Estimate
from survnode.train.measure.figures import concordances_by_fold
from survnode.train.measure.resampling import RESAMPLES, bootstrap_weights, cohort_itself, interval, mean_of

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

REPEATED = "Intervals draw the patients anew, and with them which of the {repeats} trainings count."


@dataclass(frozen=True, eq=False)
class Training:
    """What one training predicted for the patients of a cohort, with the fold that tested each."""

    cif: FloatArray
    folds: IntArray


def repeated_concordance(
    time_months: FloatArray,
    event: BoolArray,
    trainings: Sequence[Training],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The mean of the folds over all trainings, and an interval that varies patients and trainings.

    Each resample draws patients with replacement, and as many trainings as there are with replacement: a cohort has
    other patients, and whoever repeats the work has other folds and seeds.
    """
    rng = np.random.default_rng(seed)
    drawn = bootstrap_weights(len(event), rng, resamples)
    measured = [concordances_by_fold(time_months, event, one.cif, one.folds) for one in trainings]
    itself = [float(mean_of(fold(cohort_itself(len(event))) for fold in folds)[0]) for folds in measured]
    values = np.stack([mean_of(fold(drawn) for fold in folds) for folds in measured])  # (T, R)
    chosen = rng.integers(0, len(trainings), size=(len(trainings), resamples))
    low, high = interval(np.take_along_axis(values, chosen, axis=0).mean(axis=0))
    value = float(np.mean(itself))
    return Estimate(value=_defined(value), low=_defined(low), high=_defined(high))


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
