"""Whether predicted survival comes true."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import chi2

from survnode.train.measure.resampling import ratio
from survnode.train.measure.scores import known_at

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

ODDS_BOUND = 1e-6  # of a predicted probability from 0 and from 1: its odds must be finite
NEWTON_STEPS, CONVERGED = 30, 1e-8


def calibration_line(
    incidence: FloatArray, time_months: FloatArray, event: BoolArray, weights: FloatArray, *, month: float
) -> tuple[FloatArray, FloatArray]:
    """Intercept and slope (R,) of the log odds of death by ``month`` on their prediction; 0 and 1 are perfect.

    A slope below 1 means predictions that are too extreme, an intercept above 0 too few predicted deaths where the
    predicted odds are even. Logistic regression, weighted by the inverse of the share not yet censored; NaN where it
    has no solution.

    Parameters
    ----------
    incidence : (B,) predicted probability of being dead by ``month``
    time_months, event : (B,)
    weights : (R, B), see `resampling`
    """
    known = known_at(time_months, event, weights, month)  # (R, B)
    died = event & (time_months < month)
    bounded = np.clip(incidence, ODDS_BOUND, 1 - ODDS_BOUND)
    log_odds = np.log(bounded / (1 - bounded))
    intercept, slope = np.zeros(len(weights)), np.zeros(len(weights))  # from elsewhere Newton may overshoot
    change = np.full(len(weights), np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # without a solution the steps explode
        for _ in range(NEWTON_STEPS):
            fitted = expit(intercept[:, None] + slope[:, None] * log_odds)
            error, spread = known * (died - fitted), known * fitted * (1 - fitted)
            a, b, c = spread.sum(axis=1), spread @ log_odds, spread @ log_odds**2
            determinant = a * c - b * b
            first, second = error.sum(axis=1), error @ log_odds
            up, turn = (c * first - b * second) / determinant, (a * second - b * first) / determinant
            intercept, slope = intercept + up, slope + turn
            change = np.abs(up) + np.abs(turn)
            if not np.any(change > CONVERGED):
                break
    solved = change < CONVERGED
    return np.where(solved, intercept, np.nan), np.where(solved, slope, np.nan)


def d_calibration(
    cif: FloatArray, time_months: FloatArray, event: BoolArray, weights: FloatArray, bins: int = 10
) -> FloatArray:
    """The share of patients (R, bins) whose survival probability at their own time lies in each of equal intervals.

    All shares are 1 / bins if the whole curves are calibrated (Haider et al., JMLR 21:85, 2020). Whoever is censored at
    a survival of s is spread over [0, s]; whoever outlives the horizon is censored there. Within a month the curve
    falls in a line.

    Parameters
    ----------
    cif : (B, K), as `Prediction.cif`
    """
    last = cif.shape[1]
    curve = np.hstack([np.zeros((len(cif), 1)), cif])  # (B, K + 1), from month 0
    until = np.minimum(time_months, last)
    month = np.minimum(until.astype(np.int64), last - 1)
    rows = np.arange(len(cif))
    begin, end = curve[rows, month], curve[rows, month + 1]
    survival = np.clip(1 - (begin + (until - month) * (end - begin)), 0, 1)
    seen = event & (time_months < last)
    shares = _bin_shares(survival, seen, bins)  # (B, bins)
    return ratio(weights @ shares, weights.sum(axis=1, keepdims=True))


def d_calibration_test(shares: FloatArray, patients: int) -> tuple[float, float]:
    """Chi-squared with bins - 1 degrees of freedom and p of shares (bins,): a small p speaks against calibration."""
    expected = patients / len(shares)
    statistic = float((((shares * patients) - expected) ** 2 / expected).sum())
    return statistic, float(chi2.sf(statistic, len(shares) - 1))


def _bin_shares(survival: FloatArray, seen: BoolArray, bins: int) -> FloatArray:
    own = np.minimum((survival * bins).astype(np.int64), bins - 1)
    lower = np.arange(bins) / bins  # (bins,), lower edges
    covered = np.clip(survival[:, None] - lower, 0, 1 / bins)  # of each interval, by [0, s]
    spread = np.divide(covered, survival[:, None], out=np.zeros_like(covered), where=survival[:, None] > 0)
    spread[survival == 0, 0] = 1.0
    return np.where(seen[:, None], np.eye(bins)[own], spread)
