"""The synthetic cohort: the same every time, its outcomes as its docstring says."""

import numpy as np
import pytest

from survnode.model.timegrid import TimeGrid
from survnode.train.cohorts.phantom import SLICES, PhantomCohort, PhantomPatient, hazard_a_month
from survnode.train.measure.calibration import calibration
from survnode.train.measure.concordance import compare_constant


@pytest.fixture(scope="module")
def large() -> PhantomCohort:
    return PhantomCohort.draw(3000, seed=7, part=0)


def test_same_seed_gives_the_same_patients_and_a_longer_cohort_begins_with_the_shorter() -> None:
    shorter, longer = PhantomCohort.draw(5, 1, 0), PhantomCohort.draw(9, 1, 0)
    assert longer.patients[:5] == shorter.patients
    assert PhantomCohort.draw(5, 1, 0).sha256 == shorter.sha256
    assert longer.sha256 != shorter.sha256


def test_parts_and_seeds_have_no_patient_in_common() -> None:
    cohorts = [PhantomCohort.draw(500, seed, part) for seed in (1, 2) for part in (0, 1, 2)]
    seeds = [patient.seed for cohort in cohorts for patient in cohort.patients]
    assert len(set(seeds)) == len(seeds)


def test_true_size_scores_about_85_percent(large: PhantomCohort) -> None:
    pairs = compare_constant(TimeGrid(), large.radius_mm, large.time_months, large.event)
    assert pairs.concordance == pytest.approx(0.85, abs=0.01)


def test_survival_follows_the_written_hazard(large: PhantomCohort) -> None:
    truth = np.exp([-24 * hazard_a_month(radius) for radius in large.radius_mm])
    for group in calibration(truth, large.time_months, large.event, 24, 5):
        assert group.observed == pytest.approx(group.predicted, abs=0.04)


def test_one_in_ten_has_no_tumour_and_follow_up_ends_at_60_months(large: PhantomCohort) -> None:
    assert np.mean(large.radius_mm == 0) == pytest.approx(0.1, abs=0.02)
    with_tumour = large.radius_mm[large.radius_mm > 0]
    assert (with_tumour.min(), with_tumour.max()) == pytest.approx((5, 45), abs=0.1)
    assert large.time_months.max() == 60
    assert not large.event[large.time_months == 60].any()


def test_key_changes_with_the_ct_and_not_with_the_outcome() -> None:
    patient = PhantomPatient(1, 20.0, 2.0, 14.0, 5.0, event=True)
    assert patient.key == PhantomPatient(1, 20.0, 2.0, 14.0, 9.0, event=False).key
    others = [
        PhantomPatient(2, 20.0, 2.0, 14.0, 5.0, True),
        PhantomPatient(1, 21.0, 2.0, 14.0, 5.0, True),
        PhantomPatient(1, 20.0, 2.0, 9.0, 5.0, True),
    ]
    assert patient.key not in {other.key for other in others}


def test_scan_marks_the_slices_of_the_tumour() -> None:
    scan = PhantomPatient(3, 15.0, 4.0, 14.0, 5.0, event=True).scan()
    assert scan.volume.hu.shape[0] == len(scan.volume.images) == len(scan.tumour) == SLICES
    assert 8 <= scan.tumour.sum() <= 13  # a diameter of 30 mm in slices of 3 mm, a little irregular
    assert not PhantomPatient(3, 0.0, 4.0, 14.0, 5.0, event=False).scan().tumour.any()
