"""Whether both lungs are there, how much of one is soft tissue, and the box that a missing one would have filled.

A lung that holds no air any more is no lung to a segmentation, so that the box around what it finds shrinks to the
other side and shows it as twice as wide as any that a model has seen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from survnode.model.ct.coverage import CoverageWarning
from survnode.model.ct.threshold.body import inside_body, middle_column
from survnode.model.ct.threshold.grid import EDGE_HU, Region, Spacing, shrink
from survnode.model.ct.threshold.sides import LEFT, RIGHT
from survnode.model.ct.volume import Mask

RATIO = (0.3, 3.0)  # of the right lung's volume to the left's: chosen; 1.1 to 1.3 in the two CT and in phantoms
REPLACED_ML = 200.0  # chosen: a tenth of a lung
# What the other lung, mirrored, holds here is the measure of what this one should hold. Heart and liver lie there too:
# the right dome of the diaphragm stands some 20 mm above the left, and what the heart takes of the left side is thinner
# than 38 mm. Measured with these numbers: none in the coarse CT and in phantoms, 157 ml in LUNG1-001, whose tumour has
# 160 ml; 250 ml and more where the lower half or the upper third of a phantom's lung is filled. A thin sheet of fluid,
# or a base that is filled no higher than the dome, is not found.
DOME_MM = 24.0
THICK_MM = 38.0
GRID_MM = (4.0, 4.0, 4.0)  # on which it is measured


@dataclass(frozen=True)
class LungSides:
    """The two lungs.

    Parameters
    ----------
    right_ml, left_ml : of each
    replaced_ml : of soft tissue within the rib cage where the other side has lung; of the side that has more of it
    middle : of the body, a column of the lung mask
    """

    right_ml: float
    left_ml: float
    replaced_ml: float
    middle: float

    @property
    def warnings(self) -> tuple[CoverageWarning, ...]:
        """What a reader must know of them."""
        low, high = RATIO
        if not low * self.left_ml <= self.right_ml <= high * self.left_ml:
            return (CoverageWarning.ONE_LUNG,)
        return (CoverageWarning.LUNG_REPLACED,) if self.replaced_ml > REPLACED_ML else ()

    def mirrored(self, first: int, end: int, width: int) -> tuple[int, int]:
        """Columns from ``first`` to before ``end``, and those that lie opposite, within ``width``."""
        opposite = int(np.floor(2 * self.middle - (end - 1))), int(np.ceil(2 * self.middle - first)) + 1
        return max(0, min(first, opposite[0])), min(width, max(end, opposite[1]))


def judge_sides(lungs: Mask, hu: NDArray[np.float32], spacing_mm: Spacing) -> LungSides:
    """The two lungs of a mask (D, H, W) on the grid of ``hu``, front to back and right to left."""
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    counts = np.bincount(lungs.ravel(), minlength=LEFT + 1)
    blocks = tuple(max(1, int(coarse / fine + 0.5)) for coarse, fine in zip(GRID_MM, spacing_mm, strict=True))
    mm = tuple(block * step for block, step in zip(blocks, spacing_mm, strict=True))
    coarse = shrink(hu, blocks)
    body = inside_body(coarse, mm)
    centred = lungs[tuple(slice(block // 2, None, block) for block in blocks)]
    inner = np.zeros(coarse.shape, np.uint8)
    inner[tuple(slice(count) for count in centred.shape)] = centred
    middle = middle_column(body)
    solid = body & (coarse > EDGE_HU) & (inner == 0)
    replaced = max(_replaced_ml(solid, _mirrored(inner == side, middle), mm) for side in (RIGHT, LEFT))
    # The centre of a coarse column lies in the middle of its block.
    return LungSides(
        float(counts[RIGHT]) * voxel_ml,
        float(counts[LEFT]) * voxel_ml,
        replaced,
        blocks[2] * middle + (blocks[2] - 1) / 2,
    )


def _mirrored(lung: Region, middle: float) -> Region:
    """What lies opposite ``lung``."""
    opposite = np.rint(2 * middle - np.arange(lung.shape[2])).astype(np.int64)
    shown = (opposite >= 0) & (opposite < lung.shape[2])
    mirrored = np.zeros_like(lung)
    mirrored[:, :, shown] = lung[:, :, opposite[shown]]
    return mirrored


def _replaced_ml(solid: Region, expected: Region, mm: tuple[float, ...]) -> float:
    """The volume of what is solid where lung is expected, above the domes and in pieces thicker than `THICK_MM`."""
    steps = max(1, round(DOME_MM / mm[0]))
    above = np.zeros_like(expected)
    above[steps:] = expected[steps:] & expected[:-steps]
    found = solid & above
    return float(_opened(found, mm).sum() * np.prod(mm) / 1000) if found.any() else 0.0


def _opened(region: Region, mm: tuple[float, ...]) -> Region:
    """Without whatever a ball of `THICK_MM` does not fit into."""
    box = ndimage.find_objects(region.astype(np.uint8))[0]
    part = np.pad(region[box], 1)
    core = ndimage.distance_transform_edt(part, mm) > THICK_MM / 2
    if not core.any():
        return core
    return np.asarray(part & (ndimage.distance_transform_edt(~core, mm) <= THICK_MM / 2))
