"""Predictions beside what is true of phantoms."""

from dataclasses import replace

import numpy as np
import pytest

from survnode.train.cohorts.phantom import draw_phantoms, hazard_a_month
from survnode.train.measure.truth import compare_with_truth

PHANTOMS = draw_phantoms(40, 3)


def true_incidence() -> np.ndarray:
    hazard = np.array([hazard_a_month(patient.radius_mm) for patient in PHANTOMS])
    return 1 - np.exp(-hazard[:, None] * np.arange(1, 25))


def attention_on(offset: int) -> list[np.ndarray]:
    """All of it on one image of 100: so many above the lower end of the tumour."""
    return [np.eye(100)[patient.truth().first + offset] for patient in PHANTOMS]


def test_truth_itself_has_no_error_and_finds_every_tumour() -> None:
    found = compare_with_truth(PHANTOMS, true_incidence(), attention_on(0), resamples=50, seed=1)
    assert found.survival_error == pytest.approx(0, abs=1e-12)
    assert [it.share for it in found.tumour_among_top_images] == [1.0, 1.0]
    over_20, over_40 = (it.patients for it in found.tumour_among_top_images)
    assert over_40 == sum(patient.radius_mm > 20 for patient in PHANTOMS) < over_20
    ctd = found.ctd_of_true_radius
    assert ctd.value is not None
    assert ctd.low is not None
    assert ctd.high is not None
    assert 0.7 < ctd.low < ctd.value < ctd.high


def test_attention_elsewhere_finds_nothing() -> None:
    ends = [5 if patient.truth().first >= 5 else 100 for patient in PHANTOMS]  # the five lowest images, or the highest
    elsewhere = [np.isin(np.arange(100), np.arange(end - 5, end)) / 5 for end in ends]
    assert all(end == 5 or patient.truth().end <= 95 for end, patient in zip(ends, PHANTOMS, strict=True))
    found = compare_with_truth(PHANTOMS, true_incidence(), elsewhere, resamples=10, seed=1)
    assert [it.share for it in found.tumour_among_top_images] == [0.0, 0.0]


def test_where_all_are_censored_or_no_tumour_is_large_nothing_is_defined() -> None:
    healthy = [replace(patient, radius_mm=0.0, event=False) for patient in PHANTOMS]
    found = compare_with_truth(healthy, true_incidence(), attention_on(0), resamples=10, seed=1)
    ctd = found.ctd_of_true_radius
    assert (ctd.value, ctd.low, ctd.high) == (None, None, None)
    assert [(it.patients, it.share) for it in found.tumour_among_top_images] == [(0, None), (0, None)]


def test_network_without_attention_finds_nobody() -> None:
    found = compare_with_truth(PHANTOMS, true_incidence(), (), resamples=10, seed=1)
    assert found.tumour_among_top_images == ()
