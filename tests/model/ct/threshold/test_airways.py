import numpy as np

from survnode.model.ct.threshold.airways import find_airways

from .shapes import MM, cylinder


def test_a_trachea_is_followed_through_its_fork_and_left_where_it_leaks() -> None:
    shape = (40, 80, 80)
    lumen = np.zeros(shape, np.bool_)
    lumen[20:] = cylinder(shape, 40, 40, 4)[20:]  # 200 mm2 over 60 mm
    for offset in (-5, 5):
        lumen[10:20] |= cylinder(shape, 40, 40 + offset, 3.5)[10:20]
    lumen[:10] = cylinder(shape, 40, 40, 30)[:10]  # it runs into a lung
    airways = find_airways(lumen, np.ones(shape, np.bool_), MM)
    assert airways[10:].sum() == lumen[10:].sum()
    assert not airways[:10].any()


def test_what_is_not_near_the_middle_or_too_short_is_no_trachea() -> None:
    shape = (40, 80, 80)
    body = np.ones(shape, np.bool_)
    assert not find_airways(cylinder(shape, 40, 70, 4).copy(), body, MM).any()
    short = np.zeros(shape, np.bool_)
    short[30:36] = cylinder(shape, 40, 40, 4)[30:36]  # 18 mm
    assert not find_airways(short, body, MM).any()
