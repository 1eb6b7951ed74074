import numpy as np
import pytest

from survnode.model.ct.threshold.sides import LEFT, RIGHT, right_and_left

from .shapes import AIR_HU, LUNG_HU, MM, TISSUE_HU, ball


@pytest.mark.parametrize("bridge", [0, 1])
def test_two_lungs_are_told_apart_by_the_middle_even_where_they_touch(bridge: int) -> None:
    shape = (40, 60, 100)
    right, left = ball(shape, (20, 30, 28), 19), ball(shape, (20, 30, 71), 19)
    air = right | left
    if bridge:
        air[18:22, 28:32, 40:60] = True
    coarse = np.where(air, LUNG_HU, TISSUE_HU).astype(np.float32)
    sides = right_and_left(coarse, air, np.ones(shape, np.bool_), MM)
    assert (sides[right] == RIGHT).mean() > 0.99
    assert (sides[left] == LEFT).mean() > 0.99
    assert (sides[~air] == 0).all()


def test_gas_is_no_lung() -> None:
    shape = (40, 60, 60)
    air = ball(shape, (20, 30, 30), 18)
    coarse = np.where(air, AIR_HU, TISSUE_HU).astype(np.float32)
    assert not right_and_left(coarse, air, np.ones(shape, np.bool_), MM).any()
