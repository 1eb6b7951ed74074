"""Every figure again in parts of the patients: by sex, age, stage, histology, manufacturer and kernel."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from survnode.model.timegrid import TimeGrid
from survnode.train.measure.concordance import Pairs, compare_on_grid
from survnode.train.measure.evaluate import Estimate
from survnode.train.measure.figures import FEWEST_PAIRS, FIGURES, Measure, measures_of
from survnode.train.measure.resampling import bootstrap_weights, cohort_itself
from survnode.train.measure.scores import pair_concordance

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

FEWEST_PATIENTS = 10  # of fewer nothing but their number is told
WITHIN = "ctd_within_folds"
SUBGROUP_FIGURES = {WITHIN: "C-td, all pairs within folds", **FIGURES}


@dataclass(frozen=True)
class Subgroup:
    """Patients who share a value.

    Parameters
    ----------
    name, value : such as "sex", "F"
    deaths_by_horizon : seen before the horizon
    metrics : by name, see `SUBGROUP_FIGURES`; none where there are fewer than `FEWEST_PATIENTS`
    """

    name: str
    value: str
    patients: int
    deaths_by_horizon: int
    metrics: Mapping[str, Estimate]


def subgroups(
    time_months: FloatArray,
    event: BoolArray,
    cif: FloatArray,
    folds: IntArray | None,
    values: Mapping[str, Sequence[str]],
    *,
    resamples: int,
    seed: int = 0,
) -> Iterator[Subgroup]:
    """Every value of every variable, in alphabetical order.

    A fold has too few patients of a value for a mean of folds: C-td counts all pairs of the value that one fold tested.

    Parameters
    ----------
    values : by variable, the value of each patient (B,)
    """
    for name, own in values.items():
        for value in sorted(set(own)):
            rows = np.array([it == value for it in own], np.bool_)
            numbers = None if folds is None else folds[rows]
            metrics = _metrics(time_months[rows], event[rows], cif[rows], numbers, resamples, seed)
            deaths = int((event & (time_months < cif.shape[1]))[rows].sum())
            yield Subgroup(name, value, int(rows.sum()), deaths, metrics)


def _metrics(
    time: FloatArray, event: BoolArray, cif: FloatArray, folds: IntArray | None, resamples: int, seed: int
) -> dict[str, Estimate]:
    if len(event) < FEWEST_PATIENTS:
        return {}
    itself = cohort_itself(len(event))
    drawn = bootstrap_weights(len(event), np.random.default_rng(seed), resamples)
    measures = {WITHIN: _within_folds(time, event, cif, folds)} | measures_of(time, event, cif, folds)
    return {name: Estimate.of(measures[name], itself, drawn) for name in SUBGROUP_FIGURES if name in measures}


def _within_folds(time: FloatArray, event: BoolArray, cif: FloatArray, folds: IntArray | None) -> Measure:
    pairs = compare_on_grid(TimeGrid(cif.shape[1]), cif, time, event)
    same = np.ones_like(pairs.comparable) if folds is None else folds[:, None] == folds[None, :]
    pairs = Pairs(np.where(same, pairs.score, 0.0), pairs.comparable & same)
    if pairs.comparable.sum() < FEWEST_PAIRS:
        return lambda weights: np.full(len(weights), np.nan)
    return partial(pair_concordance, pairs)
