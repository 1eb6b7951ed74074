"""Vessels and tumours that the threshold leaves out of a lung, taken in."""

import numpy as np
from scipy import ndimage

from survnode.model.ct.threshold.grid import IN_PLANE, Region

CLOSING_MM = 7.0  # closes vessels up to twice that, and tumours at the pleura as far as they are narrower


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
