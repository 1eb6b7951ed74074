"""Random views: each is a flip and a turn of the slice and nothing else."""

import numpy as np
import pytest
import torch
from torch import Tensor

from survnode.train.fit.augment import random_views, turned
from survnode.train.recipe import Augmentation, Turning

WINDOW = (-1000.0, 400.0)


@pytest.fixture
def slices() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((5, 1, 16, 16), np.float32))


def test_no_flip_and_no_angle_is_the_slice_itself(slices: Tensor) -> None:
    assert turned(slices, [False] * 5, [0.0] * 5).numpy() == pytest.approx(slices.numpy(), abs=1e-6)


def test_flip_exchanges_left_and_right(slices: Tensor) -> None:
    assert turned(slices, [True] * 5, [0.0] * 5).numpy() == pytest.approx(slices.flip(-1).numpy(), abs=1e-6)


def test_quarter_turn_is_numpys(slices: Tensor) -> None:
    found = turned(slices, [False] * 5, [90.0] * 5).numpy()
    assert found == pytest.approx(np.rot90(slices.numpy(), axes=(2, 3)), abs=1e-5)


def test_flip_comes_before_the_turn(slices: Tensor) -> None:
    found = turned(slices, [True] * 5, [90.0] * 5).numpy()
    assert found == pytest.approx(np.rot90(slices.numpy()[..., ::-1], axes=(2, 3)), abs=1e-5)


def test_same_numbers_give_the_same_views(slices: Tensor) -> None:
    views = [
        random_views(slices, Augmentation(), np.random.default_rng(seed), window_hu=WINDOW, together=False)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_a_volume_is_turned_as_one() -> None:
    same = torch.rand(1, 1, 16, 16).expand(4, 1, 16, 16)
    view = random_views(same, Augmentation(), np.random.default_rng(3), window_hu=WINDOW, together=True)
    assert all(torch.equal(view[0], other) for other in view)
    apart = random_views(same, Augmentation(), np.random.default_rng(3), window_hu=WINDOW, together=False)
    assert not torch.equal(apart[0], apart[1])


def test_as_released_pixels_are_the_nearest_and_water_comes_from_outside(slices: Tensor) -> None:
    found = turned(slices, [False] * 5, [30.0] * 5, Turning.NEAREST, water=2.0).numpy()
    known = np.append(slices.numpy().ravel(), np.float32(2.0))
    assert np.abs(found.reshape(-1, 1) - known).min(axis=1).max() < 1e-6
    assert found[:, 0, 0, 0] == pytest.approx(2.0)
    view = random_views(
        torch.zeros(5, 1, 16, 16), Augmentation(turning=Turning.NEAREST), np.random.default_rng(1), window_hu=WINDOW,
        together=False,
    )  # fmt: skip
    assert view.max().item() == pytest.approx(1000 / 1400)  # 0 HU in the window
