"""Which figures there are of predictions, by name, each as a function of weights; see `resampling`.

Of a cross-validation, concordances, AUC and Brier scores are computed within each fold, and the folds' mean counts:
the curves of two folds are not on one scale, and a pair of patients across folds compares two networks. Measured on
features that say nothing (119 patients, ten folds), C-td pooled over folds is 0.458 to 0.480, the folds' mean 0.495 to
0.503. Censoring is estimated from all patients: a fold has too few.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from survnode.model.timegrid import TimeGrid
from survnode.train.measure.calibration import calibration_line
from survnode.train.measure.concordance import Pairs, Ties, compare_on_grid
from survnode.train.measure.released import LAST_MONTH, compare_as_released
from survnode.train.measure.resampling import mean_of
from survnode.train.measure.scores import auc, brier, harrell, integrated_brier, pair_concordance, uno

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Measure = Callable[[FloatArray], FloatArray]  # weights (R, B) -> (R,)

MONTHS = (6, 12, 18, 24)
FEWEST_PAIRS = 10  # with fewer, a concordance is one of a handful of numbers, 0 and 1 among them
FIGURES = {
    "ctd_mean_of_folds": "C-td, mean of the folds",
    "ctd": "C-td (Antolini, ties half)",
    "ctd_antolini": "C-td (pycox antolini)",
    "ctd_adj_antolini": "C-td (pycox adj_antolini)",
    "ctd_released": "C-td as the paper's code computes it",
    "harrell": "Harrell's C",
    "uno": "Uno's C",
    **{f"auc_{month}": f"AUC at {month} months" for month in MONTHS},
    **{f"brier_{month}": f"Brier score at {month} months" for month in MONTHS},
    "integrated_brier": "integrated Brier score",
    "calibration_intercept": "calibration intercept (0 is perfect)",
    "calibration_slope": "calibration slope (1 is perfect)",
}  # `Evaluation.metrics` in words, in the order in which they are shown
POOLED = (  # over all folds: concordances as others publish them, and what needs more patients than a fold has
    "ctd", "ctd_antolini", "ctd_adj_antolini", "ctd_released", "calibration_intercept", "calibration_slope",
)  # fmt: skip


def measures_of(time: FloatArray, event: BoolArray, cif: FloatArray, folds: IntArray | None) -> dict[str, Measure]:
    """All figures by name; with folds `POOLED` over all patients, calibration too, and the others within folds."""
    everybody = np.ones(len(event), np.bool_)
    parts = [everybody] if folds is None else [folds == number for number in np.unique(folds)]
    return _pooled(time, event, cif) | _within(time, event, cif, parts, folded=folds is not None)


def concordances_by_fold(time: FloatArray, event: BoolArray, cif: FloatArray, folds: IntArray) -> list[Measure]:
    """C-td of the patients that each fold tested."""
    return [_concordance(folds == number, time, event, cif) for number in np.unique(folds)]


def concordance_of(time: FloatArray, event: BoolArray, cif: FloatArray) -> float:
    """C-td of a group of patients, NaN where fewer than `FEWEST_PAIRS` can be compared."""
    everybody = np.ones(len(event), np.bool_)
    return float(_concordance(everybody, time, event, cif)(np.ones((1, len(event))))[0])


def _pooled(time: FloatArray, event: BoolArray, cif: FloatArray) -> dict[str, Measure]:
    grid, risk = TimeGrid(cif.shape[1]), cif[:, -1]
    measures: dict[str, Measure] = {
        "ctd": _enough(compare_on_grid(grid, cif, time, event)),
        "ctd_antolini": _enough(compare_on_grid(grid, cif, time, event, Ties.ANTOLINI)),
        "ctd_adj_antolini": _enough(compare_on_grid(grid, cif, time, event, Ties.ADJUSTED)),
    }
    if cif.shape[1] >= LAST_MONTH:
        measures["ctd_released"] = _enough(compare_as_released(cif, time, event))
    for place, name in enumerate(("calibration_intercept", "calibration_slope")):
        measures[name] = partial(_calibration_coefficient, place, risk, time, event, cif.shape[1])
    return measures


def _within(
    time: FloatArray, event: BoolArray, cif: FloatArray, parts: Sequence[BoolArray], *, folded: bool
) -> dict[str, Measure]:
    horizon, risk = cif.shape[1], cif[:, -1]
    ordered = [part for part in parts if _pairs_of(part, time, event, np.inf) >= FEWEST_PAIRS]
    early = [part for part in parts if _pairs_of(part, time, event, horizon) >= FEWEST_PAIRS]
    measures: dict[str, Measure] = {
        "harrell": _mean_over([partial(_harrell, part, risk, time, event) for part in ordered]),
        "uno": partial(uno, risk, time, event, until_months=horizon, parts=early) if early else _undefined,
        "integrated_brier": partial(integrated_brier, cif, time, event, parts=parts),
    }
    for month in (month for month in MONTHS if month <= horizon):
        incidence = cif[:, month - 1]
        both = [part for part in parts if _cases_and_controls(part, time, event, month) >= FEWEST_PAIRS]
        of_month = partial(auc, incidence, time, event, month=month, parts=both)
        measures[f"auc_{month}"] = of_month if both else _undefined
        measures[f"brier_{month}"] = partial(brier, incidence, time, event, month=month, parts=parts)
    if folded:
        measures["ctd_mean_of_folds"] = _mean_over([_concordance(part, time, event, cif) for part in parts])
    return measures


def _mean_over(measures: Sequence[Measure]) -> Measure:
    return (lambda weights: mean_of(measure(weights) for measure in measures)) if measures else _undefined


def _undefined(weights: FloatArray) -> FloatArray:
    return np.full(len(weights), np.nan)


def _harrell(part: BoolArray, risk: FloatArray, time: FloatArray, event: BoolArray, weights: FloatArray) -> FloatArray:
    return harrell(risk[part], time[part], event[part], weights[:, part])


def _concordance(part: BoolArray, time: FloatArray, event: BoolArray, cif: FloatArray) -> Measure:
    measure = _enough(compare_on_grid(TimeGrid(cif.shape[1]), cif[part], time[part], event[part]))
    return lambda weights: measure(weights[:, part])


def _enough(pairs: Pairs) -> Measure:
    """The concordance of pairs, not defined where they are fewer than `FEWEST_PAIRS`."""
    if pairs.comparable.sum() < FEWEST_PAIRS:
        return _undefined
    return partial(pair_concordance, pairs)


def _pairs_of(part: BoolArray, time: FloatArray, event: BoolArray, until_months: float) -> int:
    """How many pairs of patients have an order that is known from the death of the first, before ``until_months``."""
    first = event[part] & (time[part] < until_months)
    longer = time[part][None, :] > time[part][:, None]
    return int((first[:, None] & longer).sum())


def _cases_and_controls(part: BoolArray, time: FloatArray, event: BoolArray, month: int) -> int:
    died = int((event & (time < month))[part].sum())
    return died * int((time >= month)[part].sum())


def _calibration_coefficient(
    place: int, risk: FloatArray, time: FloatArray, event: BoolArray, month: int, weights: FloatArray
) -> FloatArray:
    return calibration_line(risk, time, event, weights, month=month)[place]
