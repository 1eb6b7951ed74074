"""Lungs by threshold and shape: air inside the body, less the airways, parted into right and left, closed.

All shapes are found on a grid of about 2 mm pixels and 3 mm slices; the full grid only decides the edge.
"""

from itertools import pairwise
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

# The numbers below were chosen from anatomy and tried on what there is: LUNG1-001 against its contours, one coarse CT
# of a thorax against its mask, and phantoms (tests/model/ct/test_lungs.py asks for a Dice of 0.95 on each). None of
# them was fitted to a cohort. Where a line says no more, its number is a choice.
COARSE_MM = (2.5, 2.0, 2.0)  # a coarse voxel is at most about this large, or one of the CT where those are larger
EDGE_HU = -320.0  # of the lung, at the pleura: nearer to soft tissue (50) than to lung (-850), as radiologists draw it
RIGHT, LEFT = 1, 2

# The body: the largest piece of tissue after an opening that cuts off table, sheets and tubes.
# A low threshold keeps thin chest walls whole on coarse grids, where lung and air share their voxels.
BODY_HU = -500.0
OPENING_MM = 6.0  # wider than tubes, sheets and a table's shell, narrower than a chest wall
OUTSIDE_HU = -950.0  # median of what reaches the edge of the image: below is air, above lung that is cut off
CUT_LUNG_MM2 = 2000.0  # a tenth of a lung's largest section; foam and folds of skin at the edge are smaller
SKIN_MM = 5.0  # no lung lies that near to the outside; the blurred edge of the skin has the HU of lung

# Airways, followed slice by slice from the top. A trachea has 100-500 mm2, just above its bifurcation up to twice that;
# what grows faster from one slice to the next has leaked into a lung; below 30 mm2 it is a bronchus within the lung.
LUMEN_HU = -800.0  # air is -1000; the wall of a narrow bronchus lifts the mean of its voxels
TRACHEA_MM2 = (60.0, 800.0)
BRONCHUS_MM2 = 30.0
GROWTH = 1.8  # from one slice to the next: more than a fork needs, less than a leak brings
TRACHEA_LENGTH_MM = 40.0  # over which the first from the top is one; the throat above it is seen over less
LEAST_LENGTH_MM = 20.0  # of the longest, where none is that long
MIDLINE_MM = 45.0  # distance of the trachea from the middle of the body; a shrunken lung draws it to the side
AIRWAY_WALL_MM = 3.0  # of the wall (1-2 mm), and half a coarse voxel

# Lungs. A piece of air that is no lung by itself belongs to one if it is this large and not gas.
MIN_LUNG_ML = 100.0  # a twentieth of a lung; a smaller piece is given to the lung that it lies beside
MIN_PIECE_ML = 1.0  # about 100 coarse voxels: less is noise
GAS_HU = -975.0  # median below: bowel, stomach, bulla of a tube; emphysema stays above
# Where the lungs touch, what parts them is a thin bright sheet or a neck: the HU and half widths tried, mildest first.
CONTACTS = (
    (EDGE_HU, 1.0),
    (-500.0, 0.0),
    (-600.0, 0.0),
    (EDGE_HU, 4.0),
    (-600.0, 4.0),
    (EDGE_HU, 8.0),
    (EDGE_HU, 12.0),
)
MIN_SHARE = 0.12  # of both lungs' volume that the smaller one has; healthy left lungs have 0.45
CLOSING_MM = 7.0  # closes vessels up to twice that, and tumours at the pleura as far as they are narrower
ROUND_SHARE, ROUND_ASPECT = (
    0.5,
    2.2,
)  # a circle fills 0.79 of its box; a trachea flattened by breathing out still passes


def lungs(hu: Array, spacing_mm: Spacing) -> Mask:
    """The lungs as (D, H, W) uint8: 0 background, 1 right, 2 left; all 0 where nothing is like a lung.

    Parameters
    ----------
    hu : (D, H, W) float32, feet to head, front to back, right to left
    """
    blocks = tuple(max(1, int(coarse / fine + 0.5)) for coarse, fine in zip(COARSE_MM, spacing_mm, strict=True))
    coarse, mm = shrink(hu, blocks), tuple(b * s for b, s in zip(blocks, spacing_mm, strict=True))
    body = inside_body(coarse, mm)
    air = body & (coarse < EDGE_HU)
    airways = find_airways(air & (coarse < LUMEN_HU), body, mm)
    wall = grown(airways, AIRWAY_WALL_MM, mm)
    sides = right_and_left(coarse, air & ~wall, body, mm)
    found = sides > 0
    for side in (RIGHT, LEFT):
        sides[close(sides == side, mm) & body & ~wall & (sides == 0)] = side
    return refine(sides, (sides > 0) & ~found, body & ~wall, hu, blocks)


def shrink(hu: Array, blocks: tuple[int, ...]) -> Array:
    """Means over blocks of voxels; the last block of an axis may repeat the edge."""
    odd = [(0, -count % block) for count, block in zip(hu.shape, blocks, strict=True)]
    image = sitk.GetImageFromArray(np.pad(hu, odd, mode="edge") if np.any(odd) else hu)
    return np.asarray(sitk.GetArrayFromImage(sitk.BinShrink(image, blocks[::-1])), np.float32)


def inside_body(coarse: Array, mm: tuple[float, ...]) -> Region:
    """All well inside the skin, slice by slice: the largest piece of tissue and what it surrounds."""
    steps = max(1, round(OPENING_MM / mm[1] / 2))
    opened = ndimage.binary_opening(coarse > BODY_HU, IN_PLANE, iterations=steps)
    labels, count = ndimage.label(opened)
    if not count:
        return np.zeros(coarse.shape, np.bool_)
    trunk = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    inside = ~_outside(~trunk, coarse, mm)
    steps = max(1, round(SKIN_MM / mm[1]))
    return np.asarray(ndimage.binary_erosion(inside, IN_PLANE, iterations=steps, border_value=1), np.bool_)


def _outside(around: Region, coarse: Array, mm: tuple[float, ...]) -> Region:
    """What reaches the edge of a slice, but for lung that the field of view cuts off."""
    labels = np.asarray(ndimage.label(around, IN_PLANE)[0], np.int32)
    edges = [labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]]
    outside = np.zeros(int(labels.max()) + 1, np.bool_)
    outside[np.concatenate([edge.ravel() for edge in edges])] = True
    areas = np.maximum(np.bincount(labels.ravel()), 1)
    lung_like = np.bincount(labels.ravel(), coarse.ravel() > OUTSIDE_HU) > areas / 2
    lung_like[labels[:, [0, 0, -1, -1], [0, -1, 0, -1]].ravel()] = False  # a corner: the foam of a table, not a lung
    outside[lung_like & (areas * mm[1] * mm[2] > CUT_LUNG_MM2)] = False
    outside[0] = False
    return np.asarray(outside[labels], np.bool_)


def find_airways(lumen: Region, body: Region, mm: tuple[float, ...]) -> Region:
    """Trachea and main bronchi; empty where no trachea is seen."""
    labels = np.asarray(ndimage.label(lumen, IN_PLANE_ALL)[0], np.int32)
    areas = np.asarray(np.bincount(labels.ravel()) * mm[1] * mm[2], np.float64)
    middle = _middle(body)
    longest, length = np.zeros_like(lumen), 0.0
    for top in range(len(labels) - 1, 0, -1):
        for start in _tracheas(labels[top], areas, middle, mm):
            if longest[top][labels[top] == start].any():
                continue
            airways = _follow(labels, areas, top, start)
            here = airways.any(axis=(1, 2)).sum() * mm[0]
            if here > length:
                longest, length = airways, here
            if length >= TRACHEA_LENGTH_MM:
                return longest
    return longest if length >= LEAST_LENGTH_MM else np.zeros_like(lumen)


def _middle(body: Region) -> float:
    """Column of the middle of the body."""
    columns = body.sum(axis=(0, 1))
    return float(columns @ np.arange(columns.size) / max(columns.sum(), 1))


def _tracheas(plane: Labels, areas: NDArray[np.float64], middle: float, mm: tuple[float, ...]) -> list[int]:
    """The labels in one slice that can be a trachea: of its size, about round and near the middle."""
    found = []
    for label in np.unique(plane)[1:]:
        rows, columns = np.nonzero(plane == label)
        height, width = (np.ptp(rows) + 1) * mm[1], (np.ptp(columns) + 1) * mm[2]
        of_size = TRACHEA_MM2[0] <= areas[label] <= TRACHEA_MM2[1]
        fills = areas[label] > ROUND_SHARE * height * width
        compact = fills and max(height, width) < ROUND_ASPECT * min(height, width)
        if of_size and compact and abs(columns.mean() - middle) * mm[2] < MIDLINE_MM:
            found.append(int(label))
    return found


def _follow(labels: Labels, areas: NDArray[np.float64], top: int, start: int) -> Region:
    """Go down from ``start``, forking as the airway does, until each branch leaks or gets thin."""
    found = np.zeros(labels.shape, np.bool_)
    found[top] = labels[top] == start
    current = [start]
    for above, here in pairwise(range(top, -1, -1)):
        below = []
        for label in current:
            touching = np.unique(labels[here][labels[above] == label])
            limit = max(GROWTH * areas[label], TRACHEA_MM2[0] * 2)
            below += [int(n) for n in touching if n and BRONCHUS_MM2 <= areas[n] <= min(limit, 2 * TRACHEA_MM2[1])]
        if not below:
            break
        current = sorted(set(below))
        found[here] = np.isin(labels[here], current)
    return found


def right_and_left(coarse: Array, air: Region, body: Region, mm: tuple[float, ...]) -> Mask:
    """The air of each lung, as labels."""
    sides = np.zeros(air.shape, np.uint8)
    voxel_ml = float(np.prod(mm)) / 1000
    labels = np.asarray(ndimage.label(air)[0], np.int32)
    sizes = np.bincount(labels.ravel()) * voxel_ml
    sizes[0] = 0
    boxes = ndimage.find_objects(labels)
    middle = _middle(body)
    for label in np.argsort(sizes)[::-1]:
        if sizes[label] < MIN_PIECE_ML:
            break
        box = boxes[label - 1]
        piece = labels[box] == label
        if np.median(coarse[box][piece]) < GAS_HU:
            continue
        large = sizes[label] >= MIN_LUNG_ML
        if not large and not _beside(sides, box):
            continue
        here = middle - box[2].start
        sides[box][piece] = _parted(piece, coarse[box], here, mm)[piece] if large else _side(piece, here)
    return sides


def _beside(sides: Mask, box: tuple[slice, ...]) -> bool:
    """Whether the box of a small piece lies among slices, rows and columns of a lung."""
    shadow = np.asarray(sides[box[0]].any(axis=0))
    return bool(shadow[box[1:]].any())


def _side(piece: Region, middle: float) -> int:
    columns = piece.sum(axis=(0, 1))
    return RIGHT if columns @ np.arange(columns.size) / columns.sum() < middle else LEFT


def _parted(piece: Region, coarse: Array, middle: float, mm: tuple[float, ...]) -> Mask:
    """A large piece as right or left lung, or as both parted at their narrowest contact."""
    whole = np.full(piece.shape, _side(piece, middle), np.uint8)
    columns = piece.sum(axis=(0, 1))
    right = columns[: max(0, round(middle))].sum() / columns.sum()
    if not MIN_SHARE < right < 1 - MIN_SHARE:
        return whole
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(piece, 1), mm)[1:-1, 1:-1, 1:-1], np.float32)
    for most_hu, neck in CONTACTS:
        markers = _cores((depth > neck) & (coarse < most_hu), middle)
        if markers is not None:
            height = sitk.GetImageFromArray(-depth)
            parts = sitk.MorphologicalWatershedFromMarkers(
                height, sitk.GetImageFromArray(markers), markWatershedLine=False
            )
            return np.asarray(sitk.GetArrayFromImage(parts), np.uint8)
    whole[:, :, max(0, round(middle)) :] = LEFT  # one in the other: cut in the middle of the body
    whole[:, :, : max(0, round(middle))] = RIGHT
    return whole


def _cores(core: Region, middle: float) -> Mask | None:
    """The two largest pieces of ``core`` as right and left if each is a lung's share and they lie on two sides."""
    labels = np.asarray(ndimage.label(core)[0], np.int32)
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.size < 2:
        return None
    first, second = (int(label) for label in np.argsort(sizes)[::-1][:2])
    if sizes[second] < MIN_SHARE * (sizes[first] + sizes[second]):
        return None
    sides = [_side(labels == label + 1, middle) for label in (first, second)]
    if sides[0] == sides[1]:
        return None
    markers = np.zeros(core.shape, np.uint8)
    for label, side in zip((first, second), sides, strict=True):
        markers[labels == label + 1] = side
    return markers


def close(lung: Region, mm: tuple[float, ...]) -> Region:
    """Closing by a ball of `CLOSING_MM`, then the holes of each slice."""
    closed = np.zeros_like(lung)
    if not lung.any():
        return closed
    box = ndimage.find_objects(lung.astype(np.uint8))[0]
    margin = [int(CLOSING_MM / step) + 2 for step in mm]
    padded = np.pad(lung[box], [(n, n) for n in margin])
    dilated = ndimage.distance_transform_edt(~padded, mm) <= CLOSING_MM
    eroded = ndimage.distance_transform_edt(dilated, mm) > CLOSING_MM
    inner = tuple(slice(n, -n) for n in margin)
    closed[box] = ndimage.binary_fill_holes(eroded[inner] | lung[box], IN_PLANE)
    return closed


def grown(region: Region, by_mm: float, mm: tuple[float, ...]) -> Region:
    """``region`` with a rim of ``by_mm`` in the plane."""
    steps = max(1, round(by_mm / mm[1]))
    return np.asarray(ndimage.binary_dilation(region, IN_PLANE, iterations=steps), np.bool_)


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
