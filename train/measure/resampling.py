"""Patients drawn again and again, as weights: how often each of them counts.

Every measure of this package takes weights (R, B), one row a resample, and gives (R,) values: an interval costs a few
matrix products instead of a thousand evaluations. A row of ones is the cohort itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

RESAMPLES = 1000
LEVEL = 0.95


def cohort_itself(count: int) -> FloatArray:
    """The weights (1, B) with which everybody counts once."""
    return np.ones((1, count))


def bootstrap_weights(count: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> FloatArray:
    """Weights (R, B) of ``resamples`` draws of ``count`` patients with replacement."""
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def interval(values: FloatArray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of a measure's values (R,), those that are not defined left out; NaN if none is."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """The quotient, NaN where the denominator is 0."""
    quotient = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def mean_of(values: Iterable[FloatArray]) -> FloatArray:
    """The mean (R,) of the folds' values, those that are not defined left out; NaN if none is."""
    stacked = np.stack(list(values))
    defined = np.isfinite(stacked)
    count = defined.sum(axis=0)
    return np.where(count, np.where(defined, stacked, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


@dataclass(frozen=True, eq=False)
class Steps:
    """A product-limit estimate: the share that has not yet left, falling at certain times.

    Parameters
    ----------
    time : (U,) ascending
    survival : (R, U) from that time on
    """

    time: FloatArray
    survival: FloatArray

    def at(self, time: FloatArray | float) -> FloatArray:
        """The share after whoever leaves at ``time`` (T,) itself, (R, T)."""
        return self._read(np.searchsorted(self.time, time, side="right"))

    def before(self, time: FloatArray | float) -> FloatArray:
        """The share just before ``time`` (T,), (R, T): the one to use where months are whole numbers."""
        return self._read(np.searchsorted(self.time, time, side="left"))

    def _read(self, steps: NDArray[np.intp] | np.intp) -> FloatArray:
        whole = np.ones((len(self.survival), 1))
        return np.hstack([whole, self.survival])[:, np.atleast_1d(steps)]


def kaplan_meier_steps(time: FloatArray, event: BoolArray, weights: FloatArray) -> Steps:
    """Survival, whoever is censored at the time of a death being at risk of it (Kaplan & Meier, JASA 53, 1958)."""
    unique, leaving, at_risk = _leaving(time, event, weights)
    return _product(unique, leaving, at_risk)


def censoring_steps(time: FloatArray, event: BoolArray, weights: FloatArray) -> Steps:
    """The share that is not yet censored; whoever dies at the time of a censoring is not at risk of it any more."""
    unique, died, at_risk = _leaving(time, event, weights)
    _, censored, _ = _leaving(time, ~event, weights)
    return _product(unique, censored, at_risk - died)


def _leaving(time: FloatArray, leaves: BoolArray, weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The times (U,), who leaves at each and who was there until then, both (R, U)."""
    order = np.argsort(time, kind="stable")
    unique, starts = np.unique(time[order], return_index=True)
    present = np.add.reduceat(weights[:, order], starts, axis=1)
    leaving = np.add.reduceat((weights * leaves)[:, order], starts, axis=1)
    return unique, leaving, present[:, ::-1].cumsum(axis=1)[:, ::-1]


def _product(time: FloatArray, leaving: FloatArray, at_risk: FloatArray) -> Steps:
    hazard = np.divide(leaving, at_risk, out=np.zeros_like(leaving), where=at_risk > 0)
    return Steps(time, np.cumprod(1 - hazard, axis=1))
