"""Shapes of voxels, made by hand."""

import numpy as np

from survnode.model.ct.threshold.grid import Region

MM = (3.0, 2.0, 2.0)
LUNG_HU, TISSUE_HU, AIR_HU = -850.0, 40.0, -1000.0


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> Region:
    """Voxels nearer than ``radius`` to ``centre``, both in voxels."""
    places = np.indices(shape, np.float32)
    away = sum((axis - middle) ** 2 for axis, middle in zip(places, centre, strict=True))
    return np.asarray(away < radius**2, np.bool_)


def cylinder(shape: tuple[int, int, int], row: float, column: float, radius: float) -> Region:
    """The same disc in every slice."""
    return np.broadcast_to(ball(shape[1:], (row, column), radius), shape)
