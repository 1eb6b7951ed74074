"""The air of the body, parted into right and left lung."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from survnode.model.ct.threshold.body import middle_column
from survnode.model.ct.threshold.grid import EDGE_HU, Array, Region
from survnode.model.ct.volume import Mask

RIGHT, LEFT = 1, 2

# A piece of air that is no lung by itself belongs to one if it is this large and not gas.
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


def right_and_left(coarse: Array, air: Region, body: Region, mm: tuple[float, ...]) -> Mask:
    """The air of each lung, as labels."""
    sides = np.zeros(air.shape, np.uint8)
    voxel_ml = float(np.prod(mm)) / 1000
    labels = np.asarray(ndimage.label(air)[0], np.int32)
    sizes = np.bincount(labels.ravel()) * voxel_ml
    sizes[0] = 0
    boxes = ndimage.find_objects(labels)
    middle = middle_column(body)
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
