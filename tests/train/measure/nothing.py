"""Cohorts of which nothing can be predicted, and a cheap model that is trained on them, fold by fold, all the same."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survnode.train.cohorts.folds import make_folds

FEATURES, MONTHS, RIDGE = 5, 24, 1.0


@dataclass(frozen=True)
class Predicted:
    time: NDArray[np.float64]
    event: NDArray[np.bool_]
    cif: NDArray[np.float64]
    folds: NDArray[np.int64]


def of_noise(seed: int, size: int = 119, effect: float = 0.0) -> Predicted:
    """Cross-validated predictions from features that say nothing of the outcome; with ``effect`` the first one does."""
    rng = np.random.default_rng([7, seed])
    features = rng.normal(size=(size, FEATURES))
    death = rng.exponential(28.0, size) * np.exp(-effect * features[:, 0])
    leaving = rng.uniform(10, 80, size)
    time, event = np.minimum(death, leaving), death <= leaving
    names = [str(row) for row in range(size)]
    cif, folds = np.empty((size, MONTHS)), np.empty(size, np.int64)
    for fold in make_folds(names, event & (time < MONTHS), seed=seed):
        train, test = (np.array(list(map(int, part))) for part in (fold.train + fold.validation, fold.test))
        cif[test], folds[test] = _predict(features[train], time[train], event[train], features[test]), fold.number
    return Predicted(time, event, cif, folds)


def _predict(
    features: NDArray[np.float64], time: NDArray[np.float64], event: NDArray[np.bool_], unseen: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A ridge regression of death within the horizon on the features, and a constant hazard that gives it."""
    died = (event & (time < MONTHS)).astype(np.float64)
    centre = features.mean(axis=0)
    x = features - centre
    slope = np.linalg.solve(x.T @ x + RIDGE * np.eye(FEATURES), x.T @ (died - died.mean()))
    risk = np.clip(died.mean() + (unseen - centre) @ slope, 0.02, 0.98)
    return np.asarray(1 - (1 - risk[:, None]) ** (np.arange(1, MONTHS + 1) / MONTHS))
