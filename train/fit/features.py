"""The features of a frozen encoder, of the plain slices and of random views of them, made once and kept on disk.

With the encoder frozen, all that trains stands behind its pooling: a vector of F numbers a slice and view is everything
that training needs of a CT. A file a patient and view, so that recipes with and without augmentation share the plain
one. A volume network has one vector a patient: it is kept as one slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn

from survnode.model.net.encoders import Encoder, Freezing
from survnode.model.net.network import NetworkConfig, intensities
from survnode.model.net.trunks import TRUNKS, EncoderName
from survnode.model.net.volumetric import VOLUME_TRUNKS, VolumeEncoderName, VolumetricConfig, volume_of
from survnode.train.cohorts.cohort import Patient
from survnode.train.fit.augment import random_views
from survnode.train.fit.files import key_of, missing, write_arrays
from survnode.train.fit.slices import Done, SliceCache, read_slices
from survnode.train.recipe import Augmentation, Recipe
from survnode.train.workers import compute

Network = NetworkConfig | VolumetricConfig
PLAIN = 0  # the number of the view that is none
BATCH_CPU, BATCH_GPU = 4, 128  # slices; 4 is the fastest of 1, 4, 8 and 16 for one thread of a CPU


@dataclass(frozen=True)
class FeatureCache:
    """The features of a cohort in ``folder``.

    Parameters
    ----------
    window_hu : mapped to [0, 1]
    seed : of the random views
    """

    folder: Path
    slices: SliceCache
    network: Network
    window_hu: tuple[float, float]
    augmentation: Augmentation
    seed: int
    device: str = "cpu"

    @classmethod
    def of(cls, recipe: Recipe, slices: SliceCache, folder: Path, seed: int, device: str = "cpu") -> "FeatureCache":
        """The features that a recipe wants."""
        window = recipe.preprocessing.window_hu
        return cls(folder, slices, recipe.network, window, recipe.augmentation, seed, device)

    @property
    def views(self) -> int:
        """Plain and random ones."""
        return 1 + (self.augmentation.views if self.augmentation.probability else 0)

    def path(self, patient: Patient, view: int) -> Path:
        """The file of a patient and view."""
        drawn = self.augmentation.flip, self.augmentation.degrees, self.augmentation.turning, self.seed, view
        random = drawn if view != PLAIN else ()
        encoder = f"{self.network.encoder}/{self.network.stem_channels}/{encoder_of(self.network)[1]}"
        key = key_of(self.slices.key(patient), self.window_hu, encoder, random)
        return self.folder / f"{key}.safetensors"

    def fill(self, patients: Sequence[Patient], *, workers: int = 1, done: Done = lambda: None) -> None:
        """Make what is not there from the slices, which must be there; ``done`` is called after each file."""
        pairs = [(patient, view) for patient in patients for view in range(self.views)]
        absent = missing((pair, self.path(*pair)) for pair in pairs)
        for _ in range(len(pairs) - len(absent)):
            done()
        compute(_make, [(self, *pair, path) for pair, path in absent], workers, done)

    def pooled(self, patient: Patient) -> NDArray[np.float64]:
        """The mean over the slices of the plain view of a patient for whom `fill` was called, (F,)."""
        features = load_file(self.path(patient, PLAIN))["features"]
        return np.asarray(features.mean(axis=0, dtype=np.float64))

    def read(self, patient: Patient) -> NDArray[np.float16]:
        """The features of a patient for whom `fill` was called, (1 + K, S, F)."""
        files = [load_file(self.path(patient, view)) for view in range(self.views)]
        return np.stack([file["features"] for file in files])


def encoder_of(network: Network) -> tuple[Encoder, str]:
    """The untrained, frozen encoder of a network, and the sha256 of its weights; made once a process.

    Where nobody publishes weights it has random ones, always the same, and for a hash "random" and its first stride.
    """
    return _encoder(network.encoder, network.stem_channels)


@cache
def _encoder(name: EncoderName | VolumeEncoderName, stem_channels: int) -> tuple[Encoder, str]:
    trunk = VOLUME_TRUNKS[name] if isinstance(name, VolumeEncoderName) else TRUNKS[name]
    # Whoever asks first may be in inference mode: weights made in it could never be copied into again.
    with torch.inference_mode(mode=False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = Encoder(trunk, stem_channels, Freezing.TRUNK).eval()
        return encoder, encoder.load_pretrained() if trunk.weights else f"random, {_stride(encoder)}"


def _stride(encoder: Encoder) -> str:
    """How the first convolution of a trunk without published weights strides: it tells the variants apart."""
    convolution = next(module for module in encoder.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d)))
    return "x".join(map(str, convolution.stride))


def encode(encoder: Encoder, network: Network, slices: Tensor) -> Tensor:
    """Features (S, F) of slices (S, 1, H, W), or of the volume that they are, (1, F)."""
    if isinstance(network, VolumetricConfig):
        return torch.cat([encoder(volume_of(slices))])
    batch = BATCH_CPU if slices.device.type == "cpu" else BATCH_GPU
    return torch.cat([encoder(part) for part in slices.split(batch)])


def _make(wanted: FeatureCache, patient: Patient, view: int, path: Path) -> None:
    encoder = encoder_of(wanted.network)[0].to(wanted.device)
    slices = intensities(read_slices(wanted.slices.path(patient)).hu, wanted.window_hu).to(wanted.device)
    with torch.inference_mode():
        if view != PLAIN:
            rng = np.random.default_rng([wanted.seed, view, int(patient.key[:12], 16)])
            together = isinstance(wanted.network, VolumetricConfig)
            slices = random_views(slices, wanted.augmentation, rng, window_hu=wanted.window_hu, together=together)
        encoded = encode(encoder, wanted.network, slices)
    write_arrays(path, {"features": encoded.cpu().numpy().astype(np.float16)})
