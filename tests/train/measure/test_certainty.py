"""Recalibrated predictions come true, and as many patients as promised live to their bound."""

import numpy as np
import pytest
from numpy.typing import NDArray

from survnode.model.certainty import Recalibration, months_until
from survnode.train.cohorts.phantom import PhantomPatient, draw_phantoms, hazard_a_month
from survnode.train.measure.certainty import bound_incidence, lower_bound, recalibration
from survnode.train.measure.evaluate import evaluate

Outcomes = tuple[NDArray[np.float64], NDArray[np.bool_]]
MONTHS = np.arange(1, 25)


def outcomes(patients: tuple[PhantomPatient, ...]) -> Outcomes:
    return np.array([it.time_months for it in patients]), np.array([it.event for it in patients])


def too_sure(patients: tuple[PhantomPatient, ...], seed: int) -> NDArray[np.float64]:
    """What an overfitted network says: the true log odds, doubled, moved and blurred."""
    rng = np.random.default_rng(seed)
    hazard = np.array([hazard_a_month(it.radius_mm) for it in patients])
    cif = 1 - np.exp(-hazard[:, None] * MONTHS)
    blur = rng.normal(0, 0.3, (len(patients), 1))
    return np.asarray(1 / (1 + np.exp(-(0.8 + blur + 2 * np.log(cif / (1 - cif))))))


def test_slope_of_160_unseen_phantoms_is_one_after_recalibration_on_validation_phantoms_and_was_not_before() -> None:
    learned, unseen = draw_phantoms(400, 100), draw_phantoms(160, 100, 3)
    time, event = outcomes(unseen)
    maps = [recalibration(too_sure(part, fold), *outcomes(part)) for fold in range(5) for part in [learned[fold::5]]]
    members = [too_sure(unseen, 10 + fold) for fold in range(5)]
    before = evaluate(time, event, np.mean(members, axis=0), resamples=300)
    after = evaluate(
        time, event, np.mean([it.apply(cif) for it, cif in zip(maps, members, strict=True)], axis=0), resamples=300
    )
    low, high = after.metrics["calibration_slope"].low, after.metrics["calibration_slope"].high
    assert low is not None
    assert high is not None
    assert low <= 1 <= high
    was = before.metrics["calibration_slope"].high
    assert was is not None
    assert was < 1


def test_map_keeps_a_curve_rising_between_nothing_and_one() -> None:
    cif = np.sort(np.random.default_rng(0).uniform(size=(5, 24)), axis=1)
    mapped = Recalibration(intercept=0.7, slope=0.4).apply(cif)
    assert (np.diff(mapped, axis=1) >= 0).all()
    assert mapped.min() >= 0
    assert mapped.max() <= 1
    assert Recalibration.none().apply(cif) == pytest.approx(cif, abs=1e-6)


def test_too_few_outcomes_change_nothing() -> None:
    cif = np.full((3, 24), 0.5)
    assert recalibration(cif, np.array([3.0, 30.0, 40.0]), np.array([True, False, False])) == Recalibration.none()


def drawn(seed: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Curves that are wrong, and outcomes of whom a third are censored early."""
    rng = np.random.default_rng(seed)
    hazard = rng.uniform(0.005, 0.1, size)
    death, leaving = rng.exponential(1 / hazard), rng.exponential(40, size)
    cif = 1 - np.exp(-(0.3 * hazard[:, None] + 0.01) * MONTHS)
    return cif, np.minimum(death, leaving), death <= leaving


def test_bound_covers_what_it_promises_on_patients_who_were_not_looked_at() -> None:
    covered = []
    for seed in range(20):
        cif, time, event = drawn(seed, 300)
        incidence = bound_incidence(cif, time, event, 0.9)
        assert incidence is not None
        rng = np.random.default_rng(1000 + seed)
        hazard = rng.uniform(0.005, 0.1, 4000)
        bound = months_until(1 - np.exp(-(0.3 * hazard[:, None] + 0.01) * MONTHS), incidence)
        covered.append((rng.exponential(1 / hazard) >= bound).mean())
    assert np.mean(covered) == pytest.approx(0.9, abs=0.03)


def test_coverage_that_is_told_is_that_of_patients_whose_bound_was_found_without_them() -> None:
    cif, time, event = drawn(1, 400)
    bound = lower_bound(cif, time, event, np.arange(400) % 10, resamples=200)
    assert bound is not None
    assert bound.coverage == pytest.approx(0.9, abs=0.03)
    assert bound.low is not None
    assert bound.high is not None
    assert bound.low < 0.9 < bound.high
    assert bound.patients == 400


def test_no_bound_is_told_where_too_few_patients_stand_for_it() -> None:
    cif, time, event = drawn(2, 8)
    assert lower_bound(cif, time, event, np.arange(8) % 2, resamples=5) is None


def test_time_until_an_incidence_is_read_from_the_line_within_a_month() -> None:
    cif = np.array([[0.1, 0.3], [0.0, 0.0], [0.5, 0.5]])
    assert months_until(cif, 0.2) == pytest.approx([1.5, 2.0, 0.4])
