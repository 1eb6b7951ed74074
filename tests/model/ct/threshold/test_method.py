"""The parts are shown by themselves beside this; whole chests are in test_lungs.py."""

import numpy as np

from survnode.model.ct.threshold.method import lungs_by_threshold

from .shapes import AIR_HU, MM


def test_air_without_a_body_gives_no_lungs() -> None:
    assert not lungs_by_threshold(np.full((30, 40, 40), AIR_HU, np.float32), MM).any()
