"""The coarse grid on which shapes are found, and the way back from it to the full one."""

from typing import TypeVar

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from survnode.model.ct.volume import Mask

Array = NDArray[np.float32]
Labels = NDArray[np.int32]
Region = NDArray[np.bool_]
_T = TypeVar("_T", bound=np.generic)
Spacing = tuple[float, float, float]

# Neighbours within a slice: four, and eight.
IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]
IN_PLANE_ALL = ndimage.generate_binary_structure(3, 3) & np.array([False, True, False])[:, None, None]

COARSE_MM = (2.5, 2.0, 2.0)  # a coarse voxel is at most about this large, or one of the CT where those are larger
EDGE_HU = -320.0  # of the lung, at the pleura: nearer to soft tissue (50) than to lung (-850), as radiologists draw it


def coarse_blocks(spacing_mm: Spacing) -> tuple[int, ...]:
    """How many voxels of the CT make one coarse voxel, along each axis."""
    return tuple(max(1, int(coarse / fine + 0.5)) for coarse, fine in zip(COARSE_MM, spacing_mm, strict=True))


def shrink(hu: Array, blocks: tuple[int, ...]) -> Array:
    """Means over blocks of voxels; the last block of an axis may repeat the edge."""
    odd = [(0, -count % block) for count, block in zip(hu.shape, blocks, strict=True)]
    image = sitk.GetImageFromArray(np.pad(hu, odd, mode="edge") if np.any(odd) else hu)
    return np.asarray(sitk.GetArrayFromImage(sitk.BinShrink(image, blocks[::-1])), np.float32)


def refine(sides: Mask, closed: Region, free: Region, hu: Array, blocks: tuple[int, ...]) -> Mask:
    """The coarse labels on the full grid, where the threshold decides the edge voxel by voxel.

    Parameters
    ----------
    closed : what the closing added: lung whatever its HU
    free : where lung may grow by one coarse voxel
    """
    if max(blocks) == 1:
        return sides
    cross = ndimage.generate_binary_structure(3, 1)
    lung = sides > 0
    rim = lung & ~ndimage.binary_erosion(lung, cross, border_value=1) & ~closed
    outer = ndimage.grey_dilation(sides, footprint=cross) * (~lung & free)
    possible = _blown_up(np.where(lung, sides, outer).astype(np.uint8), blocks, hu.shape)
    doubtful = _blown_up(rim | (outer > 0), blocks, hu.shape)
    possible[doubtful & (hu >= EDGE_HU)] = 0
    return possible


def _blown_up(coarse: NDArray[_T], blocks: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[_T]:
    """``coarse`` repeated over its blocks and cut to ``shape``."""
    for axis, block in enumerate(blocks):
        coarse = np.repeat(coarse, block, axis=axis) if block > 1 else coarse
    return np.ascontiguousarray(coarse[tuple(slice(count) for count in shape)])
