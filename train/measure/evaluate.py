"""Everything that is measured of a model's predictions, with intervals, in one call."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from survnode.model.timegrid import TimeGrid
from survnode.train.measure.calibration import calibration_line, d_calibration, d_calibration_test
from survnode.train.measure.concordance import Ties, compare_on_grid
from survnode.train.measure.released import LAST_MONTH, compare_as_released
from survnode.train.measure.resampling import (
    RESAMPLES,
    bootstrap_weights,
    cohort_itself,
    interval,
    kaplan_meier_steps,
)
from survnode.train.measure.scores import auc, brier, harrell, integrated_brier, pair_concordance, uno
from survnode.train.measure.significance import log_rank, risk_groups

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Measure = Callable[[FloatArray], FloatArray]  # weights (R, B) -> (R,)

MONTHS = (6, 12, 18, 24)
CALIBRATION_GROUPS, RISK_GROUPS, D_BINS = 5, 3, 10
FIGURES = {
    "ctd": "C-td (Antolini, ties half)",
    "ctd_mean_of_folds": "C-td, mean of the folds",
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


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Value):
    """A figure and its 95 % bootstrap interval over patients; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def bounds(self) -> tuple[float | None, float | None, float | None]:
        """Value, low, high."""
        return self.value, self.low, self.high

    @classmethod
    def of(cls, measure: Measure, itself: FloatArray, drawn: FloatArray) -> Self:
        """The measure of the cohort itself and of the resamples."""
        low, high = interval(measure(drawn))
        return cls(value=_defined(float(measure(itself)[0])), low=_defined(low), high=_defined(high))


class CalibrationPoint(_Value):
    """Patients of similar predicted survival at the horizon: its mean, and what came of them (Kaplan-Meier)."""

    patients: int
    predicted: float
    observed: Estimate


class RiskGroup(_Value):
    """Patients of similar predicted risk, group 0 the lowest, and their Kaplan-Meier curve.

    Parameters
    ----------
    deaths : at any time
    months, survival, low, high : the observed curve at whole months from 0 to the horizon, with its 95 % interval
    """

    patients: int
    deaths: int
    months: tuple[int, ...]
    survival: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class ChiSquared(_Value):
    """A chi-squared statistic and its p."""

    statistic: float
    p: float


class Evaluation(_Value):
    """What is known of a model's predictions for patients that it never saw.

    Parameters
    ----------
    deaths_by_horizon : seen before the horizon
    metrics : by name; concordances and AUC: 1 is perfect, 0.5 knows nothing; Brier: 0 is perfect;
        calibration_slope: 1, calibration_intercept: 0. `ctd` is Antolini's with ties as half, `ctd_antolini` and
        `ctd_adj_antolini` are pycox's conventions, `ctd_released` that of the paper's code
    ctd_by_fold : of the patients that each fold tested; None where no pair can be compared
    d_calibration_shares : of the patients by survival at their own time, in tenths from 0 to 1; all 0.1 is perfect
    d_calibration : a small p speaks against calibration
    log_rank : between the risk groups
    remark : what a reader of every figure must know; empty if there is nothing
    """

    patients: int
    deaths: int
    deaths_by_horizon: int
    horizon_months: int
    resamples: int
    seed: int
    metrics: dict[str, Estimate]
    ctd_by_fold: tuple[float | None, ...]
    calibration: tuple[CalibrationPoint, ...]
    d_calibration_shares: tuple[Estimate, ...]
    d_calibration: ChiSquared
    risk_groups: tuple[RiskGroup, ...]
    log_rank: ChiSquared
    remark: str = ""


def evaluate(
    time_months: FloatArray,
    event: BoolArray,
    cif: FloatArray,
    *,
    folds: NDArray[np.int64] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    remark: str = "",
) -> Evaluation:
    """All measures of predictions, `Evaluation.metrics` with intervals over patients.

    Parameters
    ----------
    time_months, event : (B,), True where the death was seen
    cif : (B, K), as `Prediction.cif`; its last column is the risk by which patients are ranked once and for all
    folds : (B,) the fold that tested each patient; adds `ctd_mean_of_folds`
    seed : of the bootstrap; the same seed gives the same intervals
    """
    grid = TimeGrid(cif.shape[1])
    itself = cohort_itself(len(event))
    drawn = bootstrap_weights(len(event), np.random.default_rng(seed), resamples)
    by_fold = (
        [] if folds is None else [_concordance_within(folds == k, time_months, event, cif) for k in np.unique(folds)]
    )
    measures = _measures(time_months, event, cif)
    if by_fold:
        measures["ctd_mean_of_folds"] = lambda weights: _mean(fold(weights) for fold in by_fold)
    shares = [partial(_d_calibration_share, place, time_months, event, cif) for place in range(D_BINS)]
    statistic, p = d_calibration_test(d_calibration(cif, time_months, event, itself, D_BINS)[0], len(event))
    group = risk_groups(cif[:, -1], min(RISK_GROUPS, len(event)))
    difference, by_chance = log_rank(time_months, event, group)
    return Evaluation(
        patients=len(event),
        deaths=int(event.sum()),
        deaths_by_horizon=int((event & (time_months < grid.horizon_months)).sum()),
        horizon_months=grid.horizon_months,
        resamples=resamples,
        seed=seed,
        metrics={name: Estimate.of(measure, itself, drawn) for name, measure in measures.items()},
        ctd_by_fold=tuple(_defined(float(fold(itself)[0])) for fold in by_fold),
        calibration=tuple(_calibration(time_months, event, cif, itself, drawn)),
        d_calibration_shares=tuple(Estimate.of(share, itself, drawn) for share in shares),
        d_calibration=ChiSquared(statistic=statistic, p=p),
        risk_groups=tuple(_risk_group(group == number, time_months, event, grid, drawn) for number in np.unique(group)),
        log_rank=ChiSquared(statistic=difference, p=by_chance),
        remark=remark,
    )


def _measures(time: FloatArray, event: BoolArray, cif: FloatArray) -> dict[str, Measure]:
    horizon = cif.shape[1]
    risk = cif[:, -1]
    grid = TimeGrid(horizon)
    measures: dict[str, Measure] = {
        "ctd": partial(pair_concordance, compare_on_grid(grid, cif, time, event)),
        "ctd_antolini": partial(pair_concordance, compare_on_grid(grid, cif, time, event, Ties.ANTOLINI)),
        "ctd_adj_antolini": partial(pair_concordance, compare_on_grid(grid, cif, time, event, Ties.ADJUSTED)),
        "harrell": partial(harrell, risk, time, event),
        "uno": partial(uno, risk, time, event, until_months=horizon),
    }
    if horizon >= LAST_MONTH:
        measures["ctd_released"] = partial(pair_concordance, compare_as_released(cif, time, event))
    for month in (month for month in MONTHS if month <= horizon):
        incidence = cif[:, month - 1]
        measures[f"auc_{month}"] = partial(auc, incidence, time, event, month=month)
        measures[f"brier_{month}"] = partial(brier, incidence, time, event, month=month)
    measures["integrated_brier"] = partial(integrated_brier, cif, time, event)
    for place, name in enumerate(("calibration_intercept", "calibration_slope")):
        measures[name] = partial(_calibration_coefficient, place, risk, time, event, horizon)
    return measures


def _calibration_coefficient(
    place: int, risk: FloatArray, time: FloatArray, event: BoolArray, month: int, weights: FloatArray
) -> FloatArray:
    return calibration_line(risk, time, event, weights, month=month)[place]


def _d_calibration_share(
    place: int, time: FloatArray, event: BoolArray, cif: FloatArray, weights: FloatArray
) -> FloatArray:
    return d_calibration(cif, time, event, weights, D_BINS)[:, place]


def _concordance_within(rows: BoolArray, time: FloatArray, event: BoolArray, cif: FloatArray) -> Measure:
    pairs = compare_on_grid(TimeGrid(cif.shape[1]), cif[rows], time[rows], event[rows])
    return lambda weights: pair_concordance(pairs, weights[:, rows])


def _mean(values: Iterable[FloatArray]) -> FloatArray:
    """The mean (R,) of the folds' values, those that are not defined left out; NaN if none is."""
    stacked = np.stack(list(values))
    defined = np.isfinite(stacked)
    count = defined.sum(axis=0)
    return np.where(count, np.where(defined, stacked, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _calibration(
    time: FloatArray, event: BoolArray, cif: FloatArray, itself: FloatArray, drawn: FloatArray
) -> Iterable[CalibrationPoint]:
    """Equally large groups by predicted survival at the horizon, worst first."""
    horizon, survival = cif.shape[1], 1 - cif[:, -1]
    for rows in np.array_split(np.argsort(survival, kind="stable"), min(CALIBRATION_GROUPS, len(survival))):
        observed = partial(_survival_at, rows, time, event, horizon)
        yield CalibrationPoint(
            patients=len(rows),
            predicted=float(survival[rows].mean()),
            observed=Estimate.of(observed, itself, drawn),
        )


def _survival_at(
    rows: NDArray[np.intp], time: FloatArray, event: BoolArray, month: int, weights: FloatArray
) -> FloatArray:
    return kaplan_meier_steps(time[rows], event[rows], weights[:, rows]).before(month)[:, 0]


def _risk_group(rows: BoolArray, time: FloatArray, event: BoolArray, grid: TimeGrid, drawn: FloatArray) -> RiskGroup:
    months = np.arange(grid.horizon_months + 1.0)
    patients = int(rows.sum())
    curve = kaplan_meier_steps(time[rows], event[rows], cohort_itself(patients)).before(months)[0]
    low, high = np.quantile(
        kaplan_meier_steps(time[rows], event[rows], drawn[:, rows]).before(months), [0.025, 0.975], axis=0
    )
    return RiskGroup(
        patients=patients,
        deaths=int(event[rows].sum()),
        months=tuple(range(len(months))),
        survival=tuple(curve.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
