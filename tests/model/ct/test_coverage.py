import pickle

import numpy as np
import pytest

from survnode.model.ct.coverage import (
    Coverage,
    CoverageLimits,
    CoverageWarning,
    coverage_limits,
    judge_coverage,
    lung_height_mm,
)
from survnode.model.ct.volume import Mask
from survnode.model.errors import Reason, SeriesUnsuitable

SPACING = (3.0, 1.0, 1.0)
LIMITS = CoverageLimits(n_patients=3, lung_heights_mm=(200.0, 300.0), min_height_mm=200.0)


def lungs(*areas: int) -> Mask:
    """Slices of 10 x 10 that show ``areas`` voxels of lung, feet to head."""
    mask = np.zeros((len(areas), 100), np.uint8)
    for row, area in enumerate(areas):
        mask[row, :area] = 1 + row % 2
    return mask.reshape(-1, 10, 10)


def whole(height: int) -> list[int]:
    """``height`` slices of lung that taper to nothing at either end."""
    return [0, 2, *[100] * (height - 2), 2, 0]


def test_the_height_is_that_of_the_slices_with_lung_and_of_what_lies_between() -> None:
    assert lung_height_mm(lungs(0, 5, 0, 5, 0), 3.0) == 9.0
    assert lung_height_mm(lungs(0, 0), 3.0) == 0.0


def test_whole_lungs_are_measured_and_need_no_words() -> None:
    found = judge_coverage(lungs(*whole(80)), SPACING, LIMITS)
    assert found == Coverage(240.0, (78 * 100 + 4) * 3 / 1000, 0.0, 0.0, ())


def test_a_touch_of_the_outermost_slice_is_no_cut() -> None:
    assert judge_coverage(lungs(5, *[100] * 80, 5), SPACING, LIMITS).warnings == ()


def test_lungs_that_are_cut_a_little_get_a_warning_that_says_where() -> None:
    below = judge_coverage(lungs(6, *[100] * 80, 0), SPACING, LIMITS)
    above = judge_coverage(lungs(0, *[100] * 80, 50), SPACING, LIMITS)
    assert (below.warnings, above.warnings) == ((CoverageWarning.CUT_BELOW,), (CoverageWarning.CUT_ABOVE,))
    assert (below.lower_edge, above.upper_edge) == (0.06, 0.5)


@pytest.mark.parametrize("areas", [(51, *[100] * 80, 0), (0, *[100] * 80, 51)], ids=["below", "above"])
def test_lungs_that_are_cut_where_they_are_wide_are_refused(areas: tuple[int, ...]) -> None:
    with pytest.raises(SeriesUnsuitable, match="51 % of the lungs' widest") as refusal:
        judge_coverage(lungs(*areas), SPACING, LIMITS)
    assert refusal.value.reason is Reason.LUNGS_INCOMPLETE
    assert str(pickle.loads(pickle.dumps(refusal.value))) == str(refusal.value)


def test_cut_lungs_that_are_shorter_than_the_cohorts_are_refused() -> None:
    with pytest.raises(SeriesUnsuitable, match="183 mm of them are shown, the training cohort had at least 200 mm"):
        judge_coverage(lungs(10, *[100] * 58, 2, 2), SPACING, LIMITS)


def test_whole_but_short_lungs_get_a_warning() -> None:
    assert judge_coverage(lungs(*whole(60)), SPACING, LIMITS).warnings == (CoverageWarning.SHORT,)


def test_the_limits_are_quantiles_of_the_cohorts_heights() -> None:
    limits = coverage_limits([float(height) for height in range(200, 301)])
    assert limits.lung_heights_mm == tuple(float(height) for height in range(200, 301, 5))
    assert (limits.n_patients, limits.min_height_mm) == (101, 201.0)


@pytest.mark.parametrize("warning", CoverageWarning)
def test_each_warning_is_a_sentence(warning: CoverageWarning) -> None:
    assert warning.value == warning.name
    assert warning.sentence.endswith(".")
