"""Finding what is looked for among the images of the highest attention."""

import numpy as np

from survnode.train.measure.attention import finds, share_found

ATTENTION = np.array([0.1, 0.4, 0.0, 0.3, 0.2])


def test_only_the_highest_images_count() -> None:
    third = np.array([False, False, False, False, True])
    assert finds(ATTENTION, third, 3)
    assert not finds(ATTENTION, third, 2)


def test_first_of_equals_is_taken() -> None:
    equal = np.full(4, 0.25)
    assert finds(equal, np.array([True, False, False, False]), 1)
    assert not finds(equal, np.array([False, True, False, False]), 1)


def test_share_is_over_patients_and_nan_without_any() -> None:
    shown = [np.arange(5) == 1, np.arange(5) == 2]
    assert share_found([ATTENTION, ATTENTION], shown, 1) == 0.5
    assert np.isnan(share_found([], [], 1))
