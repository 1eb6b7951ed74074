"""Everything that is measured of a model's predictions, with intervals, in one call."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from survnode.model.timegrid import TimeGrid
from survnode.train.measure.calibration import d_calibration, d_calibration_test
from survnode.train.measure.figures import FIGURES, POOLED, concordances_by_fold, measures_of
from survnode.train.measure.power import ONE_TRAINING, POOLED_BIAS, Power, power_of
from survnode.train.measure.resampling import (
    RESAMPLES,
    bootstrap_weights,
    cohort_itself,
    interval,
    kaplan_meier_steps,
)
from survnode.train.measure.significance import log_rank, risk_groups

__all__ = ["FIGURES", "Estimate", "Evaluation", "evaluate"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Measure = Callable[[FloatArray], FloatArray]  # weights (R, B) -> (R,)

LEADING, LEADING_OF_FOLDS = "ctd", "ctd_mean_of_folds"
CALIBRATION_GROUPS, RISK_GROUPS, D_BINS = 5, 3, 10


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
    leading : which of the metrics leads
    power : None where the leading figure is not defined
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
    leading: str
    power: Power | None
    remark: str = ""

    @property
    def lead(self) -> Estimate:
        """The figure that leads: with folds their mean."""
        return self.metrics[self.leading]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a reader of the leading figure must know: the remark first, where there is one."""
        power = "" if self.power is None else self.power.sentence
        return tuple(filter(None, (self.remark, self._pooled(), ONE_TRAINING, power)))

    def called(self, words: str, name: str) -> str:
        """A figure of `FIGURES` in words: with folds, how they count in it."""
        if self.leading in (LEADING, name):
            return words
        return f"{words}, {'pooled over the folds' if name in POOLED else 'mean of the folds'}"

    def _pooled(self) -> str:
        """How far the pooled figure lies from the folds' mean; empty without folds."""
        mean, pooled = self.lead.value, self.metrics["ctd"].value
        if self.leading == LEADING or mean is None or pooled is None:
            return ""
        return POOLED_BIAS.format(pooled=pooled, difference=pooled - mean)


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
    folds : (B,) the fold that tested each patient; adds `ctd_mean_of_folds`, and what can be is computed within folds
    seed : of the bootstrap; the same seed gives the same intervals
    """
    grid = TimeGrid(cif.shape[1])
    itself = cohort_itself(len(event))
    drawn = bootstrap_weights(len(event), np.random.default_rng(seed), resamples)
    by_fold = [] if folds is None else concordances_by_fold(time_months, event, cif, folds)
    measures = measures_of(time_months, event, cif, folds)
    leading = LEADING if folds is None else LEADING_OF_FOLDS
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
        metrics={name: Estimate.of(measure, itself, drawn) for name, measure in _in_order(measures)},
        ctd_by_fold=tuple(_defined(float(fold(itself)[0])) for fold in by_fold),
        calibration=tuple(_calibration(time_months, event, cif, itself, drawn)),
        d_calibration_shares=tuple(Estimate.of(share, itself, drawn) for share in shares),
        d_calibration=ChiSquared(statistic=statistic, p=p),
        risk_groups=tuple(_risk_group(group == number, time_months, event, grid, drawn) for number in np.unique(group)),
        log_rank=ChiSquared(statistic=difference, p=by_chance),
        leading=leading,
        power=power_of(measures[leading](drawn)),
        remark=remark,
    )


def _in_order(measures: dict[str, Measure]) -> Iterable[tuple[str, Measure]]:
    return ((name, measures[name]) for name in FIGURES if name in measures)


def _d_calibration_share(
    place: int, time: FloatArray, event: BoolArray, cif: FloatArray, weights: FloatArray
) -> FloatArray:
    return d_calibration(cif, time, event, weights, D_BINS)[:, place]


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
