"""What a prediction says, against numbers worked out by hand."""

import numpy as np
import pytest

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.coverage import Coverage
from survnode.model.prediction import ModelIdentity, Prediction, SliceAttention
from survnode.model.timegrid import TimeGrid

MODEL = ModelIdentity("m", "1", "2.25.1", "ab", "encoder", "cd", "threshold", "1 mm", "nobody")
COVERAGE = Coverage(240.0, 4000.0, 0.0, 0.0)


def attention(*weights: float) -> tuple[SliceAttention, ...]:
    return tuple(
        SliceAttention(SourceImage("1.2", f"1.2.{index}"), index, weight) for index, weight in enumerate(weights)
    )


def prediction(*member_pmf: list[float], weights: tuple[float, ...] = (1.0,)) -> Prediction:
    return Prediction(TimeGrid(len(member_pmf[0]) - 1), np.array(member_pmf), attention(*weights), MODEL, COVERAGE)


def test_the_curve_is_the_mean_of_the_members_curves() -> None:
    made = prediction([0.1, 0.2, 0.7], [0.3, 0.4, 0.3])
    assert made.member_cif == pytest.approx(np.array([[0.1, 0.3], [0.3, 0.7]]))
    assert made.cif == pytest.approx([0.2, 0.5])
    assert made.survival == pytest.approx([0.8, 0.5])


def test_survival_is_asked_for_by_the_month_and_only_within_the_horizon() -> None:
    made = prediction([0.1, 0.2, 0.7])
    assert [made.survival_at(month) for month in (1, 2)] == pytest.approx([0.9, 0.7])
    for month in (0, 3):
        with pytest.raises(ValueError, match=rf"within 1\.\.2, not {month}"):
            made.survival_at(month)


def test_a_median_beyond_the_horizon_is_none() -> None:
    assert prediction([0.1, 0.2, 0.7]).median_months is None
    assert prediction([0.25, 0.5, 0.25]).median_months == pytest.approx(1.5)


def test_images_are_ranked_by_attention_and_of_equals_the_one_nearer_the_feet_comes_first() -> None:
    made = prediction([0.5, 0.5], weights=(0.2, 0.3, 0.2, 0.3))
    assert [item.index for item in made.ranked()] == [1, 3, 0, 2]
    assert [item.index for item in made.ranked(3)] == [1, 3, 0]
