"""A CT volume -> the slices that the network sees, each with the way back to its source image.

Resample to one spacing, find the lungs, drop the slices that show little of them, cut one box around all of them (and
around the place of one that is missing), and resize. The defaults of `Preprocessing` are the paper's where it gives
them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from survnode.model.ct.missing_lung import LungSides, judge_sides
from survnode.model.ct.volume import PADDING_HU, Mask, Volume
from survnode.model.errors import Reason, SeriesUnsuitable


class Interpolation(StrEnum):
    """How HU are read between voxels when a volume is resampled."""

    LINEAR = "linear"
    BSPLINE = "bspline"


class SliceFilter(StrEnum):
    """Which slices are kept by their share of lung."""

    EACH = "each"  # exactly those at or above the share (the paper)
    RUN = "run"  # everything from the first slice above it to the last one, both included (the released code)


Segment = Callable[[NDArray[np.float32], tuple[float, float, float]], Mask]  # as `lungs.LungSegmenter`

_INTERPOLATORS = {Interpolation.LINEAR: sitk.sitkLinear, Interpolation.BSPLINE: sitk.sitkBSpline}


class Preprocessing(BaseModel):
    """The settings; a part of every checkpoint.

    Parameters
    ----------
    spacing_mm : (D, H, W) of the grid on which everything below happens
    min_lung_fraction : lung area over slice area
    size : rows and columns of a finished slice
    window_hu : mapped linearly to [0, 1], values outside clipped
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spacing_mm: tuple[float, float, float] = (3.0, 1.0, 1.0)
    interpolation: Interpolation = Interpolation.LINEAR
    min_lung_fraction: float = Field(default=0.02, ge=0, lt=1)
    slice_filter: SliceFilter = SliceFilter.EACH
    size: int = Field(default=224, ge=32)
    window_hu: tuple[float, float] = (-1000.0, 400.0)

    @property
    def slice_spacing_mm(self) -> float:
        """Between the slices that the network sees."""
        return self.spacing_mm[0]

    def __str__(self) -> str:
        """One line for people."""
        depth, height, width = self.spacing_mm
        low, high = self.window_hu
        return (
            f"{self.interpolation} to {width:g} x {height:g} x {depth:g} mm; slices with >= "
            f"{100 * self.min_lung_fraction:g} % lung ({self.slice_filter}); one box; {self.size} x {self.size}; "
            f"[{low:g}, {high:g}] HU"
        )


@dataclass(frozen=True)
class Box:
    """Rows and columns of the resampled grid, ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True, eq=False)
class SliceStack:
    """The slices of one patient, feet to head.

    Parameters
    ----------
    hu : (S, size, size) int16
    source : (S,) int64, row in ``Volume.images`` of the source image nearest to each slice
    kept : (S,) int64, row of each slice in the resampled grid
    box : what was cut out of each resampled slice
    lungs : (D', H', W') the lung mask on the resampled grid
    sides : the two lungs
    """

    hu: NDArray[np.int16]
    source: NDArray[np.int64]
    kept: NDArray[np.int64]
    box: Box
    lungs: Mask
    sides: LungSides


def preprocess(volume: Volume, segment: Segment, settings: Preprocessing) -> SliceStack:
    """The slices of ``volume`` that the network sees.

    Raises
    ------
    SeriesUnsuitable
        The segmentation finds none, or no slice shows enough of them.
    """
    hu = resample(volume.hu, volume.spacing_mm, settings.spacing_mm, settings.interpolation)  # (D', H', W')
    lungs = segment(hu, settings.spacing_mm)
    kept = slices_with_lung(lungs, settings.min_lung_fraction, settings.slice_filter)
    sides = judge_sides(lungs, hu, settings.spacing_mm)
    box = lung_box(lungs[kept])
    if sides.warnings:
        left, right = sides.mirrored(box.left, box.right, hu.shape[2])
        box = replace(box, left=left, right=right)
    return SliceStack(
        hu=resize(hu[kept, box.top : box.bottom, box.left : box.right], settings.size),
        source=nearest_source(kept, settings.spacing_mm[0], volume.spacing_mm[0], len(volume.images)),
        kept=kept,
        box=box,
        lungs=lungs,
        sides=sides,
    )


def resample(
    hu: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    target_mm: tuple[float, float, float],
    interpolation: Interpolation,
) -> NDArray[np.float32]:
    """``hu`` on a grid of ``target_mm`` whose first voxel is the first of ``hu`` and that never leaves its extent."""
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(spacing_mm[::-1])
    extent = [(count - 1) * spacing for count, spacing in zip(hu.shape, spacing_mm, strict=True)]
    shape = [int(length / target + 1e-6) + 1 for length, target in zip(extent, target_mm, strict=True)]
    resampled = sitk.Resample(
        image, shape[::-1], sitk.Transform(), _INTERPOLATORS[interpolation], (0.0,) * 3, target_mm[::-1],
        np.eye(3).flatten().tolist(), PADDING_HU, sitk.sitkFloat32,
    )  # fmt: skip
    array: NDArray[np.float32] = sitk.GetArrayFromImage(resampled)
    return array


def slices_with_lung(lungs: Mask, min_fraction: float, slice_filter: SliceFilter) -> NDArray[np.int64]:
    """Rows of the slices to keep, (S,), ascending.

    Raises
    ------
    SeriesUnsuitable
        There is none.
    """
    fraction = (lungs > 0).mean(axis=(1, 2))
    if slice_filter is SliceFilter.RUN:
        above = np.flatnonzero(fraction > min_fraction)
        kept = np.arange(above[0], above[-1] + 1) if above.size else above
    else:
        kept = np.flatnonzero(fraction >= min_fraction)
    if kept.size == 0:
        raise SeriesUnsuitable(Reason.NO_LUNGS, f"No slice shows {100 * min_fraction:g} % of lung.")
    return kept


def lung_box(lungs: Mask) -> Box:
    """The smallest box that holds the lungs of every slice."""
    rows = np.flatnonzero(lungs.any(axis=(0, 2)))
    columns = np.flatnonzero(lungs.any(axis=(0, 1)))
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def resize(hu: NDArray[np.float32], size: int) -> NDArray[np.int16]:
    """Each slice on ``size`` x ``size`` pixels, bilinear with anti-aliasing, rounded to whole HU."""
    bilinear = Image.Resampling.BILINEAR
    resized = [Image.fromarray(pixels).resize((size, size), bilinear) for pixels in hu]
    return np.stack([np.asarray(pixels) for pixels in resized]).round().astype(np.int16)


def nearest_source(kept: NDArray[np.int64], target_mm: float, source_mm: float, n_sources: int) -> NDArray[np.int64]:
    """The row of the source image nearest to each resampled slice, (S,)."""
    nearest: NDArray[np.int64] = np.rint(kept * target_mm / source_mm).astype(np.int64)
    return np.clip(nearest, 0, n_sources - 1)


def lungs_on_source_grid(stack: SliceStack, volume: Volume, settings: Preprocessing) -> Mask:
    """The lung mask on the grid of the CT itself, (D, H, W), nearest neighbour."""
    indices = [
        np.minimum(np.rint(np.arange(count) * spacing / target).astype(np.int64), limit - 1)
        for count, spacing, target, limit in zip(
            volume.hu.shape, volume.spacing_mm, settings.spacing_mm, stack.lungs.shape, strict=True
        )
    ]
    return stack.lungs[np.ix_(*indices)]
