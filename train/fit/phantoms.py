"""The features of computed phantoms, straight from the CT: slices are never on disk, but where the tumour is, is.

A file a phantom, named by everything that decides its content, as in `survnode.train.fit.files`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from survnode.model.ct.coverage import lung_height_mm
from survnode.model.ct.lungs import lung_segmenter
from survnode.model.ct.preprocess import preprocess
from survnode.model.net.network import intensities
from survnode.train.cohorts.phantom import PhantomPatient
from survnode.train.fit.features import encode, encoder_of
from survnode.train.fit.files import code_sha256, key_of, missing, write_arrays
from survnode.train.recipe import Training
from survnode.train.workers import compute


@dataclass(frozen=True, eq=False)
class PhantomFeatures:
    """What the trained part of the network sees of a phantom.

    Parameters
    ----------
    features : (S, F) float16, feet to head
    source : (S,) int64, as in `SliceStack`
    tumour : (D,) bool, which source images show the tumour
    lung_height_mm : (1,) float64, as `survnode.model.ct.coverage.lung_height_mm`
    """

    features: NDArray[np.float16]
    source: NDArray[np.int64]
    tumour: NDArray[np.bool_]
    lung_height_mm: NDArray[np.float64]

    def attention_by_image(self, attention: NDArray[np.float64]) -> NDArray[np.float64]:
        """Attention (S,) added up over the source image that each slice shows, (D,)."""
        return np.bincount(self.source, attention, minlength=len(self.tumour)).astype(np.float64)


def extract(patient: PhantomPatient, training: Training) -> PhantomFeatures:
    """The features of one phantom, by the path that serving takes from CT to encoder.

    Raises
    ------
    SeriesUnsuitable
        No lungs were found.
    """
    scan = patient.scan()
    stack = preprocess(scan.volume, lung_segmenter(training.lungs), training.preprocessing)
    slices = intensities(stack.hu, training.preprocessing.window_hu)
    with torch.inference_mode():
        features = encode(encoder_of(training.network)[0], training.network, slices)
    height = np.array([lung_height_mm(stack.lungs, training.preprocessing.spacing_mm[0])])
    return PhantomFeatures(features.numpy().astype(np.float16), stack.source, scan.tumour, height)


def cached_features(
    patients: Sequence[PhantomPatient],
    training: Training,
    folder: Path,
    *,
    workers: int = 2,
    done: Callable[[], None] = lambda: None,
) -> list[PhantomFeatures]:
    """The features of ``patients``, in their order.

    What ``folder`` lacks is computed in ``workers`` processes; ``done`` is called after each patient.
    """
    paths = [folder / f"{cache_key(patient, training)}.safetensors" for patient in patients]
    absent = missing(zip(patients, paths, strict=True))
    for _ in range(len(paths) - len(absent)):
        done()
    compute(_make, [(patient, path, training) for patient, path in absent], workers, done)
    return [PhantomFeatures(**load_file(path)) for path in paths]


def cache_key(patient: PhantomPatient, training: Training) -> str:
    """Changes with anything that changes a phantom's features: CT, preprocessing, lungs, encoder, weights, code."""
    network = training.network
    encoder = f"{network.encoder}/{network.stem_channels}/{encoder_of(network)[1]}"
    return key_of(patient.key, training.preprocessing.model_dump_json(), training.lungs, encoder, code_sha256())


def _make(patient: PhantomPatient, path: Path, training: Training) -> None:
    write_arrays(path, vars(extract(patient, training)))
