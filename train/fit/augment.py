"""Random views of slices: a horizontal flip and a rotation."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from survnode.train.recipe import Augmentation, Turning


def random_views(
    slices: Tensor,
    settings: Augmentation,
    rng: np.random.Generator,
    *,
    window_hu: tuple[float, float],
    together: bool,
) -> Tensor:
    """A random view of every slice, (S, 1, H, W) -> (S, 1, H, W); see `Turning` for what comes from outside.

    Parameters
    ----------
    window_hu : what the slices are mapped from, 0 to 1
    together : turn and flip all slices in the same way
    """
    count = 1 if together else len(slices)
    flip = np.broadcast_to(rng.random(count) < settings.flip, len(slices))
    degrees = np.broadcast_to(rng.uniform(-settings.degrees, settings.degrees, count), len(slices))
    return turned(slices, flip.tolist(), degrees.tolist(), settings.turning, _water(window_hu))


def turned(
    slices: Tensor,
    flip: Sequence[bool],
    degrees: Sequence[float],
    turning: Turning = Turning.BILINEAR,
    water: float = 0.0,
) -> Tensor:
    """Slices (S, 1, H, W), each flipped or not and then turned by its angle about its centre.

    Parameters
    ----------
    water : what 0 HU are in the slices
    """
    matrices = torch.tensor([_matrix(*pair) for pair in zip(flip, degrees, strict=True)], device=slices.device)
    grid = functional.affine_grid(matrices, list(slices.shape), align_corners=False)  # (S, H, W, 2)
    if turning is Turning.BILINEAR:
        return functional.grid_sample(slices, grid, align_corners=False)
    return functional.grid_sample(slices - water, grid, mode="nearest", align_corners=False) + water


def _water(window_hu: tuple[float, float]) -> float:
    """0 HU in a window's slices, from 0 to 1."""
    low, high = window_hu
    return min(max((0 - low) / (high - low), 0.0), 1.0)


def _matrix(flip: bool, degrees: float) -> list[list[float]]:
    """Where each place of the new slice is read in the old one, (2, 3); the angle is the content's own turn."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    mirror = -1.0 if flip else 1.0
    return [[mirror * cosine, -mirror * sine, 0.0], [sine, cosine, 0.0]]
