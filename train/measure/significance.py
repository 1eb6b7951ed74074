"""Whether a difference could be chance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from survnode.model.timegrid import TimeGrid
from survnode.train.measure.concordance import compare_on_grid

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

PERMUTATIONS = 5000


@dataclass(frozen=True)
class Permutation:
    """Two models on the same patients: their concordances, the difference, and how often chance does as much."""

    first: float
    second: float
    difference: float
    p: float
    permutations: int


def permutation_test(
    first: FloatArray,
    second: FloatArray,
    time_months: FloatArray,
    event: BoolArray,
    rng: np.random.Generator,
    *,
    folds: IntArray | None = None,
    permutations: int = PERMUTATIONS,
) -> Permutation:
    """Two-sided test of two models' time-dependent concordance by swapping their predictions patient by patient.

    p = (1 + count) / (1 + permutations), with the count of swaps whose difference is at least the observed one.

    Parameters
    ----------
    first, second : (B, K), the two models' `Prediction.cif`
    time_months, event : (B,)
    folds : (B,) the fold that tested each patient: pairs are then compared within folds only, and the folds' mean is
        tested; None: all pairs

    Notes
    -----
    With z_i = 1 where patient i is swapped and -1 where not, the difference is an odd polynomial of the second degree
    in z, hence linear: sum_i v_i z_i. The v_i come from the pairs once, and 5,000 permutations are one product.
    """
    count = len(event)
    both = compare_on_grid(
        TimeGrid(first.shape[1]), np.vstack([first, second]), np.tile(time_months, 2), np.tile(event, 2)
    )
    comparable = both.comparable[:count, :count].astype(np.float64)
    weight = comparable * _share_of_pair(comparable, np.zeros(count, np.int64) if folds is None else folds)
    (aa, ab), (ba, bb) = (
        tuple(weight * both.score[i : i + count, j : j + count] for j in (0, count)) for i in (0, count)
    )
    v = -aa.sum(0) - aa.sum(1) - ab.sum(1) + ab.sum(0) + ba.sum(1) - ba.sum(0) + bb.sum(0) + bb.sum(1)
    z = 2.0 * rng.integers(0, 2, size=(permutations, count)) - 1
    drawn, observed = z @ v / 2, float(aa.sum() - bb.sum())
    reached = int((np.abs(drawn) >= abs(observed) - 1e-12).sum())
    p = (1 + reached) / (1 + permutations)
    return Permutation(float(aa.sum()), float(bb.sum()), observed, p, permutations)


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test: W, the two-sided p, z without continuity correction, effect r = |z| / sqrt(n)."""

    n: int
    statistic: float
    p: float
    z: float
    r: float


def wilcoxon_signed_rank(differences: FloatArray) -> SignedRank:
    """Wilcoxon's test of paired differences (n,); zeros are left out.

    p is exact up to 50 differences without ties among their sizes, and from z otherwise.
    """
    nonzero = differences[differences != 0]
    n = len(nonzero)
    if n == 0:
        return SignedRank(0, 0.0, 1.0, 0.0, 0.0)
    size = np.abs(nonzero)
    ranks = stats.rankdata(size)
    statistic = float(min(ranks[nonzero > 0].sum(), ranks[nonzero < 0].sum()))
    _, tied = np.unique(size, return_counts=True)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((tied**3 - tied).sum()) / 48
    z = (statistic - n * (n + 1) / 4) / np.sqrt(variance)
    exact = n <= 50 and tied.max() == 1
    p = float(stats.wilcoxon(nonzero, method="exact").pvalue) if exact else float(2 * stats.norm.sf(abs(z)))
    return SignedRank(n, statistic, p, float(z), float(abs(z) / np.sqrt(n)))


def risk_groups(risk: FloatArray, count: int) -> IntArray:
    """Groups 0 .. count - 1 of equal size, lowest risk first, (B,); equal risks in the order of the patients."""
    group = np.empty(len(risk), np.int64)
    for number, rows in enumerate(np.array_split(np.argsort(risk, kind="stable"), count)):
        group[rows] = number
    return group


def log_rank(time_months: FloatArray, event: BoolArray, group: IntArray) -> tuple[float, float]:
    """Chi-squared and p of the log-rank test that groups (B,) die at the same rate (Mantel, 1966)."""
    numbers = np.unique(group)
    member = (group[None, :] == numbers[:, None]).astype(np.float64)  # (G, B)
    deaths = np.unique(time_months[event])
    at_risk = member @ (time_months[:, None] >= deaths)  # (G, U)
    died = member @ (event[:, None] & (time_months[:, None] == deaths))  # (G, U)
    n, d = at_risk.sum(axis=0), died.sum(axis=0)
    excess = (died - at_risk * d / n).sum(axis=1)
    factor = np.divide(d * (n - d), n**2 * (n - 1), out=np.zeros_like(n), where=n > 1)
    covariance = np.diag((factor * at_risk * n).sum(axis=1)) - (factor * at_risk) @ at_risk.T
    statistic = float(excess @ np.linalg.pinv(covariance) @ excess)
    return statistic, float(stats.chi2.sf(statistic, len(numbers) - 1))


def _share_of_pair(comparable: FloatArray, folds: IntArray) -> FloatArray:
    """What each pair adds to the mean of the folds' concordances, (B, B); folds without a pair do not count."""
    share = np.zeros_like(comparable)
    within = [folds == number for number in np.unique(folds)]
    totals = [float(comparable[np.ix_(rows, rows)].sum()) for rows in within]
    counted = sum(total > 0 for total in totals)
    for rows, total in zip(within, totals, strict=True):
        if total:
            share[np.ix_(rows, rows)] = 1 / (total * counted)
    return share
