"""The slices that the network sees of each patient, made once from the CT and kept on disk.

A file a patient: int16 HU and the source image of each slice. Whose CT turns out to be unsuitable only when its pixels
are looked at has a file with the reason instead, so that the CT is not read again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from survnode.model.ct.coverage import CoverageWarning, lung_height_mm
from survnode.model.ct.lungs import LungMethod, LungSegmenter, lung_segmenter
from survnode.model.ct.preprocess import Preprocessing, preprocess
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.train.cohorts.cohort import Patient
from survnode.train.cohorts.exclusions import Exclusion
from survnode.train.fit.files import code_sha256, key_of, missing, write_arrays, write_whole
from survnode.train.workers import compute

Done = Callable[[], None]
STANDARD_MEAN, STANDARD_SD = 0.449, 0.226  # of ImageNet over its channels: what encoders take off and divide by


@dataclass(frozen=True, eq=False)
class Slices:
    """The slices of one patient, feet to head.

    Parameters
    ----------
    hu : (S, size, size) int16
    source : (S,) int64, row of the source image in ``Volume.images``
    images : D, how many source images there are
    lung_height_mm : as `survnode.model.ct.coverage.lung_height_mm`
    """

    hu: NDArray[np.int16]
    source: NDArray[np.int64]
    images: int
    lung_height_mm: float


@dataclass(frozen=True)
class SliceCache:
    """The slices of a cohort in ``folder``, made by one preprocessing and one segmentation of the lungs.

    The intensity window is no part of it: it is applied when slices are used.
    """

    folder: Path
    preprocessing: Preprocessing
    lungs: LungMethod

    def key(self, patient: Patient) -> str:
        """Changes with anything that changes a patient's slices."""
        settings = self.preprocessing.model_dump_json(exclude={"window_hu"})
        return key_of(patient.key, settings, self.lungs, _segmenter(self.lungs).weights_sha256, code_sha256())

    def path(self, patient: Patient) -> Path:
        """The file of a patient."""
        return self.folder / f"{self.key(patient)}.safetensors"

    def fill(self, patients: Sequence[Patient], *, workers: int = 1, done: Done = lambda: None) -> list[Exclusion]:
        """Make what is not there; returns those whose CT is unsuitable, and why.

        Parameters
        ----------
        done : called after each patient
        """
        paths = [(patient, self.path(patient)) for patient in patients]
        absent = [(patient, path) for patient, path in missing(paths) if not _refusal(path).exists()]
        for _ in range(len(patients) - len(absent)):
            done()
        compute(_make, [(patient, path, self.preprocessing, self.lungs) for patient, path in absent], workers, done)
        return [_exclusion(patient, _refusal(path)) for patient, path in missing(paths)]

    def lung_height_mm(self, patient: Patient) -> float:
        """Of the same patients, without reading their slices; see `survnode.model.ct.coverage.lung_height_mm`."""
        with safe_open(self.path(patient), framework="numpy") as file:
            return float(file.metadata()["lung_height_mm"])

    def count(self, patient: Patient) -> int:
        """How many slices the same patients have."""
        with safe_open(self.path(patient), framework="numpy") as file:
            return int(file.get_slice("hu").get_shape()[0])

    def lung_volume_ml(self, patient: Patient) -> float:
        """Of the same patients."""
        with safe_open(self.path(patient), framework="numpy") as file:
            return float(file.metadata().get("lung_volume_ml", "nan"))

    def spacing_mm(self, patient: Patient) -> tuple[float | None, float | None]:
        """Of the CT of the same patients: between slices, and between pixels; None in files of an earlier version."""
        with safe_open(self.path(patient), framework="numpy") as file:
            depth, _, width = file.metadata().get("spacing_mm", "  ").split(" ")
        return float(depth) if depth else None, float(width) if width else None

    def warnings(self, patient: Patient) -> tuple[CoverageWarning, ...]:
        """What is to be known of the lungs of the same patients; see `LungSides.warnings`."""
        with safe_open(self.path(patient), framework="numpy") as file:
            return tuple(CoverageWarning[name] for name in file.metadata().get("warnings", "").split())

    def read(self, patient: Patient) -> Slices:
        """The slices of a patient for whom `fill` was called."""
        return read_slices(self.path(patient))


def read_slices(path: Path) -> Slices:
    """The slices in a file of the cache."""
    with safe_open(path, framework="numpy") as file:
        about = file.metadata()
        images, height = int(about["images"]), float(about["lung_height_mm"])
        return Slices(file.get_tensor("hu"), file.get_tensor("source"), images, height)


def standard_window(paths: Sequence[Path]) -> tuple[float, float]:
    """The window by which an encoder's own normalisation makes mean 0 and SD 1 of all pixels of these slices."""
    count, total, squares = 0, 0.0, 0.0
    for path in paths:
        hu = read_slices(path).hu.astype(np.float64)
        count, total, squares = count + hu.size, total + float(hu.sum()), squares + float((hu * hu).sum())
    mean = total / count
    sd = float(np.sqrt(max(squares / count - mean * mean, 1.0)))
    low = round(mean - STANDARD_MEAN * sd / STANDARD_SD, 3)
    return low, round(low + sd / STANDARD_SD, 3)


def lung_weights_sha256(lungs: LungMethod) -> str | None:
    """The hash of the segmentation's weights; None where it needs none."""
    return _segmenter(lungs).weights_sha256


def _make(patient: Patient, path: Path, preprocessing: Preprocessing, lungs: LungMethod) -> None:
    try:
        volume = patient.volume()
        stack = preprocess(volume, _segmenter(lungs), preprocessing)
    except SeriesUnsuitable as error:
        write_whole(_refusal(path), json.dumps({"reason": error.reason, "detail": error.detail}).encode())
        return
    height = lung_height_mm(stack.lungs, preprocessing.spacing_mm[0])
    about = {
        "images": str(len(volume.images)),
        "lung_height_mm": f"{height:.2f}",
        "lung_volume_ml": f"{stack.sides.right_ml + stack.sides.left_ml:.1f}",
        "warnings": " ".join(stack.sides.warnings),
        "spacing_mm": " ".join(f"{spacing:.4f}" for spacing in volume.spacing_mm),
    }
    write_arrays(path, {"hu": stack.hu, "source": stack.source}, **about)


def _refusal(path: Path) -> Path:
    return path.with_suffix(".json")


def _exclusion(patient: Patient, refusal: Path) -> Exclusion:
    refused = json.loads(refusal.read_text(encoding="utf-8"))
    return Exclusion(patient.id, Reason[refused["reason"]], refused["detail"])


@cache
def _segmenter(lungs: LungMethod) -> LungSegmenter:
    """The segmentation, loaded once a process."""
    return lung_segmenter(lungs)
