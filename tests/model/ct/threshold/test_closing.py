import numpy as np

from survnode.model.ct.threshold.closing import close

from .shapes import MM


def test_closing_takes_in_a_vessel_and_leaves_what_is_wider() -> None:
    shape = (20, 60, 60)
    lung = np.zeros(shape, np.bool_)
    lung[:, 10:50, 10:50] = True
    lung[:, 28:32, 10:50] = False  # 8 mm
    assert close(lung, MM)[10, 30, 20]
    lung[:, 20:40, 40:50] = False  # a notch of 40 mm at the edge
    assert not close(lung, MM)[10, 30, 48]


def test_nothing_is_closed_where_there_is_nothing() -> None:
    assert not close(np.zeros((4, 5, 6), np.bool_), MM).any()
