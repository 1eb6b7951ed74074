"""The synthetic cohort: the same every time, its outcomes as its docstring says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from survnode.model.phantom.phantom import make_phantom
from survnode.model.timegrid import TimeGrid
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.phantom import SLICES, PhantomPatient, draw_phantoms, hazard_a_month
from survnode.train.measure.concordance import compare_constant
from survnode.train.measure.resampling import kaplan_meier_steps


@pytest.fixture(scope="module")
def large() -> Cohort:
    return Cohort("large", draw_phantoms(3000, seed=7), computed=True)


@pytest.fixture(scope="module")
def radius_mm() -> NDArray[np.float64]:
    return np.array([patient.radius_mm for patient in draw_phantoms(3000, seed=7)])


def test_same_seed_gives_the_same_patients_and_a_longer_cohort_begins_with_the_shorter() -> None:
    assert draw_phantoms(9, 1)[:5] == draw_phantoms(5, 1)
    assert draw_phantoms(5, 1) != draw_phantoms(5, 2)


def test_parts_and_seeds_have_no_patient_in_common() -> None:
    cohorts = [draw_phantoms(500, seed, part) for seed in (1, 2) for part in (0, 1, 2)]
    seeds = [patient.seed for cohort in cohorts for patient in cohort]
    assert len(set(seeds)) == len(seeds)


def test_true_size_scores_about_85_percent(large: Cohort, radius_mm: NDArray[np.float64]) -> None:
    pairs = compare_constant(TimeGrid(), radius_mm, large.time_months, large.event)
    assert pairs.concordance == pytest.approx(0.85, abs=0.01)


def test_survival_follows_the_written_hazard(large: Cohort, radius_mm: NDArray[np.float64]) -> None:
    truth = np.exp([-24 * hazard_a_month(radius) for radius in radius_mm])
    for rows in np.array_split(np.argsort(truth), 5):
        steps = kaplan_meier_steps(large.time_months[rows], large.event[rows], np.ones((1, len(rows))))
        assert steps.before(24)[0, 0] == pytest.approx(truth[rows].mean(), abs=0.04)


def test_one_in_ten_has_no_tumour_and_follow_up_ends_at_60_months(
    large: Cohort, radius_mm: NDArray[np.float64]
) -> None:
    assert np.mean(radius_mm == 0) == pytest.approx(0.1, abs=0.02)
    with_tumour = radius_mm[radius_mm > 0]
    assert (with_tumour.min(), with_tumour.max()) == pytest.approx((5, 45), abs=0.1)
    assert large.time_months.max() == 60
    assert not large.event[large.time_months == 60].any()


def test_key_changes_with_the_ct_and_not_with_the_outcome() -> None:
    patient = PhantomPatient("P", 1, 20.0, 2.0, 14.0, 5.0, event=True)
    assert patient.key == PhantomPatient("P", 1, 20.0, 2.0, 14.0, 9.0, event=False).key
    others = [
        PhantomPatient("P", 2, 20.0, 2.0, 14.0, 5.0, True),
        PhantomPatient("P", 1, 21.0, 2.0, 14.0, 5.0, True),
        PhantomPatient("P", 1, 20.0, 2.0, 9.0, 5.0, True),
    ]
    assert patient.key not in {other.key for other in others}


def test_truth_names_the_slices_that_the_painted_phantom_shows() -> None:
    patient = PhantomPatient("P", 3, 15.0, 4.0, 14.0, 5.0, event=True)
    shape, spacing_mm = patient.grid
    painted = make_phantom(3, shape=shape, spacing_mm=spacing_mm, tumour=patient.tumour, noise_hu=14.0)
    truth = patient.truth()
    assert range(truth.first, truth.end) == painted.tumour_slices
    assert 8 <= truth.end - truth.first <= 13  # a diameter of 30 mm in slices of 3 mm, a little irregular
    assert len(patient.volume().images) == SLICES
    none = PhantomPatient("P", 3, 0.0, 4.0, 14.0, 5.0, event=False).truth()
    assert (none.first, none.end) == (0, 0)


def test_phantom_dies_within_two_years_only_by_a_death_before_month_24() -> None:
    told = [
        PhantomPatient("P", 3, 0.0, 4.0, 14.0, months, event=event).died_within_two_years
        for months, event in ((23.9, True), (24.0, True), (5.0, False))
    ]
    assert told == [True, False, False]
