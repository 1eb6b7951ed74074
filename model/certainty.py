"""What a checkpoint knows of how sure it is: a map of its incidence onto what came true, and a bound on survival."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

FloatArray = NDArray[np.float64]

ODDS_BOUND = 1e-6  # of an incidence from 0 and from 1: its odds must be finite


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Recalibration(_Part):
    """Platt's map of a fold, from its validation patients: log odds -> intercept + slope x log odds.

    One rising map for all months keeps a curve rising, keeps 0 and 1, and keeps every concordance of the fold.
    """

    intercept: float
    slope: float = Field(gt=0)

    @classmethod
    def none(cls) -> Self:
        """The map that changes nothing."""
        return cls(intercept=0.0, slope=1.0)

    def apply(self, cif: FloatArray) -> FloatArray:
        """The incidence (..., K) as it came true."""
        odds = log_odds(cif)
        return np.asarray(1 / (1 + np.exp(-(self.intercept + self.slope * odds))))


class LowerBound(_Part):
    """How long a patient lives at least, with the probability ``level``.

    Parameters
    ----------
    incidence : the bound is the time at which a patient's curve reaches it
    coverage, low, high : the share of unseen patients who lived to their bound, with its 95 % interval
    patients : how many these were
    """

    level: float = Field(gt=0, lt=1)
    incidence: float = Field(ge=0, le=1)
    coverage: float | None
    low: float | None
    high: float | None
    patients: int

    def months(self, cif: FloatArray) -> FloatArray:
        """The bound (B,) of curves (B, K), linear within a month; K for who lives to the horizon."""
        return months_until(cif, self.incidence)


def months_until(cif: FloatArray, incidence: float) -> FloatArray:
    """When curves (B, K) reach an incidence, (B,), linear within a month; K where they do not."""
    curve = np.hstack([np.zeros((len(cif), 1)), cif])  # (B, K + 1), from month 0
    reached = curve > incidence
    month = np.where(reached.any(axis=1), reached.argmax(axis=1), cif.shape[1])  # the first month beyond it
    rows, before = np.arange(len(cif)), np.maximum(month - 1, 0)
    begin, end = curve[rows, before], curve[rows, month]
    part = np.divide(incidence - begin, end - begin, out=np.ones_like(begin), where=end > begin)
    return np.where(reached.any(axis=1), before + np.clip(part, 0, 1), float(cif.shape[1]))


def log_odds(incidence: FloatArray) -> FloatArray:
    """Of an incidence, kept finite."""
    bounded = np.clip(incidence, ODDS_BOUND, 1 - ODDS_BOUND)
    return np.asarray(np.log(bounded / (1 - bounded)))
