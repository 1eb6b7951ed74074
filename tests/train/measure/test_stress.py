"""What is told of a prediction that moves, on a model whose survival is a line of the mean HU."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.uid import CTImageStorage

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.coverage import Coverage, CoverageWarning
from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.model.prediction import ModelIdentity, Prediction, SliceAttention
from survnode.model.timegrid import TimeGrid
from survnode.train.measure.disturbances import Disturbance, DisturbanceKind, thinned
from survnode.train.measure.stress import Movement, StressedPrediction, stress

IMAGES = tuple(SourceImage(CTImageStorage, f"1.2.{number}", number) for number in range(40))
VOLUME = Volume(np.zeros((40, 4, 4), np.float32), (3.0, 1.0, 1.0), IMAGES, np.eye(3), np.zeros(3))
MODEL = ModelIdentity("m", "1", "2.25.1", "ab", "encoder", "cd", "threshold", "1 mm", "nobody")


def predict(volume: Volume) -> Prediction:
    """Each of two months takes 20 % and, of each HU of the mean, 1 % more, first month, and 0.5 % more, second."""
    mean = float(volume.hu.mean())
    if mean > 50:
        raise SeriesUnsuitable(Reason.LUNGS_INCOMPLETE, "Too bright.")
    first, second = 0.2 + mean / 100, 0.2 - mean / 200
    place = volume.origin_mm[2] + np.arange(len(volume.images)) * volume.spacing_mm[0]
    weights = place + 1 if mean <= 10 else 200 - place
    attention = tuple(
        SliceAttention(image, row, float(weights[row] / weights.sum())) for row, image in enumerate(volume.images)
    )
    warnings = (CoverageWarning.SHORT,) if mean > 10 else ()
    pmf = np.array([[first, second, 1 - first - second]])
    return Prediction(TimeGrid(2), pmf, attention, MODEL, Coverage(200.0, 4000.0, 0.0, 0.0, warnings))


def brighter(volume: Volume, hu: float) -> Volume:
    return replace(volume, hu=volume.hu + np.float32(hu))


def moved(*changes: Disturbance) -> StressedPrediction:
    return stress(VOLUME, predict, predict(VOLUME), changes)


def movement(change: Disturbance) -> Movement:
    return moved(change).movements[0]


def test_what_changes_nothing_moves_nothing() -> None:
    it = movement(Disturbance(DisturbanceKind.CONTRAST, 0, brighter))
    assert (it.change, it.largest_change) == (0.0, 0.0)
    assert it.attention_correlation == pytest.approx(1)
    assert np.array_equal(it.survival, predict(VOLUME).survival)  # type: ignore[arg-type]  # it is not None
    assert it.warnings == ()


def test_the_change_at_the_horizon_and_the_largest_of_all_months_are_told_with_their_sign() -> None:
    it = movement(Disturbance(DisturbanceKind.CONTRAST, 10, brighter))
    assert it.largest_change == pytest.approx(-0.1)  # in the first month; the second gives half of it back
    assert it.change == pytest.approx(-0.05)


def test_attention_turned_upside_down_correlates_negatively_and_the_warning_is_told() -> None:
    it = movement(Disturbance(DisturbanceKind.CONTRAST, 20, brighter))
    assert it.attention_correlation == pytest.approx(-1)
    assert it.warnings == (CoverageWarning.SHORT,)


def test_attention_of_fewer_slices_is_compared_at_the_place_where_they_lie() -> None:
    assert movement(Disturbance(DisturbanceKind.FEWER, 2, thinned)).attention_correlation == pytest.approx(1)


def test_a_refusal_is_told_by_its_reason_and_the_others_go_on() -> None:
    refused, other = (Disturbance(DisturbanceKind.CONTRAST, hu, brighter) for hu in (60, 10))
    stressed = moved(refused, other)
    first, second = stressed.movements
    assert (first.reason, first.detail) == (Reason.LUNGS_INCOMPLETE, "Too bright.")
    assert (first.survival, first.change, first.attention_correlation) == (None, None, None)
    assert stressed.furthest is second


def test_a_stack_that_is_left_too_short_is_refused_as_it_would_be_if_it_came_so() -> None:
    assert movement(Disturbance(DisturbanceKind.FEWER, 3, thinned)).reason is Reason.TOO_FEW_SLICES


def test_where_everything_is_refused_nothing_is_furthest() -> None:
    assert moved(Disturbance(DisturbanceKind.CONTRAST, 60, brighter)).furthest is None
