import numpy as np

from survnode.model.ct.threshold.body import inside_body

from .shapes import AIR_HU, LUNG_HU, MM, TISSUE_HU, cylinder


def test_the_body_is_the_largest_piece_of_tissue_with_what_it_surrounds() -> None:
    shape = (3, 80, 80)
    hu = np.full(shape, AIR_HU, np.float32)
    hu[cylinder(shape, 35, 40, 25)] = TISSUE_HU
    hu[cylinder(shape, 35, 40, 10)] = LUNG_HU
    hu[:, 70:73, 5:75] = TISSUE_HU  # a table
    body = inside_body(hu, MM)
    assert body[1, 35, 40]  # the air inside
    assert not body[1, 71, 40]
    assert not body[1, 35, 2]
    assert not body[1, 35, 40 + 24]  # the skin
