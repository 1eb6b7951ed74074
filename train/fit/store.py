"""Files that are there whole or not at all, and work on many patients in processes of one thread.

A cache is a folder of files that are named by a hash of everything that decides their content. Two processes may fill
one folder: the worst that can happen is that both compute the same file.
"""

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from survnode.model import ct

Item = TypeVar("Item")
Task = TypeVarTuple("Task")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, whenever the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]], **metadata: str) -> None:
    """Write a safetensors file whole; of an array that is a view, safetensors itself would write other numbers."""
    write_whole(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata))


def key_of(*parts: object) -> str:
    """A name that changes with any of the parts."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


@cache
def code_sha256() -> str:
    """The hash of the code between a CT and the encoder."""
    digest = hashlib.sha256()
    for path in sorted(Path(ct.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def compute(
    work: Callable[[*Task], None], tasks: Sequence[tuple[*Task]], workers: int, done: Callable[[], None]
) -> None:
    """Call ``work`` with each task, in ``workers`` processes if there are several; ``done`` after each."""
    workers = min(workers, len(tasks))
    if workers <= 1:
        with one_thread_here():
            for task in tasks:
                work(*task)
                done()
        return
    # Spawned, not forked: torch and ITK hold threads that a fork would leave in a deadlock.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=one_thread)
    try:
        for future in as_completed([executor.submit(work, *task) for task in tasks]):
            future.result()
            done()
    finally:
        executor.shutdown(cancel_futures=True)


def one_thread() -> None:
    """Two processes of one thread are twice as fast as one of two: most stages use one anyway."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


@contextmanager
def one_thread_here() -> Iterator[None]:
    """As `one_thread` for a while: the last digits of a sum depend on the number of threads."""
    threads, of_itk = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    one_thread()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(of_itk)


def missing(items: Iterable[tuple[Item, Path]]) -> list[tuple[Item, Path]]:
    """Those whose file is not there."""
    return [(item, path) for item, path in items if not path.exists()]
