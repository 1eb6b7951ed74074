"""Measures of discrimination and of error under censoring, each with weights for the bootstrap.

Shapes: ``risk`` (B,), higher is worse; ``cif`` (B, K) as `Prediction.cif`, column k - 1 the incidence by month k;
``time_months`` and ``event`` (B,), True where the death was seen; ``weights`` (R, B), see `resampling`. All give (R,),
NaN where the measure is not defined.

A death in month [k - 1, k) is one by month k, and whoever is followed to month k or beyond is alive then: the bins of
`TimeGrid`. Inverse weights are the share not yet censored just before a death or just before the month, deaths being
ahead of censorings at the same time. With ``parts`` patients are compared within each, and the mean of the parts
counts; censoring is estimated from everybody, since a fold has too few.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from survnode.train.measure.concordance import Pairs, compare
from survnode.train.measure.resampling import censoring_steps, mean_of, ratio

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Parts = Sequence[BoolArray]  # each (B,), the patients of a fold


def pair_concordance(pairs: Pairs, weights: FloatArray) -> FloatArray:
    """The concordance of any `Pairs`; a pair of patients drawn twice and three times counts six times."""
    number = ((weights @ pairs.comparable.astype(np.float64)) * weights).sum(axis=1)
    return ratio(((weights @ pairs.score) * weights).sum(axis=1), number)


def harrell(risk: FloatArray, time_months: FloatArray, event: BoolArray, weights: FloatArray) -> FloatArray:
    """Harrell's C over the whole follow-up, a tied risk being half a concordant pair (JAMA 247:2543, 1982)."""
    return pair_concordance(_pairs(risk, time_months, event), weights)


def uno(
    risk: FloatArray,
    time_months: FloatArray,
    event: BoolArray,
    weights: FloatArray,
    *,
    until_months: float,
    parts: Parts = (),
) -> FloatArray:
    """Uno's C up to ``until_months``: pairs weighted by the inverse square of the share not yet censored.

    Unlike Harrell's, its limit does not depend on when patients were censored (Statistics in Medicine 30:1105, 2011).
    """
    pairs = _pairs(risk, time_months, event)
    early = event & (time_months < until_months)
    not_censored = censoring_steps(time_months, event, weights).before(time_months)  # (R, B)
    first = np.divide(weights * early, not_censored**2, out=np.zeros_like(weights), where=not_censored > 0)

    def within(part: BoolArray) -> FloatArray:
        block = np.ix_(part, part)
        comparable, score = pairs.comparable[block].T.astype(np.float64), pairs.score[block].T
        drawn, dies = weights[:, part], first[:, part]
        return ratio(((drawn @ score) * dies).sum(axis=1), ((drawn @ comparable) * dies).sum(axis=1))

    return mean_of(map(within, parts or _whole(risk)))


def auc(
    risk: FloatArray,
    time_months: FloatArray,
    event: BoolArray,
    weights: FloatArray,
    *,
    month: float,
    parts: Parts = (),
) -> FloatArray:
    """Cumulative/dynamic area under the ROC curve: deaths by ``month`` against those alive then.

    Deaths are weighted by the inverse of the share not yet censored (Hung & Chiang, 2010). A tied risk is half a pair.
    """
    died, alive = event & (time_months < month), time_months >= month
    wins = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    inverse = weights / _not_censored_at_death(time_months, event, weights)

    def within(part: BoolArray) -> FloatArray:
        cases, controls = inverse[:, died & part], weights[:, alive & part]
        number = cases.sum(axis=1) * controls.sum(axis=1)
        return ratio(((cases @ wins[np.ix_(died & part, alive & part)]) * controls).sum(axis=1), number)

    return mean_of(map(within, parts or _whole(risk)))


def brier(
    incidence: FloatArray,
    time_months: FloatArray,
    event: BoolArray,
    weights: FloatArray,
    *,
    month: float,
    parts: Parts = (),
) -> FloatArray:
    """Squared error of the incidence (B,) by ``month`` (Graf et al., Statistics in Medicine 18:2529, 1999).

    0 is perfect, 0.25 what a constant of one half scores.
    """
    died = event & (time_months < month)
    error = (died - incidence) ** 2
    known = known_at(time_months, event, weights, month)
    return mean_of(
        ratio(known[:, part] @ error[part], weights[:, part].sum(axis=1)) for part in parts or _whole(incidence)
    )


def integrated_brier(
    cif: FloatArray, time_months: FloatArray, event: BoolArray, weights: FloatArray, *, parts: Parts = ()
) -> FloatArray:
    """The mean of the Brier score from month 1 to the last, K, by the trapezoidal rule over whole months."""
    months = range(1, cif.shape[1] + 1)
    monthly = [brier(cif[:, k - 1], time_months, event, weights, month=k, parts=parts) for k in months]
    scores = np.stack(monthly, axis=1)  # (R, K)
    if len(months) == 1:
        return scores[:, 0]
    return np.asarray((scores[:, 1:] + scores[:, :-1]).sum(axis=1) / 2 / (len(months) - 1))


def known_at(time_months: FloatArray, event: BoolArray, weights: FloatArray, month: float) -> FloatArray:
    """The weights (R, B) of those whose state at ``month`` is known, so that they stand for the others too."""
    died, alive = event & (time_months < month), time_months >= month
    steps = censoring_steps(time_months, event, weights)
    at_month = steps.before(month)  # (R, 1)
    inverse = np.where(died, _inverse(steps.before(time_months)), np.where(alive, _inverse(at_month), 0.0))
    return np.asarray(weights * inverse)


def _whole(risk: FloatArray) -> Parts:
    return (np.ones(len(risk), np.bool_),)


def _pairs(risk: FloatArray, time_months: FloatArray, event: BoolArray) -> Pairs:
    return compare(risk[:, None], np.zeros(len(risk), np.int64), time_months, event)


def _not_censored_at_death(time_months: FloatArray, event: BoolArray, weights: FloatArray) -> FloatArray:
    """(R, B), 1 where it is 0: nobody is left there, and the weight is 0 too."""
    share = censoring_steps(time_months, event, weights).before(time_months)
    return np.where(share > 0, share, 1.0)


def _inverse(share: FloatArray) -> FloatArray:
    return np.divide(1.0, share, out=np.zeros_like(share), where=share > 0)
