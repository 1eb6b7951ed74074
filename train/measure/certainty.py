"""How sure a model may be: its recalibration, and a conformal lower bound on survival under censoring.

The bound follows Candes, Lei and Ren (JRSS B 85:24, 2023): a bound from the model's own curve, moved until as many
patients as promised lived to it. Theirs, and Gui et al.'s with cut-offs by patient (2024), need the time of censoring
of everybody, also of those who died. A cohort has it of the censored only, so deaths before the bound are weighted by
the inverse of the share not yet censored at them, as in the successors for right-censored data (Farina et al., 2025;
Sesia and Svetnik, 2025). It is exact in the limit, if censoring does not depend on the risk; that is not checked.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from survnode.model.certainty import LowerBound, Recalibration, log_odds, months_until
from survnode.train.measure.resampling import bootstrap_weights, censoring_steps, cohort_itself, interval
from survnode.train.measure.scores import known_at

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

LEVEL = 0.9  # of the bound: nine in ten live to it
PRIOR_SPREAD = 1.0  # of intercept and slope around 0 and 1: with 38 validation patients it is worth one in ten of them
STEEPEST, FLATTEST = 10.0, 0.05
MIXED = 2  # outcomes that must be known on either side: of fewer nothing is learned


def recalibration(cif: FloatArray, time_months: FloatArray, event: BoolArray) -> Recalibration:
    """Platt's map at the horizon, from patients whom the network was not trained on; nothing is changed for too few.

    Weighted by the inverse of the share not yet censored, and drawn towards changing nothing by `PRIOR_SPREAD`.
    """
    horizon = cif.shape[1]
    died = event & (time_months < horizon)
    if min(died.sum(), (time_months >= horizon).sum()) < MIXED:
        return Recalibration.none()
    weight = known_at(time_months, event, cohort_itself(len(event)), horizon)[0]
    odds = log_odds(cif[:, -1])

    def loss(line: FloatArray) -> tuple[float, FloatArray]:
        intercept, slope = line
        fitted = intercept + slope * odds
        error = weight * (expit(fitted) - died)
        likelihood = float((weight * (np.logaddexp(0, fitted) - died * fitted)).sum())
        prior = (intercept**2 + (slope - 1) ** 2) / (2 * PRIOR_SPREAD**2)
        pull = np.array([intercept, slope - 1]) / PRIOR_SPREAD**2
        return likelihood + prior, np.array([error.sum(), error @ odds]) + pull

    found = minimize(loss, np.array([0.0, 1.0]), jac=True, bounds=[(None, None), (FLATTEST, STEEPEST)])
    return Recalibration(intercept=round(float(found.x[0]), 6), slope=round(float(found.x[1]), 6))


def lower_bound(
    cif: FloatArray,
    time_months: FloatArray,
    event: BoolArray,
    groups: IntArray,
    *,
    level: float = LEVEL,
    resamples: int,
    seed: int = 0,
) -> LowerBound | None:
    """The bound from patients whom the predicting network never saw; None where even the lowest does not hold.

    Parameters
    ----------
    cif : (B, K), as `Prediction.cif`
    groups : (B,) parts of the patients: the coverage of each is that of the bound from the others
    """
    incidence = bound_incidence(cif, time_months, event, level)
    if incidence is None:
        return None
    early = np.zeros(len(event), np.bool_)  # whose bound, found without them, lies beyond their death
    for number in np.unique(groups):
        rows = groups == number
        others = bound_incidence(cif[~rows], time_months[~rows], event[~rows], level)
        early[rows] = event[rows] & (time_months[rows] < months_until(cif[rows], others or 0.0))
    itself, drawn = cohort_itself(len(event)), bootstrap_weights(len(event), np.random.default_rng(seed), resamples)
    coverage = float(_lived(early, time_months, event, itself)[0])
    low, high = interval(_lived(early, time_months, event, drawn))
    return LowerBound(level=level, incidence=incidence, coverage=coverage, low=low, high=high, patients=len(event))


def bound_incidence(cif: FloatArray, time_months: FloatArray, event: BoolArray, level: float) -> float | None:
    """The highest incidence whose times at least ``level`` of the patients live to; None if there is none."""
    candidates = np.unique(np.concatenate([[0.0], _own_incidence(cif, time_months, event)]))
    itself = cohort_itself(len(event))
    weight = _weights(time_months, event, itself)[0]
    best: float | None = None
    for incidence in candidates:
        early = event & (time_months < months_until(cif, float(incidence)))
        if (weight[early].sum() + 1) / (len(event) + 1) > 1 - level:  # the new patient may be one of them
            break
        best = float(incidence)
    return best


def _own_incidence(cif: FloatArray, time_months: FloatArray, event: BoolArray) -> FloatArray:
    """Of each patient who died within the horizon at that time, a little below: there the bound passes the death."""
    curve = np.hstack([np.zeros((len(cif), 1)), cif])
    rows = np.flatnonzero(event & (time_months < cif.shape[1]))
    month = time_months[rows].astype(np.int64)
    begin, end = curve[rows, month], curve[rows, month + 1]
    return np.asarray(begin + (time_months[rows] - month) * (end - begin))


def _lived(early: BoolArray, time_months: FloatArray, event: BoolArray, weights: FloatArray) -> FloatArray:
    """The share (R,) who lived to their bound."""
    return np.asarray(1 - (_weights(time_months, event, weights) * weights * early).sum(axis=1) / weights.sum(axis=1))


def _weights(time_months: FloatArray, event: BoolArray, weights: FloatArray) -> FloatArray:
    """(R, B) the inverse of the share not yet censored just before a death, 0 for who is censored."""
    share = censoring_steps(time_months, event, weights).before(time_months)
    return np.asarray(np.divide(event, share, out=np.zeros_like(share), where=share > 0))
