"""Files that are there whole or not at all.

A cache is a folder of files that are named by a hash of everything that decides their content. Two processes may fill
one folder: the worst that can happen is that both compute the same file.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from survnode.model import ct, phantom

Item = TypeVar("Item")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, whenever the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]], **metadata: str) -> None:
    """Write a safetensors file whole; of an array that is a view, safetensors itself would write other numbers."""
    write_whole(path, save({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata))


def key_of(*parts: object) -> str:
    """A name that changes with any of the parts."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


@cache
def code_sha256() -> str:
    """The hash of the code between a CT, or a phantom, and the encoder."""
    digest = hashlib.sha256()
    for path in sorted(path for package in (ct, phantom) for path in Path(str(package.__file__)).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def missing(items: Iterable[tuple[Item, Path]]) -> list[tuple[Item, Path]]:
    """Those whose file is not there."""
    return [(item, path) for item, path in items if not path.exists()]
