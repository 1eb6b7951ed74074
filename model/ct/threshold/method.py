"""The whole of the classical method, from HU to lungs."""

from survnode.model.ct.threshold.airways import AIRWAY_WALL_MM, LUMEN_HU, find_airways, grown
from survnode.model.ct.threshold.body import inside_body
from survnode.model.ct.threshold.closing import close
from survnode.model.ct.threshold.grid import EDGE_HU, Array, Spacing, coarse_blocks, refine, shrink
from survnode.model.ct.threshold.sides import LEFT, RIGHT, right_and_left
from survnode.model.ct.volume import Mask


def lungs_by_threshold(hu: Array, spacing_mm: Spacing) -> Mask:
    """The lungs as (D, H, W) uint8: 0 background, 1 right, 2 left; all 0 where nothing is like a lung.

    Parameters
    ----------
    hu : (D, H, W) float32, feet to head, front to back, right to left
    """
    blocks = coarse_blocks(spacing_mm)
    coarse, mm = shrink(hu, blocks), tuple(b * s for b, s in zip(blocks, spacing_mm, strict=True))
    body = inside_body(coarse, mm)
    air = body & (coarse < EDGE_HU)
    airways = find_airways(air & (coarse < LUMEN_HU), body, mm)
    wall = grown(airways, AIRWAY_WALL_MM, mm)
    sides = right_and_left(coarse, air & ~wall, body, mm)
    air_of_lungs = sides > 0
    for side in (RIGHT, LEFT):
        sides[close(sides == side, mm) & body & ~wall & (sides == 0)] = side
    return refine(sides, (sides > 0) & ~air_of_lungs, body & ~wall, hu, blocks)
