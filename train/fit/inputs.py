"""What a network is trained on and predicts from: cached features of a frozen encoder, or slices."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from survnode.model.net.network import Output, SurvivalNet, intensities
from survnode.model.net.volumetric import VolumetricNet
from survnode.train.fit.augment import random_views
from survnode.train.fit.slices import read_slices
from survnode.train.recipe import Augmentation

Net = SurvivalNet | VolumetricNet
Rng = np.random.Generator


class Batch(NamedTuple):
    """Features (B, S, F) or slices (B, S, 1, H, W), 0 on padding, and the mask (B, S) of what is real.

    Parameters
    ----------
    beside : (B, C) what is known beside the image, NaN where missing; None for nothing
    """

    inputs: Tensor
    mask: Tensor
    beside: Tensor | None = None


class Inputs(Protocol):
    """The patients of a cohort, by row."""

    def batch(self, rows: Sequence[int], rng: Rng | None = None) -> Batch:
        """The patients in ``rows``: as they are, or with ``rng`` in random views as in training."""

    def forward(self, net: Net, batch: Batch) -> Output:
        """What ``net`` says of a batch."""

    def centre(self, rows: Sequence[int]) -> Tensor | None:
        """The mean features (F,) of all slices of these patients; None where the encoder trains."""

    def beside(self, rows: Sequence[int]) -> Tensor | None:
        """What is known of these patients beside the image, (B, C), NaN where missing; None for nothing."""


class ImagesAlone:
    """Inputs that know nothing beside the image; see `Inputs`."""

    def beside(self, rows: Sequence[int]) -> Tensor | None:  # noqa: ARG002  of nobody
        """See `Inputs`."""
        return None


class WithTable:
    """Images, and what a table says beside them; see `Inputs`.

    Parameters
    ----------
    images : the same patients
    table : (B, C) float32, NaN where missing
    """

    def __init__(self, images: Inputs, table: NDArray[np.float32], device: str = "cpu") -> None:
        self.images, self.table, self.device = images, torch.from_numpy(table), device

    def batch(self, rows: Sequence[int], rng: Rng | None = None) -> Batch:
        """See `Inputs`."""
        return self.images.batch(rows, rng)._replace(beside=self.beside(rows))

    def forward(self, net: Net, batch: Batch) -> Output:
        """See `Inputs`."""
        return self.images.forward(net, batch)

    def centre(self, rows: Sequence[int]) -> Tensor | None:
        """See `Inputs`."""
        return self.images.centre(rows)

    def beside(self, rows: Sequence[int]) -> Tensor:
        """See `Inputs`."""
        return self.table[list(rows)].to(self.device)


class FeatureInputs(ImagesAlone):
    """Cached features.

    Parameters
    ----------
    features : of each patient (1 + K, S, F) float16: the plain view and random ones
    probability : with which a slice is drawn from the random views
    """

    def __init__(self, features: Sequence[NDArray[np.float16]], probability: float, device: str = "cpu") -> None:
        self.features, self.probability, self.device = features, probability, device

    def batch(self, rows: Sequence[int], rng: Rng | None = None) -> Batch:
        """See `Inputs`."""
        drawn = [self._plain(row) if rng is None else self._drawn(row, rng) for row in rows]
        return pad([torch.from_numpy(features) for features in drawn], self.device)

    def forward(self, net: Net, batch: Batch) -> Output:
        """See `Inputs`."""
        if isinstance(net, VolumetricNet):
            return net.forward_features(batch.inputs[:, 0])
        forward = net.forward_fused if net.fuses_linearly else net.forward_features
        return forward(batch.inputs, batch.mask, batch.beside)

    def centre(self, rows: Sequence[int]) -> Tensor:
        """See `Inputs`."""
        total = sum(self._plain(row).sum(axis=0, dtype=np.float64) for row in rows)
        return torch.from_numpy(np.asarray(total / sum(self.features[row].shape[1] for row in rows))).float()

    def _plain(self, row: int) -> NDArray[np.float16]:
        plain: NDArray[np.float16] = self.features[row][0]
        return plain

    def _drawn(self, row: int, rng: Rng) -> NDArray[np.float16]:
        views, slices, _ = self.features[row].shape
        if views == 1:
            return self._plain(row)
        random = rng.random(slices) < self.probability
        view = np.where(random, rng.integers(1, views, slices), 0)
        drawn: NDArray[np.float16] = self.features[row][view, np.arange(slices)]
        return drawn


class SliceInputs(ImagesAlone):
    """Slices, read from their files for each batch.

    Parameters
    ----------
    paths : files of the slice cache, one a patient
    together : augment all slices of a patient in the same way
    """

    def __init__(
        self,
        paths: Sequence[Path],
        window_hu: tuple[float, float],
        augmentation: Augmentation,
        *,
        together: bool,
        device: str = "cpu",
    ) -> None:
        self.paths, self.window_hu, self.augmentation = paths, window_hu, augmentation
        self.together, self.device = together, device

    def batch(self, rows: Sequence[int], rng: Rng | None = None) -> Batch:
        """See `Inputs`."""
        slices = [intensities(read_slices(self.paths[row]).hu, self.window_hu).to(self.device) for row in rows]
        return pad([each if rng is None else self._drawn(each, rng) for each in slices], self.device)

    def forward(self, net: Net, batch: Batch) -> Output:
        """See `Inputs`."""
        if isinstance(net, VolumetricNet):
            output: Output = net(batch.inputs, batch.mask)
        else:
            output = net(batch.inputs, batch.mask, batch.beside)
        return output

    def centre(self, rows: Sequence[int]) -> None:
        """See `Inputs`: an encoder that trains moves its features away from any centre."""

    def _drawn(self, slices: Tensor, rng: Rng) -> Tensor:
        random = rng.random(1 if self.together else len(slices)) < self.augmentation.probability
        chosen = torch.from_numpy(np.flatnonzero(np.broadcast_to(random, len(slices)))).to(slices.device)
        if not len(chosen):
            return slices
        views = random_views(slices[chosen], self.augmentation, rng, window_hu=self.window_hu, together=self.together)
        return slices.index_copy(0, chosen, views)


def pad(patients: Sequence[Tensor], device: str) -> Batch:
    """Patients (S, ...) of different numbers of slices as one float32 batch, 0 on padding."""
    longest = max(len(patient) for patient in patients)
    first = patients[0]
    inputs = torch.zeros(len(patients), longest, *first.shape[1:], device=device)
    mask = torch.zeros(len(patients), longest, dtype=torch.bool, device=device)
    for row, patient in enumerate(patients):
        inputs[row, : len(patient)] = patient
        mask[row, : len(patient)] = True
    return Batch(inputs, mask)
