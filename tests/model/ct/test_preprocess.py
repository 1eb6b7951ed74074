from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.preprocess import (
    Box,
    Interpolation,
    Preprocessing,
    SliceFilter,
    lung_box,
    lungs_on_source_grid,
    nearest_source,
    preprocess,
    resample,
    slices_with_lung,
)
from survnode.model.ct.volume import (
    Mask,
    Volume,
    load_volume,
    read_series,
)
from survnode.model.errors import Reason, SeriesUnsuitable

RANDOM = np.random.default_rng(0)


def lungs_with_fractions(*fractions: float) -> Mask:
    """A mask of 100 voxels a slice with the given shares of lung."""
    lungs = np.zeros((len(fractions), 10, 10), np.uint8)
    for row, fraction in zip(lungs.reshape(len(fractions), -1), fractions, strict=True):
        row[: round(100 * fraction)] = 1
    return lungs


def test_exactly_the_slices_under_two_percent_are_dropped() -> None:
    lungs = lungs_with_fractions(0.01, 0.02, 0.5, 0.01, 0.3, 0.0)
    assert slices_with_lung(lungs, 0.02, SliceFilter.EACH).tolist() == [1, 2, 4]


def test_the_released_rule_keeps_the_run_with_its_first_and_its_last_slice() -> None:
    lungs = lungs_with_fractions(0.01, 0.02, 0.5, 0.01, 0.3, 0.0)
    assert slices_with_lung(lungs, 0.02, SliceFilter.RUN).tolist() == [2, 3, 4]


@pytest.mark.parametrize("slice_filter", SliceFilter)
def test_a_volume_without_lung_is_refused(slice_filter: SliceFilter) -> None:
    with pytest.raises(SeriesUnsuitable, match=Reason.NO_LUNGS.sentence):
        slices_with_lung(lungs_with_fractions(0.01, 0.0), 0.02, slice_filter)


def test_one_box_holds_the_lungs_of_all_slices() -> None:
    lungs = np.zeros((3, 10, 12), np.uint8)
    lungs[0, 2, 5] = lungs[1, 7, 3] = lungs[2, 4, 9] = 1
    assert lung_box(lungs) == Box(top=2, bottom=8, left=3, right=10)


@pytest.mark.parametrize(
    ("target_mm", "source_mm", "expected"),
    [(3.0, 3.0, [0, 1, 2, 3]), (3.0, 1.0, [0, 3, 6, 9]), (3.0, 5.0, [0, 1, 1, 2])],
)
def test_each_slice_knows_its_nearest_source_image(target_mm: float, source_mm: float, expected: list[int]) -> None:
    assert nearest_source(np.arange(4), target_mm, source_mm, 10).tolist() == expected


@pytest.mark.parametrize("spacing_mm", [(3.0, 1.0, 1.0), (1.25, 0.7, 0.8), (5.0, 0.98, 0.98)])
def test_linear_resampling_is_exact_on_a_ramp_in_each_axis(spacing_mm: tuple[float, float, float]) -> None:
    depth, height, width = np.meshgrid(*(np.arange(12) * step for step in spacing_mm), indexing="ij")
    ramp = (depth + 10 * height + 100 * width).astype(np.float32)
    resampled = resample(ramp, spacing_mm, (3.0, 1.0, 1.0), Interpolation.LINEAR)
    z, y, x = np.meshgrid(
        *(np.arange(count) * step for count, step in zip(resampled.shape, (3.0, 1.0, 1.0), strict=True)), indexing="ij"
    )
    np.testing.assert_allclose(resampled, z + 10 * y + 100 * x, atol=1e-2)


def test_resampling_never_leaves_the_volume() -> None:
    resampled = resample(np.zeros((7, 9, 11), np.float32), (5.0, 0.9, 0.7), (3.0, 1.0, 1.0), Interpolation.LINEAR)
    assert resampled.shape == (11, 8, 8)
    assert resampled.min() == 0  # -1024 would be the fill


def test_slices_keep_their_hounsfield_units() -> None:
    volume = Volume(np.full((20, 40, 40), -300, np.float32), (3.0, 1.0, 1.0), _images(20), np.eye(3), np.zeros(3))
    stack = preprocess(
        volume, lambda hu, _: np.broadcast_to(np.repeat([1, 2], 20).astype(np.uint8), hu.shape), Preprocessing()
    )
    assert stack.hu.shape == (20, 224, 224)
    assert (stack.hu == -300).all()


def _images(count: int) -> tuple[SourceImage, ...]:
    return tuple(SourceImage("1.2.840.10008.5.1.4.1.1.2", f"1.2.{i}", i) for i in range(count))


def central_lungs(hu: NDArray[np.float32], _: tuple[float, float, float]) -> Mask:
    """A stand-in that depends on the image alone: dark voxels in the middle half."""
    mask = np.zeros(hu.shape, np.uint8)
    quarter = [size // 4 for size in hu.shape]
    middle = tuple(slice(q, -q) for q in quarter)
    mask[middle] = (hu[middle] < -500).astype(np.uint8)
    mask[..., hu.shape[2] // 2 :] *= 2
    return mask


@pytest.mark.parametrize("interpolation", Interpolation)
def test_a_real_patient_equals_an_independent_reference(lung1_series: list[Path], interpolation: Interpolation) -> None:
    chest = lung1_series[40:80]  # whole slices, but not all 134: their splines take 18 s
    volume = load_volume(read_series(chest))
    settings = Preprocessing(interpolation=interpolation)
    stack = preprocess(volume, central_lungs, settings)

    reader = sitk.ImageSeriesReader()
    by_z = {float(sitk.ReadImage(str(p)).GetOrigin()[2]): str(p) for p in chest}
    reader.SetFileNames([by_z[z] for z in sorted(by_z)])
    image = reader.Execute()
    size = [
        int((n - 1) * s / t + 1e-6) + 1 for n, s, t in zip(image.GetSize(), image.GetSpacing(), (1, 1, 3), strict=True)
    ]
    how = {Interpolation.LINEAR: sitk.sitkLinear, Interpolation.BSPLINE: sitk.sitkBSpline3}[interpolation]
    reference = sitk.Resample(
        image, size, sitk.Transform(), how, image.GetOrigin(), (1.0, 1.0, 3.0), image.GetDirection(), -1024.0,
        sitk.sitkFloat32,
    )  # fmt: skip
    hu = sitk.GetArrayFromImage(reference)
    lungs = central_lungs(hu, (3.0, 1.0, 1.0))
    kept = [i for i in range(len(lungs)) if (lungs[i] > 0).sum() / lungs[i].size >= 0.02]
    assert stack.kept.tolist() == kept
    rows = np.flatnonzero(np.any(lungs[kept] > 0, axis=(0, 2)))
    columns = np.flatnonzero(np.any(lungs[kept] > 0, axis=(0, 1)))
    assert stack.box == Box(rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)

    import torch  # an independent implementation of the same resize  # noqa: PLC0415

    cropped = torch.from_numpy(hu[kept, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])[:, None]
    expected = torch.nn.functional.interpolate(cropped, (224, 224), mode="bilinear", antialias=True)[:, 0].numpy()
    assert np.abs(stack.hu - expected).mean() < 0.3  # HU; rounding to whole HU alone is 0.25
    assert np.abs(stack.hu - expected).max() < 1.0
    assert stack.source.tolist() == stack.kept.tolist()  # 3 mm slices stay where they are


def test_the_mask_comes_back_on_the_grid_of_the_ct() -> None:
    volume = Volume(np.zeros((10, 40, 30), np.float32), (6.0, 0.5, 2.0), _images(10), np.eye(3), np.zeros(3))

    def front_half(hu: NDArray[np.float32], _: tuple[float, float, float]) -> Mask:
        mask = np.zeros(hu.shape, np.uint8)
        mask[:, : hu.shape[1] // 2] = 2
        return mask

    settings = Preprocessing()
    mask = lungs_on_source_grid(preprocess(volume, front_half, settings), volume, settings)
    assert mask.shape == volume.hu.shape
    assert (mask[:, :18] == 2).all()
    assert (mask[:, 20:] == 0).all()
