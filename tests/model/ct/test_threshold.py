"""The parts of the classical method on shapes made by hand; whole chests are in test_lungs.py."""

import numpy as np
import pytest

from survnode.model.ct import threshold
from survnode.model.ct.threshold import LEFT, RIGHT

MM = (3.0, 2.0, 2.0)
LUNG_HU, TISSUE_HU, AIR_HU = -850.0, 40.0, -1000.0


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> threshold.Region:
    """Voxels nearer than ``radius`` to ``centre``, both in voxels."""
    places = np.indices(shape, np.float32)
    away = sum((axis - middle) ** 2 for axis, middle in zip(places, centre, strict=True))
    return np.asarray(away < radius**2, np.bool_)


def cylinder(shape: tuple[int, int, int], row: float, column: float, radius: float) -> threshold.Region:
    """The same disc in every slice."""
    return np.broadcast_to(ball(shape[1:], (row, column), radius), shape)


def test_blocks_are_averaged_and_the_edge_is_repeated() -> None:
    hu = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    assert threshold.shrink(hu, (1, 2, 2)).tolist() == [[[2.0, 3.5]]]  # (0 1 3 4), (2 2 5 5)


def test_the_body_is_the_largest_piece_of_tissue_with_what_it_surrounds() -> None:
    shape = (3, 80, 80)
    hu = np.full(shape, AIR_HU, np.float32)
    hu[cylinder(shape, 35, 40, 25)] = TISSUE_HU
    hu[cylinder(shape, 35, 40, 10)] = LUNG_HU
    hu[:, 70:73, 5:75] = TISSUE_HU  # a table
    body = threshold.inside_body(hu, MM)
    assert body[1, 35, 40]  # the air inside
    assert not body[1, 71, 40]
    assert not body[1, 35, 2]
    assert not body[1, 35, 40 + 24]  # the skin


def test_a_trachea_is_followed_through_its_fork_and_left_where_it_leaks() -> None:
    shape = (40, 80, 80)
    lumen = np.zeros(shape, np.bool_)
    lumen[20:] = cylinder(shape, 40, 40, 4)[20:]  # 200 mm2 over 60 mm
    for offset in (-5, 5):
        lumen[10:20] |= cylinder(shape, 40, 40 + offset, 3.5)[10:20]
    lumen[:10] = cylinder(shape, 40, 40, 30)[:10]  # it runs into a lung
    airways = threshold.find_airways(lumen, np.ones(shape, np.bool_), MM)
    assert airways[10:].sum() == lumen[10:].sum()
    assert not airways[:10].any()


def test_what_is_not_near_the_middle_or_too_short_is_no_trachea() -> None:
    shape = (40, 80, 80)
    body = np.ones(shape, np.bool_)
    assert not threshold.find_airways(cylinder(shape, 40, 70, 4).copy(), body, MM).any()
    short = np.zeros(shape, np.bool_)
    short[30:36] = cylinder(shape, 40, 40, 4)[30:36]  # 18 mm
    assert not threshold.find_airways(short, body, MM).any()


@pytest.mark.parametrize("bridge", [0, 1])
def test_two_lungs_are_told_apart_by_the_middle_even_where_they_touch(bridge: int) -> None:
    shape = (40, 60, 100)
    right, left = ball(shape, (20, 30, 28), 19), ball(shape, (20, 30, 71), 19)
    air = right | left
    if bridge:
        air[18:22, 28:32, 40:60] = True
    coarse = np.where(air, LUNG_HU, TISSUE_HU).astype(np.float32)
    sides = threshold.right_and_left(coarse, air, np.ones(shape, np.bool_), MM)
    assert (sides[right] == RIGHT).mean() > 0.99
    assert (sides[left] == LEFT).mean() > 0.99
    assert (sides[~air] == 0).all()


def test_gas_is_no_lung() -> None:
    shape = (40, 60, 60)
    air = ball(shape, (20, 30, 30), 18)
    coarse = np.where(air, AIR_HU, TISSUE_HU).astype(np.float32)
    assert not threshold.right_and_left(coarse, air, np.ones(shape, np.bool_), MM).any()


def test_closing_takes_in_a_vessel_and_leaves_what_is_wider() -> None:
    shape = (20, 60, 60)
    lung = np.zeros(shape, np.bool_)
    lung[:, 10:50, 10:50] = True
    lung[:, 28:32, 10:50] = False  # 8 mm
    assert threshold.close(lung, MM)[10, 30, 20]
    lung[:, 20:40, 40:50] = False  # a notch of 40 mm at the edge
    assert not threshold.close(lung, MM)[10, 30, 48]


def test_nothing_is_closed_where_there_is_nothing() -> None:
    assert not threshold.close(np.zeros((4, 5, 6), np.bool_), MM).any()


def test_the_full_grid_decides_the_edge() -> None:
    coarse = np.zeros((4, 6, 6), np.uint8)
    coarse[1:3, 2:4, 2:4] = RIGHT
    hu = np.full((4, 12, 12), TISSUE_HU, np.float32)
    hu[1:3, 3:9, 4:8] = LUNG_HU  # one fine voxel more in front than the coarse labels say
    everywhere, nowhere = np.ones(coarse.shape, np.bool_), np.zeros(coarse.shape, np.bool_)
    refined = threshold.refine(coarse, nowhere, everywhere, hu, (1, 2, 2))
    assert np.array_equal(refined == RIGHT, hu == LUNG_HU)


def test_air_without_a_body_gives_no_lungs() -> None:
    assert not threshold.lungs(np.full((30, 40, 40), AIR_HU, np.float32), MM).any()
