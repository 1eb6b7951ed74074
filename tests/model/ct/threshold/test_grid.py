import numpy as np

from survnode.model.ct.threshold.grid import coarse_blocks, refine, shrink
from survnode.model.ct.threshold.sides import RIGHT

from .shapes import LUNG_HU, TISSUE_HU


def test_blocks_are_averaged_and_the_edge_is_repeated() -> None:
    hu = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    assert shrink(hu, (1, 2, 2)).tolist() == [[[2.0, 3.5]]]  # (0 1 3 4), (2 2 5 5)


def test_the_full_grid_decides_the_edge() -> None:
    coarse = np.zeros((4, 6, 6), np.uint8)
    coarse[1:3, 2:4, 2:4] = RIGHT
    hu = np.full((4, 12, 12), TISSUE_HU, np.float32)
    hu[1:3, 3:9, 4:8] = LUNG_HU  # one fine voxel more in front than the coarse labels say
    everywhere, nowhere = np.ones(coarse.shape, np.bool_), np.zeros(coarse.shape, np.bool_)
    refined = refine(coarse, nowhere, everywhere, hu, (1, 2, 2))
    assert np.array_equal(refined == RIGHT, hu == LUNG_HU)


def test_a_coarse_voxel_is_about_as_large_as_it_shall_be_or_one_of_the_ct() -> None:
    assert coarse_blocks((3.0, 0.98, 0.98)) == (1, 2, 2)
    assert coarse_blocks((0.625, 0.7, 0.7)) == (4, 3, 3)
    assert coarse_blocks((5.0, 4.0, 4.0)) == (1, 1, 1)
