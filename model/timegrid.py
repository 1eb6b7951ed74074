"""Months, bins, and the way between probability mass, cumulative incidence and survival."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DAYS_PER_MONTH = 30.4375  # 365.25 / 12

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TimeGrid:
    """``n_bins`` bins of one month from time zero, and one survivor bin behind them.

    Bin k holds the deaths in [k, k + 1) months; bin ``n_bins`` holds everybody alive at the horizon.
    """

    n_bins: int = 24

    @property
    def horizon_months(self) -> int:
        """The last month that the model speaks of."""
        return self.n_bins

    @property
    def months(self) -> NDArray[np.int64]:
        """The ends of the bins, (K,): 1 .. K."""
        return np.arange(1, self.n_bins + 1)

    def bins(self, time_months: FloatArray, event: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Bin and event of each patient as the likelihood wants them.

        Whoever is followed to the horizon or beyond is a survivor: bin K, and *not* censored there, since the
        survivor bin is their outcome. It is therefore returned with event True.
        """
        index = np.floor(np.clip(time_months, 0, self.n_bins)).astype(np.int64)
        return index, event | (index == self.n_bins)


def cif_from_pmf(pmf: FloatArray) -> FloatArray:
    """Cumulative incidence at the end of each bin: (..., K + 1) with the survivor bin -> (..., K)."""
    cif: FloatArray = np.cumsum(pmf, axis=-1)[..., :-1]
    return cif


def median_months(cif: FloatArray) -> float | None:
    """The time at which half have died, (K,) -> months, linear within its bin; None if beyond the horizon."""
    curve = np.concatenate([[0.0], cif])
    above = np.flatnonzero(curve >= 0.5)
    if above.size == 0:
        return None
    end = int(above[0])
    if end == 0:
        return 0.0
    return float(end - 1 + (0.5 - curve[end - 1]) / (curve[end] - curve[end - 1]))
