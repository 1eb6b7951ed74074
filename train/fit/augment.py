"""Random views of slices: a horizontal flip and a rotation."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from survnode.train.recipe import Augmentation


def random_views(slices: Tensor, settings: Augmentation, rng: np.random.Generator, *, together: bool) -> Tensor:
    """A random view of every slice, (S, 1, H, W) -> (S, 1, H, W); what comes from outside is 0, which is air.

    Parameters
    ----------
    together : turn and flip all slices in the same way
    """
    count = 1 if together else len(slices)
    flip = np.broadcast_to(rng.random(count) < settings.flip, len(slices))
    degrees = np.broadcast_to(rng.uniform(-settings.degrees, settings.degrees, count), len(slices))
    return turned(slices, flip.tolist(), degrees.tolist())


def turned(slices: Tensor, flip: Sequence[bool], degrees: Sequence[float]) -> Tensor:
    """Slices (S, 1, H, W), each flipped or not and then turned by its angle about its centre, bilinear."""
    matrices = torch.tensor([_matrix(*pair) for pair in zip(flip, degrees, strict=True)], device=slices.device)
    grid = functional.affine_grid(matrices, list(slices.shape), align_corners=False)  # (S, H, W, 2)
    return functional.grid_sample(slices, grid, align_corners=False)


def _matrix(flip: bool, degrees: float) -> list[list[float]]:
    """Where each place of the new slice is read in the old one, (2, 3); the angle is the content's own turn."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    mirror = -1.0 if flip else 1.0
    return [[mirror * cosine, -mirror * sine, 0.0], [sine, cosine, 0.0]]
