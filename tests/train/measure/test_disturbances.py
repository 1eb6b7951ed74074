"""What a disturbance does to a volume, and that one of strength 0 does nothing."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from pydicom.uid import CTImageStorage

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.volume import Volume
from survnode.train.measure.disturbances import (
    ALL,
    DisturbanceKind,
    averaged,
    cropped,
    disturbances,
    enhanced,
    lung_extent_mm,
    sharpened,
    shifted,
    smoothed,
    thinned,
    with_noise,
)

SHAPE, SPACING = (31, 24, 20), (3.0, 0.8, 1.0)
LUNGS_MM = (30.0, 60.0), (4.0, 12.0), (5.0, 15.0)


def volume(hu: float | None = None) -> Volume:
    images = tuple(SourceImage(CTImageStorage, f"1.2.{number}", number) for number in range(SHAPE[0]))
    values = np.random.default_rng(0).uniform(-1024, 800, SHAPE) if hu is None else np.full(SHAPE, hu)
    return Volume(values.astype(np.float32), SPACING, images, np.eye(3), np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    "rule", [partial(with_noise, seed=1), smoothed, sharpened, averaged, thinned, shifted, enhanced]
)
def test_strength_0_moves_nothing(rule: Callable[[Volume, float], Volume]) -> None:
    given = volume()
    result = rule(given, 0)
    assert result.hu.dtype == np.float32
    assert np.array_equal(result.hu, given.hu)
    assert (result.spacing_mm, result.images) == (given.spacing_mm, given.images)
    assert np.array_equal(result.origin_mm, given.origin_mm)


def test_a_crop_outside_of_the_stack_moves_nothing() -> None:
    given = volume()
    result = cropped(given, (ALL, ALL, ALL))
    assert np.array_equal(result.hu, given.hu)
    assert result.images == given.images
    assert np.array_equal(result.origin_mm, given.origin_mm)


def test_no_rule_writes_into_the_volume_that_it_is_given() -> None:
    given, same = volume(), volume()
    for disturbance in disturbances(LUNGS_MM, seed=1):
        disturbance.apply(given)
    assert np.array_equal(given.hu, same.hu)


def test_each_kind_comes_at_two_or_three_strengths() -> None:
    kinds = [it.kind for it in disturbances(LUNGS_MM, seed=1)]
    assert {kind: kinds.count(kind) in {2, 3} for kind in DisturbanceKind} == dict.fromkeys(DisturbanceKind, True)


def test_noise_is_the_same_of_one_seed_and_another_of_the_next() -> None:
    given = volume()
    first, again, other = (with_noise(given, 10, seed=seed).hu for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_has_the_spread_that_is_asked_for_and_stays_within_the_range_of_the_ct() -> None:
    hu = volume(0.0).hu
    hu[0, 0, 0], hu[0, 0, 1] = -1024, 3000
    given = volume(0.0)
    noisy = with_noise(Volume(hu, SPACING, given.images, given.directions, given.origin_mm), 20, seed=3).hu
    assert noisy[1:].std() == pytest.approx(20, rel=0.02)
    assert noisy.min() >= -1024
    assert not np.array_equal(noisy[1], noisy[2])


def test_a_smoother_kernel_spreads_a_point_by_as_many_mm_and_a_sharper_one_lifts_it() -> None:
    given = volume(0.0)
    given.hu[15, 12, 10] = 1000
    blurred = smoothed(given, 1.5).hu[15]
    rows, columns = (np.arange(SHAPE[1]) - 12) * 0.8, (np.arange(SHAPE[2]) - 10) * 1.0
    assert np.sqrt((blurred.sum(axis=1) * rows**2).sum() / blurred.sum()) == pytest.approx(1.5, rel=0.03)
    assert np.sqrt((blurred.sum(axis=0) * columns**2).sum() / blurred.sum()) == pytest.approx(1.5, rel=0.03)
    assert np.array_equal(smoothed(given, 1.5).hu[14], given.hu[14])
    assert sharpened(given, 1.5).hu[15, 12, 10] == pytest.approx(2000 - blurred[12, 10])


def test_a_thicker_slice_is_the_mean_over_its_length_and_the_stack_keeps_its_extent() -> None:
    given = volume(0.0)
    given.hu[15] = 100
    result = averaged(given, 6.0)  # half of each neighbour: 1.5 mm of 6
    np.testing.assert_allclose(result.hu[13:18, 0, 0], [0, 25, 50, 25, 0])
    assert (result.hu.shape, result.spacing_mm, result.images) == (SHAPE, SPACING, given.images)


def test_slices_thinner_than_they_lie_apart_are_as_they_were() -> None:
    assert np.array_equal(averaged(volume(), 2.0).hu, volume().hu)


@pytest.mark.parametrize(("every", "first", "count"), [(2, 0, 16), (3, 0, 11), (4, 1, 8)])
def test_fewer_slices_are_those_of_the_ct_and_end_within_a_slice_of_where_it_ended(
    every: int, first: int, count: int
) -> None:
    given = volume()
    result = thinned(given, every)
    assert result.images == given.images[first::every]
    assert np.array_equal(result.hu, given.hu[first::every])
    assert result.spacing_mm == (3.0 * every, 0.8, 1.0)
    assert result.origin_mm.tolist() == [1.0, 2.0, 3.0 + 3.0 * first]
    assert len(result.images) == count
    assert 0 <= (SHAPE[0] - 1) * 3.0 - (count - 1) * result.spacing_mm[0] < result.spacing_mm[0]


def test_a_shifted_grid_reads_the_same_ramp_further_on() -> None:
    given = volume(0.0)
    places = np.meshgrid(*(np.arange(n) * step for n, step in zip(SHAPE, SPACING, strict=True)), indexing="ij")
    given.hu[:] = places[0] + 2 * places[1] + 4 * places[2]
    result = shifted(given, 0.5)
    inside = np.s_[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(result.hu[inside], given.hu[inside] + 3.5, rtol=1e-5)
    assert result.origin_mm.tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("hu", "more"), [(-800, 0), (-100, 0), (-25, 30), (0, 60), (60, 60), (150, 60), (225, 30), (500, 0)]
)
def test_contrast_medium_lifts_soft_tissue_alone(hu: float, more: float) -> None:
    assert enhanced(volume(hu), 60).hu[0, 0, 0] == hu + more


def test_a_crop_keeps_the_voxels_between_its_ends_where_they_lay() -> None:
    given = volume()
    result = cropped(given, ((6.0, 15.0), (4.0, 12.0), ALL))
    assert np.array_equal(result.hu, given.hu[2:6, 5:16])
    assert result.images == given.images[2:6]
    assert result.origin_mm.tolist() == [1.0, 2.0 + 4.0, 3.0 + 6.0]


def test_a_crop_that_leaves_nothing_keeps_a_voxel() -> None:
    assert cropped(volume(), ((500.0, 400.0), ALL, ALL)).hu.shape == (1, 24, 20)


def test_lungs_lie_from_their_first_voxel_to_their_last() -> None:
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[10:21, 5:16, 5:9], lungs[12:15, 5:9, 12:16] = 1, 2
    np.testing.assert_allclose(lung_extent_mm(lungs, SPACING), [(30, 60), (4, 12), (5, 15)])


def test_crops_are_measured_from_the_lungs() -> None:
    images = {
        (it.kind, it.strength): it.apply(volume()).images
        for it in disturbances(LUNGS_MM, seed=1)
        if it.kind in {DisturbanceKind.TOP, DisturbanceKind.BASE}
    }
    every = volume().images
    assert images[DisturbanceKind.TOP, 5] == every[:22]  # up to 65 mm
    assert images[DisturbanceKind.TOP, -20] == every[:14]  # up to 40 mm
    assert images[DisturbanceKind.BASE, -20] == every[17:]  # from 50 mm
