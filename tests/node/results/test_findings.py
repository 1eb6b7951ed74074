import numpy as np
import pytest

from survnode.model.ct.arrangement import SourceImage
from survnode.model.prediction import Prediction, SliceAttention
from survnode.model.timegrid import TimeGrid
from survnode.node.results.findings import RankedSlice, ReportedFindings, findings_of

from .conftest import COVERAGE, Predict, a_model, a_series

IMAGES = tuple(SourceImage("1.2", f"1.{i}", i + 1) for i in range(4))


def two_members() -> Prediction:
    """Deaths of 10 and 20 % in month 1, of 30 and 40 % in month 2; the rest survives."""
    pmf = np.array([[0.1, 0.3, 0.6], [0.2, 0.4, 0.4]])
    weights = (0.123456, 0.0, 0.5, 0.376544)
    attention = tuple(SliceAttention(IMAGES[i], i, weights[i]) for i in (0, 2, 3))
    return Prediction(TimeGrid(2), pmf, attention, a_model(cohort_survival=(0.0, 0.4, 0.8)), COVERAGE)


@pytest.fixture
def findings() -> ReportedFindings:
    return findings_of(two_members(), a_series(len(IMAGES)), captures=2)


def test_the_curve_is_the_members_mean_in_percent(findings: ReportedFindings) -> None:
    assert findings.incidence.tolist() == [15.0, 50.0]
    assert findings.survival.tolist() == [85.0, 50.0]
    assert findings.median_months == 2.0


def test_the_spread_reaches_from_the_lowest_member_to_the_highest(findings: ReportedFindings) -> None:
    assert findings.spread_at(1) == (80.0, 90.0)
    assert findings.spread_at(2) == (40.0, 60.0)


def test_one_model_has_no_spread(predict: Predict) -> None:
    assert findings_of(predict(members=1), a_series(), 5).spread_at(24) is None


def test_slices_are_ranked_by_attention_and_unseen_ones_have_none(findings: ReportedFindings) -> None:
    assert [(item.rank, item.index, item.weight) for item in findings.slices] == [(1, 2, 50.0), (2, 3, 37.65)]
    assert findings.attention.tolist() == [12.35, 0.0, 50.0, 37.65]


def test_the_place_in_the_cohort_is_read_from_its_quantiles(findings: ReportedFindings) -> None:
    assert findings.cohort_rank == 62.0  # 50 % lies a quarter of the way from the median, 40, to the maximum, 80


def test_a_model_without_a_recorded_cohort_gives_no_place(predict: Predict) -> None:
    assert findings_of(predict(cohort_survival=()), a_series(), 5).cohort_rank is None


def test_the_milestones_are_half_years_and_the_horizon(findings: ReportedFindings, predict: Predict) -> None:
    assert findings.milestones == (2,)
    assert findings_of(predict(), a_series(), 5).milestones == (6, 12, 18, 24)


def test_an_image_is_named_as_a_person_finds_it() -> None:
    def named(*numbers: int) -> str:
        return RankedSlice(1, 0, 1.0, SourceImage("1", "2", *numbers), "series 3", -212.5).name

    assert named(17) == "source image 17 of series 3, z -212.5 mm"
    assert named(1, 30) == "source frame 30 of series 3, z -212.5 mm"
    assert named() == "source image at z -212.5 mm of series 3"
