"""A concordance by the convention of the paper's published code, to stand beside its 0.584 and for nothing else.

What is known of that code is that it reads the incidence two bins early, and what a perfect and a random predictor get
on LUNG1's labels: 0.954 and 0.482. The convention here reproduces both (the random one within 0.0015); it was inferred
from them, not read in the code. It differs from Antolini's in four ways: times are whole months of 30 days, deaths in
month 24 count; the incidence is read two months before a death, not at it; a tie in incidence is a loss; numbers have
single precision. Before month 2 there is nothing two months earlier: for deaths in month 1 every incidence is 0, so
that all their pairs are lost, and for deaths in month 0 the last incidence is read.
"""

import numpy as np
from numpy.typing import NDArray

from survnode.model.timegrid import DAYS_PER_MONTH
from survnode.train.measure.concordance import Pairs

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LAST_MONTH = 24


def released_labels(time_months: FloatArray, event: BoolArray) -> tuple[NDArray[np.int64], BoolArray]:
    """Whole months of 30 days, at most 24, and whether the death counts; from months of 30.4375 days."""
    days = np.round(time_months * DAYS_PER_MONTH, 3)  # whole days come back whole
    month = np.floor(days / 30).astype(np.int64)
    return np.minimum(month, LAST_MONTH), event & (month <= LAST_MONTH)


def compare_as_released(cif: FloatArray, time_months: FloatArray, event: BoolArray) -> Pairs:
    """All pairs as the published code sees them.

    Parameters
    ----------
    cif : (B, K), as `Prediction.cif`, K at least 23
    time_months, event : (B,), months of 30.4375 days
    """
    month, event = released_labels(time_months, event)
    single = cif.astype(np.float32).T  # (K, B)
    read = single[np.maximum(month - 2, 0)]  # (B, B): [i, j] is j's incidence two months before i's time
    read[month == 1] = 0
    read[month == 0] = single[-1]
    comparable = event[:, None] & (month[:, None] < month[None, :])
    return Pairs(np.where(comparable & (read.diagonal()[:, None] > read), 1.0, 0.0), comparable)
