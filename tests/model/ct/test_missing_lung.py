"""A lung that is missing is said, its place is in the box, and whoever has both gets no word."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from survnode.model.ct.coverage import CoverageWarning
from survnode.model.ct.lungs import LungMethod, lung_segmenter
from survnode.model.ct.missing_lung import LungSides, judge_sides
from survnode.model.ct.preprocess import Preprocessing, SliceStack, preprocess
from survnode.model.ct.volume import Volume
from survnode.model.phantom.phantom import Phantom, make_phantom
from survnode.train.cohorts.phantom import as_volume

SPACING = (3.0, 4.0, 4.0)
TISSUE_HU = 30
find_lungs = lung_segmenter(LungMethod.THRESHOLD)


@pytest.fixture(scope="module")
def chest() -> Phantom:
    return make_phantom(1, shape=(100, 100, 100), spacing_mm=SPACING)


def filled(phantom: Phantom, side: int, part: Callable[[int], slice] = lambda _: slice(None)) -> NDArray[np.float32]:
    """HU with a part of one lung, by its slices, as soft tissue."""
    hu = phantom.hu.astype(np.float32)
    lung = ndimage.binary_dilation(phantom.lungs == side, iterations=2) & (phantom.lungs != 3 - side)
    rows = np.flatnonzero(lung.any(axis=(1, 2)))[part(int(lung.any(axis=(1, 2)).sum()))]
    hu[rows] = np.where(lung[rows], TISSUE_HU, hu[rows])
    return hu


def judged(hu: NDArray[np.float32]) -> LungSides:
    return judge_sides(find_lungs(hu, SPACING), hu, SPACING)


def prepared(hu: NDArray[np.float32]) -> SliceStack:
    volume: Volume = as_volume(hu.astype(np.int16), SPACING)
    return preprocess(volume, find_lungs, Preprocessing(spacing_mm=SPACING, size=32))


def test_two_lungs_need_no_words(chest: Phantom) -> None:
    found = judged(chest.hu.astype(np.float32))
    assert found.warnings == ()
    assert found.right_ml == pytest.approx((chest.lungs == 1).sum() * 0.048, rel=0.05)
    assert found.middle == pytest.approx(49.5, abs=1)


@pytest.mark.parametrize("side", [1, 2])
def test_a_missing_lung_is_said_and_its_place_is_in_the_box(chest: Phantom, side: int) -> None:
    healthy, stack = prepared(chest.hu.astype(np.float32)), prepared(filled(chest, side))
    assert stack.sides.warnings == (CoverageWarning.ONE_LUNG,)
    width = healthy.box.right - healthy.box.left
    shown = min(stack.box.right, healthy.box.right) - max(stack.box.left, healthy.box.left)
    assert 0.95 * width <= shown <= stack.box.right - stack.box.left <= 1.1 * width


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("part", [lambda n: slice(n // 2), lambda n: slice(2 * n // 3, None)], ids=["lower", "upper"])
def test_a_lung_that_is_partly_soft_tissue_is_said(chest: Phantom, side: int, part: Callable[[int], slice]) -> None:
    found = judged(filled(chest, side, part))
    assert found.warnings == (CoverageWarning.LUNG_REPLACED,)


@pytest.mark.parametrize(
    ("right_ml", "left_ml", "expected"),
    [(300, 1001, True), (301, 1000, False), (3000, 1000, False), (3001, 1000, True), (0, 900, True), (900, 0, True)],
)
def test_one_lung_of_less_than_a_third_of_the_other_counts_as_missing(
    right_ml: float, left_ml: float, expected: bool
) -> None:
    assert (CoverageWarning.ONE_LUNG in LungSides(right_ml, left_ml, 0.0, 50.0).warnings) == expected


def test_columns_are_mirrored_within_the_image() -> None:
    sides = partial(LungSides, 0.0, 1000.0, 0.0)
    assert sides(middle=49.5).mirrored(60, 90, 100) == (10, 90)  # 89 lies opposite 10, 60 opposite 39
    assert sides(middle=40.0).mirrored(50, 90, 100) == (0, 90)
    assert sides(middle=60.0).mirrored(20, 50, 100) == (20, 100)
