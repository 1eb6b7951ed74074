"""The pooled features of a frozen encoder, computed once a patient and kept on disk.

With the encoder frozen, all that trains stands behind its global pooling: one vector of F numbers a slice is everything
that training needs of a CT. A file a patient, named by a hash of the CT, the preprocessing and the encoder, is written
whole or not at all, so that an interrupted run goes on where it was.
"""

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from survnode.model import ct
from survnode.model.ct.lungs import lung_segmenter
from survnode.model.ct.preprocess import preprocess
from survnode.model.net.encoders import Encoder
from survnode.model.net.trunks import TRUNKS, EncoderName
from survnode.train.cohorts.phantom import Scan
from survnode.train.config import Training

BATCH = 4  # slices: the fastest of 1, 4, 8 and 16 for one thread of a CPU


class Patient(Protocol):
    """Whoever has a CT."""

    @property
    def key(self) -> str:
        """Changes with anything that changes the CT."""

    def scan(self) -> Scan:
        """The CT, read or made anew."""


@dataclass(frozen=True, eq=False)
class PatientFeatures:
    """What the trained part of the network sees of a patient.

    Parameters
    ----------
    features : (S, F) float16, feet to head
    source : (S,) int64, as in `SliceStack`
    tumour : (D,) bool, which source images show the tumour
    """

    features: NDArray[np.float16]
    source: NDArray[np.int64]
    tumour: NDArray[np.bool_]

    def attention_by_image(self, attention: NDArray[np.float64]) -> NDArray[np.float64]:
        """Attention (S,) added up over the source image that each slice shows, (D,)."""
        return np.bincount(self.source, attention, minlength=len(self.tumour)).astype(np.float64)


def extract(patient: Patient, training: Training) -> PatientFeatures:
    """The features of one patient, by the path that serving takes from CT to encoder.

    Raises
    ------
    SeriesUnsuitable
        No lungs were found.
    """
    encoder, _ = _encoder(training.network.encoder, training.network.stem_channels)
    scan = patient.scan()
    stack = preprocess(scan.volume, lung_segmenter(training.lungs), training.preprocessing)
    slices = torch.from_numpy(stack.intensities(training.preprocessing.window_hu))[:, None]  # (S, 1, H, W)
    with torch.inference_mode():
        features = torch.cat([encoder(batch) for batch in slices.split(BATCH)])  # (S, F)
    return PatientFeatures(features.numpy().astype(np.float16), stack.source, scan.tumour)


def cached_features(
    patients: Sequence[Patient],
    training: Training,
    folder: Path,
    *,
    workers: int = 2,
    done: Callable[[], None] = lambda: None,
) -> list[PatientFeatures]:
    """The features of ``patients``, in their order; what ``folder`` lacks is computed in ``workers`` processes.

    ``done`` is called after each patient.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{cache_key(patient, training)}.safetensors" for patient in patients]
    missing = [(patient, path) for patient, path in zip(patients, paths, strict=True) if not path.exists()]
    for _ in range(len(paths) - len(missing)):
        done()
    if missing:
        _compute(missing, training, min(workers, len(missing)), done)
    return [read_features(path) for path in paths]


def cache_key(patient: Patient, training: Training) -> str:
    """Changes with anything that changes a patient's features: CT, preprocessing, lungs, encoder, weights, code."""
    network = training.network
    parts = [
        patient.key,
        training.preprocessing.model_dump_json(),
        training.lungs,
        f"{network.encoder}/{network.stem_channels}",
        encoder_sha256(training),
        _code_sha256(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def encoder_sha256(training: Training) -> str:
    """The hash of the encoder's weight file."""
    return _encoder(training.network.encoder, training.network.stem_channels)[1]


def read_features(path: Path) -> PatientFeatures:
    """The features in a file that `write_features` wrote."""
    return PatientFeatures(**load_file(path))


def write_features(path: Path, features: PatientFeatures) -> None:
    """Write a file that is there whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(save(vars(features)))
    part.replace(path)


def _compute(
    missing: Sequence[tuple[Patient, Path]], training: Training, workers: int, done: Callable[[], None]
) -> None:
    # Spawned, not forked: torch and ITK hold threads that a fork would leave in a deadlock.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread)
    try:
        for future in as_completed([executor.submit(_extract_to, *task, training) for task in missing]):
            future.result()
            done()
    finally:
        executor.shutdown(cancel_futures=True)


def _one_thread() -> None:
    """Two processes of one thread are twice as fast as one of two: most stages use one anyway."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _extract_to(patient: Patient, path: Path, training: Training) -> None:
    write_features(path, extract(patient, training))


@cache
def _encoder(name: EncoderName, stem_channels: int) -> tuple[Encoder, str]:
    """An encoder with its published weights, and their hash; loaded once a process."""
    encoder = Encoder(TRUNKS[name], stem_channels)
    return encoder.eval(), encoder.load_pretrained()


@cache
def _code_sha256() -> str:
    """The hash of the code between a CT, or a phantom's description, and the encoder."""
    digest = hashlib.sha256()
    for path in sorted(Path(ct.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
