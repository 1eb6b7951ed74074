"""The published code's concordance on LUNG1's labels: what it makes of a perfect predictor and of a random one."""

from pathlib import Path

import numpy as np
import pytest

from survnode.model.timegrid import TimeGrid, cif_from_pmf
from survnode.train.cohorts.clinical import MonthRule
from survnode.train.measure.concordance import concordance_td
from survnode.train.measure.released import compare_as_released, released_labels

from ..trees import papers_outcomes

Labels = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def lung1_outcomes(shared_data: Path) -> Labels:
    """Months of 30.4375 days and deaths of the paper's 415 patients."""
    outcomes = papers_outcomes(shared_data)
    months = np.array([MonthRule.EXACT.months(outcome.days) for outcome in outcomes])
    return months, np.array([outcome.event for outcome in outcomes])


def test_labels_come_back_from_months(lung1_outcomes: Labels) -> None:
    month, event = released_labels(*lung1_outcomes)
    assert (month.min(), month.max(), event.sum()) == (0, 24, 251)
    assert np.bincount(month[event])[:4].tolist() == [4, 6, 13, 11]


def test_perfect_predictor_gets_0_954(lung1_outcomes: Labels) -> None:
    time, event = lung1_outcomes
    month, _ = released_labels(time, event)
    # The probability of death is a bell around the true month: perfect but for one censored in a month of deaths.
    bell = np.exp(-((np.arange(25) - month[:, None]) ** 2) / 2)
    cif = cif_from_pmf(bell / bell.sum(axis=1, keepdims=True))
    assert concordance_td(TimeGrid(24), cif, month + np.float64(0.5), event & (month < 24)) == pytest.approx(
        1, abs=2e-4
    )
    assert compare_as_released(cif, time, event).concordance == pytest.approx(0.954, abs=0.0005)


def test_random_predictor_gets_0_482(lung1_outcomes: Labels) -> None:
    rng = np.random.default_rng(0)
    guesses = (cif_from_pmf(rng.dirichlet(np.ones(25), 415)) for _ in range(300))
    drawn = [compare_as_released(cif, *lung1_outcomes).concordance for cif in guesses]
    assert np.mean(drawn) == pytest.approx(0.482, abs=0.0015)
    # What is lost is half of the pairs of deaths in month 1, all of which count as discordant.
    pairs = compare_as_released(np.zeros((415, 24)), *lung1_outcomes).comparable
    month, _ = released_labels(*lung1_outcomes)
    assert pairs[month == 1].sum() / pairs.sum() == pytest.approx(2 * (0.5 - 0.4827), abs=0.0003)


def test_incidence_is_read_two_months_early_and_ties_lose() -> None:
    cif = np.zeros((2, 24))
    cif[0, 8:] = 0.5
    time, event = np.array([10.5, 20.0]), np.array([True, True])
    assert compare_as_released(cif, time, event).concordance == 1
    cif[0, 8] = 0
    assert compare_as_released(cif, time, event).concordance == 0
