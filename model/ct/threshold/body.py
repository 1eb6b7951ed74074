"""The body: the largest piece of tissue, after an opening that cuts off table, sheets and tubes."""

import numpy as np
from scipy import ndimage

from survnode.model.ct.threshold.grid import IN_PLANE, Array, Region

# A low threshold keeps thin chest walls whole on coarse grids, where lung and air share their voxels.
BODY_HU = -500.0
OPENING_MM = 6.0  # wider than tubes, sheets and a table's shell, narrower than a chest wall
OUTSIDE_HU = -950.0  # median of what reaches the edge of the image: below is air, above lung that is cut off
CUT_LUNG_MM2 = 2000.0  # a tenth of a lung's largest section; foam and folds of skin at the edge are smaller
SKIN_MM = 5.0  # no lung lies that near to the outside; the blurred edge of the skin has the HU of lung


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


def middle_column(body: Region) -> float:
    """Column of the middle of the body."""
    columns = body.sum(axis=(0, 1))
    return float(columns @ np.arange(columns.size) / max(columns.sum(), 1))


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
