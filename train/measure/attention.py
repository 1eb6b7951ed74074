"""Where a model looks, against where it should."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def finds(attention: NDArray[np.float64], shown: NDArray[np.bool_], count: int) -> bool:
    """Whether one of the ``count`` images of the highest attention shows what is looked for.

    Parameters
    ----------
    attention : (D,) of each image, 0 where the network did not see it
    shown : (D,)
    """
    return bool(shown[np.argsort(-attention, kind="stable")[:count]].any())


def share_found(attention: Sequence[NDArray[np.float64]], shown: Sequence[NDArray[np.bool_]], count: int) -> float:
    """The share of patients for whom `finds` is true; NaN without patients."""
    hits = [finds(shares, truth, count) for shares, truth in zip(attention, shown, strict=True)]
    return float(np.mean(hits)) if hits else float("nan")
