"""What is known of the patients of a run without its network, as numbers, one row a patient."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from survnode.train.cohorts.cohort import DicomPatient
from survnode.train.cohorts.tumour import TumourSize, drawn_tumour
from survnode.train.fit.files import key_of, write_whole
from survnode.train.recipe import Intensity
from survnode.train.runs.material import Material

FloatArray = NDArray[np.float64]


class Baseline(StrEnum):
    """What is known without the network."""

    AGE_AND_STAGE = "age_and_stage"
    LUNG_VOLUME = "lung_volume"
    TUMOUR_VOLUME = "tumour_volume"
    TUMOUR_AXIS = "tumour_axis"
    FEATURES = "features"


@dataclass(frozen=True, eq=False)
class KnownValues:
    """Values (B, P), NaN where they are missing, or why there are none."""

    values: FloatArray | None = None
    absent: str = ""


def known_values(baseline: Baseline, material: Material) -> KnownValues:
    """The values of a baseline, or why there are none."""
    makers: dict[Baseline, Callable[[Material], KnownValues]] = {
        Baseline.AGE_AND_STAGE: _age_and_stage,
        Baseline.LUNG_VOLUME: _lung_volume,
        Baseline.TUMOUR_VOLUME: lambda of: _tumour(of, lambda size: size.volume_ml),
        Baseline.TUMOUR_AXIS: lambda of: _tumour(of, lambda size: size.axis_mm),
        Baseline.FEATURES: _features,
    }
    return makers[baseline](material)


def _age_and_stage(material: Material) -> KnownValues:
    known = [patient.known for patient in material.cohort.patients if isinstance(patient, DicomPatient)]
    stages = sorted({it.stage for it in known} - {""})
    ages = [np.nan if it.age is None else it.age for it in known]
    if len(known) < len(material.cohort.patients) or (not stages and np.isnan(ages).all()):
        return KnownValues(absent="no column of the outcomes' table is named for age or stage, or all cells are empty.")
    columns = [[np.nan if it.stage == "" else float(it.stage == stage) for it in known] for stage in stages[1:]]
    return KnownValues(np.array([ages, *columns], np.float64).T)


def _lung_volume(material: Material) -> KnownValues:
    volumes = [material.slices.lung_volume_ml(patient) for patient in material.cohort.patients]
    if not np.isfinite(volumes).all():
        return KnownValues(absent="the slices were made by a version that did not measure the lungs.")
    return KnownValues(np.log(volumes)[:, None])


def _tumour(material: Material, size_of: Callable[[TumourSize], float]) -> KnownValues:
    """The logarithm of a size, since sizes are many times apart."""
    drawn = [
        _drawn(patient, material.caches / "tumours") if isinstance(patient, DicomPatient) else None
        for patient in material.cohort.patients
    ]
    if not any(drawn):
        return KnownValues(absent="nobody has a contour of the tumour (RTSTRUCT or SEG) beside the CT.")
    return KnownValues(np.array([[np.nan if size is None else np.log(max(size_of(size), 0.01))] for size in drawn]))


def _drawn(patient: DicomPatient, folder: Path) -> TumourSize | None:
    """As `drawn_tumour`, kept: contours of 400 patients take minutes to read."""
    if not patient.known.drawings:
        return None
    sizes = [(str(path), path.stat().st_size) for path in patient.known.drawings]
    path = folder / f"{key_of(patient.series_instance_uid, patient.known.tumour, sizes)}.json"
    if not path.exists():
        size = drawn_tumour(patient.known.drawings, patient.series_instance_uid, patient.known.tumour)
        stored = None if size is None else [size.volume_ml, size.axis_mm]
        write_whole(path, json.dumps(stored).encode())
    kept = json.loads(path.read_text(encoding="utf-8"))
    return None if kept is None else TumourSize(*kept)


def _features(material: Material) -> KnownValues:
    recipe = material.recipe
    if not recipe.frozen or recipe.intensity is Intensity.FOLD:
        return KnownValues(absent="the encoder trains, or sees what depends on the fold: it has no features to pool.")
    cache = material.features(recipe)
    return KnownValues(np.stack([cache.pooled(patient) for patient in material.cohort.patients]))
