"""Trachea and main bronchi, followed slice by slice from the top."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from survnode.model.ct.threshold.body import middle_column
from survnode.model.ct.threshold.grid import IN_PLANE, IN_PLANE_ALL, Labels, Region

# A trachea has 100-500 mm2, just above its bifurcation up to twice that;
# what grows faster from one slice to the next has leaked into a lung; below 30 mm2 it is a bronchus within the lung.
LUMEN_HU = -800.0  # air is -1000; the wall of a narrow bronchus lifts the mean of its voxels
TRACHEA_MM2 = (60.0, 800.0)
BRONCHUS_MM2 = 30.0
GROWTH = 1.8  # from one slice to the next: more than a fork needs, less than a leak brings
TRACHEA_LENGTH_MM = 40.0  # over which the first from the top is one; the throat above it is seen over less
LEAST_LENGTH_MM = 20.0  # of the longest, where none is that long
MIDLINE_MM = 45.0  # distance of the trachea from the middle of the body; a shrunken lung draws it to the side
AIRWAY_WALL_MM = 3.0  # of the wall (1-2 mm), and half a coarse voxel
# A circle fills 0.79 of its box; a trachea flattened by breathing out still passes.
ROUND_SHARE, ROUND_ASPECT = 0.5, 2.2


def find_airways(lumen: Region, body: Region, mm: tuple[float, ...]) -> Region:
    """Trachea and main bronchi; empty where no trachea is seen."""
    labels = np.asarray(ndimage.label(lumen, IN_PLANE_ALL)[0], np.int32)
    areas = np.asarray(np.bincount(labels.ravel()) * mm[1] * mm[2], np.float64)
    middle = middle_column(body)
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


def grown(region: Region, by_mm: float, mm: tuple[float, ...]) -> Region:
    """``region`` with a rim of ``by_mm`` in the plane."""
    steps = max(1, round(by_mm / mm[1]))
    return np.asarray(ndimage.binary_dilation(region, IN_PLANE, iterations=steps), np.bool_)


def _tracheas(plane: Labels, areas: NDArray[np.float64], middle: float, mm: tuple[float, ...]) -> list[int]:
    """The labels in one slice that can be a trachea: of its size, about round and near the middle."""
    tracheas = []
    for label in np.unique(plane)[1:]:
        rows, columns = np.nonzero(plane == label)
        height, width = (np.ptp(rows) + 1) * mm[1], (np.ptp(columns) + 1) * mm[2]
        of_size = TRACHEA_MM2[0] <= areas[label] <= TRACHEA_MM2[1]
        fills = areas[label] > ROUND_SHARE * height * width
        compact = fills and max(height, width) < ROUND_ASPECT * min(height, width)
        if of_size and compact and abs(columns.mean() - middle) * mm[2] < MIDLINE_MM:
            tracheas.append(int(label))
    return tracheas


def _follow(labels: Labels, areas: NDArray[np.float64], top: int, start: int) -> Region:
    """Go down from ``start``, forking as the airway does, until each branch leaks or gets thin."""
    airways = np.zeros(labels.shape, np.bool_)
    airways[top] = labels[top] == start
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
        airways[here] = np.isin(labels[here], current)
    return airways
