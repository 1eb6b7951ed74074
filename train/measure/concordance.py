"""Time-dependent concordance (Antolini et al., Statistics in Medicine 24:3927-3944, 2005).

A pair (i, j) is comparable when i is seen to die and j to live longer; it is concordant when, at the time of i's
death, i had the higher cumulative incidence. A perfect model scores 1, one that knows nothing 0.5.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from survnode.model.timegrid import TimeGrid

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class Ties(StrEnum):
    """How equal incidences and equal times count.

    In all three, a patient censored at the very time of i's death counts as living longer.
    """

    HALF = "half"  # an equal incidence is half a concordant pair
    ANTOLINI = "antolini"  # an equal incidence is a discordant pair: pycox's "antolini"
    ADJUSTED = "adj_antolini"  # as HALF, and deaths at one time should tie: pycox's "adj_antolini"


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of a group of patients.

    Parameters
    ----------
    score : (B, B) float64, 1 for a concordant pair (i, j), 0.5 for a tie, 0 elsewhere
    comparable : (B, B) bool
    """

    score: FloatArray
    comparable: BoolArray

    @property
    def concordance(self) -> float:
        """The concordance; NaN when no pair is comparable."""
        count = int(self.comparable.sum())
        return float(self.score.sum() / count) if count else float("nan")


def compare(
    cif: FloatArray, column: NDArray[np.int64], time: FloatArray, event: BoolArray, ties: Ties = Ties.HALF
) -> Pairs:
    """All pairs of patients.

    Parameters
    ----------
    cif : (B, T) cumulative incidence, or any score of which more means higher risk by that time
    column : (B,) the column of ``cif`` that holds each patient's time
    time, event : (B,) in any unit; True where the death was seen
    """
    at_time_of = cif[:, column].T  # (B, B): [i, j] is j's incidence at i's time
    own = at_time_of.diagonal()[:, None]
    longer = (time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & ~event[None, :])
    comparable = event[:, None] & longer
    np.fill_diagonal(comparable, val=False)
    higher, equal = own > at_time_of, own == at_time_of
    if ties is Ties.ANTOLINI:
        return Pairs(np.where(comparable & higher, 1.0, 0.0), comparable)
    score = np.where(comparable, higher + 0.5 * equal, 0.0)
    return Pairs(score, comparable) if ties is Ties.HALF else _adjusted(score, comparable, equal, time, event)


def compare_on_grid(
    grid: TimeGrid, cif: FloatArray, time_months: FloatArray, event: BoolArray, ties: Ties = Ties.HALF
) -> Pairs:
    """All pairs of patients within the horizon: who lives to it outlives everybody who dies before it.

    Parameters
    ----------
    cif : (B, K), as `Prediction.cif`; a death in bin k is read at that bin's end
    time_months, event : (B,), exact times, not bins
    """
    within = event & (time_months < grid.horizon_months)
    until = np.minimum(time_months, grid.horizon_months)
    column = np.minimum(np.floor(until), grid.n_bins - 1).astype(np.int64)
    return compare(cif, column, until, within, ties)


def concordance_td(
    grid: TimeGrid, cif: FloatArray, time_months: FloatArray, event: BoolArray, ties: Ties = Ties.HALF
) -> float:
    """The concordance of `compare_on_grid`; NaN when no pair is comparable."""
    return compare_on_grid(grid, cif, time_months, event, ties).concordance


def compare_constant(grid: TimeGrid, risk: FloatArray, time_months: FloatArray, event: BoolArray) -> Pairs:
    """All pairs for a risk (B,) that does not change with time, higher is worse: a size, an age, a Cox score."""
    return compare_on_grid(grid, np.repeat(risk[:, None], grid.n_bins, axis=1), time_months, event)


def _adjusted(score: FloatArray, comparable: BoolArray, equal: BoolArray, time: FloatArray, event: BoolArray) -> Pairs:
    """With pycox's further pairs: two deaths at one time, and a death and a censoring at one time counted twice."""
    same_time = time[:, None] == time[None, :]
    np.fill_diagonal(same_time, val=False)
    both_died = same_time & event[:, None] & event[None, :]
    again = (same_time & comparable).T
    score = score + np.where(again, score.T, 0.0) + np.where(both_died, 0.5 + 0.5 * equal, 0.0)
    return Pairs(score, comparable | again | both_died)
