"""A prediction that needs no network, headers as peers send them, and the judges that others wrote."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.coverage import Coverage
from survnode.model.ct.volume import (
    Volume,
    load_volume,
    read_headers,
    read_series,
)
from survnode.model.prediction import ModelIdentity, Prediction, SliceAttention
from survnode.model.timegrid import TimeGrid
from survnode.node.results.bundle import analysed
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.identity import ResultRun
from survnode.node.results.source.series import AnalysedSeries

Predict = Callable[..., Prediction]
Headers = Callable[..., list[Dataset]]
Judge = Callable[[Path], list[str]]

N_SLICES = 24
COVERAGE = Coverage(255.0, 4600.0, 0.0, 0.0)


def a_run(**changes: Any) -> ResultRun:
    values = {
        "created": datetime(2019, 3, 4, 5, 6, 7, tzinfo=UTC), "version": 1, "predecessor": None,
        "software_version": "0.1.0",
    }  # fmt: skip
    return ResultRun(**{**values, **changes})


def a_model(**changes: Any) -> ModelIdentity:
    values: dict[str, Any] = {
        "name": "survnode-test", "version": "1.2.0", "device_uid": "2.25.42", "weights_sha256": "ab" * 32,
        "encoder": "efficientnet_b0", "encoder_sha256": "cd" * 32, "lungs": "threshold",
        "preprocessing": "1.5 mm, lungs cropped", "cohort": "a cohort of 100 patients",
        "cohort_survival": tuple(np.linspace(0.1, 0.9, 101)),
    }  # fmt: skip
    return ModelIdentity(**{**values, **changes})


def a_prediction(images: Sequence[SourceImage], *, hazard: float = 0.03, members: int = 3, **model: Any) -> Prediction:
    """Constant monthly hazards, one a member; attention is highest two thirds of the way up, 1 % steps around it."""
    hazards = hazard * np.linspace(0.8, 1.2, members) if members > 1 else np.array([hazard])
    alive = (1 - hazards[:, None]) ** np.arange(25)
    pmf = np.concatenate([-np.diff(alive, axis=1), alive[:, -1:]], axis=1)
    peak = 2 * len(images) // 3
    weights = np.exp(-0.5 * ((np.arange(len(images)) - peak - 0.1) / 3) ** 2) + 1e-3
    weights /= weights.sum()
    attention = tuple(SliceAttention(image, i, float(weights[i])) for i, image in enumerate(images))
    return Prediction(TimeGrid(), pmf, attention, a_model(**model), COVERAGE)


def a_volume(images: Sequence[SourceImage], spacing_mm: tuple[float, float, float] = (3.0, 2.0, 2.0)) -> Volume:
    """Air; on every slice a bone-white square that lies front and right of the patient."""
    hu = np.full((len(images), 64, 64), -1000, np.float32)
    hu[:, 8:24, 8:24] = 1000
    return Volume(hu, spacing_mm, tuple(images), np.eye(3), np.zeros(3))


def a_series(count: int = N_SLICES, **changes: Any) -> AnalysedSeries:
    """What `analysed_series` says of such a volume."""
    values: dict[str, Any] = {
        "uid": "1.2.3.4", "number": 3, "description": "CHEST", "date": date(2025, 1, 2),
        "positions_mm": tuple(3.0 * row for row in range(count)), "extent_mm": 3.0 * count, "coverage": COVERAGE,
    }  # fmt: skip
    return AnalysedSeries(**{**values, **changes})


def a_header(number: int, **attributes: Any) -> Dataset:
    """A CT header with nothing but what cannot be absent, and ``attributes``."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"1.2.3.4.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    ds.Modality, ds.InstanceNumber = "CT", number
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@dataclass(frozen=True)
class Geometry:
    """How a scanner stored its slices: directions of rows and columns, and of the order of the slices."""

    row: tuple[int, int, int] = (1, 0, 0)
    column: tuple[int, int, int] = (0, 1, 0)
    step_mm: float = 3.0


def placed_headers(geometry: Geometry, count: int = 24, shape: tuple[int, int] = (24, 32)) -> list[Dataset]:
    """Slices with a place in space; an ellipsoid of HU 1 and 2 (its patient's right and left) lies off their middle."""
    corner = np.array([-60.0, -40.0, 500.0])
    row, column = np.array(geometry.row), np.array(geometry.column)
    spacing = (2.0, 1.5)  # between rows, between columns
    datasets = []
    for number in range(1, count + 1):
        position = corner + np.array([0, 0, geometry.step_mm * number])
        down, across = np.mgrid[: shape[0], : shape[1]]
        places = position + row * spacing[1] * across[..., None] + column * spacing[0] * down[..., None]
        middle = corner + row * 20 + column * 18 + np.array([0, 0, geometry.step_mm * 9])
        inside = (((places - middle) / [15, 10, 16]) ** 2).sum(axis=-1) < 1
        pixels = inside * np.where(places[..., 0] < middle[0], 1, 2)
        ds = a_header(number, PatientName="Doe^Jane", PatientID="SECRET-1", StudyDate="20250102", AccessionNumber="A1")
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.FrameOfReferenceUID = "1.2.3.9"
        ds.ImagePositionPatient, ds.ImageOrientationPatient = position.tolist(), [*geometry.row, *geometry.column]
        ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept = list(spacing), 1, 0
        ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *shape, 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.PixelData = pixels.astype("<i2").tobytes()
        datasets.append(ds)
    return datasets


def as_received(ds: Dataset) -> Dataset:
    """``ds`` after a way through its encoding, as a node reads it."""
    buffer = BytesIO()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    dcmwrite(buffer, ds, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer, stop_before_pixels=True)


@pytest.fixture(scope="session")
def headers() -> Headers:
    """Makes the headers of a series, ``headers(count, **attributes)``."""
    return lambda count=N_SLICES, **attributes: [a_header(i + 1, **attributes) for i in range(count)]


@pytest.fixture(scope="session")
def source(headers: Headers) -> SourceStudy:
    """A series whose patient is well described."""
    return SourceStudy(
        tuple(
            headers(
                PatientName="Doe^Jane",
                PatientID="SECRET-1",
                PatientBirthDate="19500102",
                PatientSex="F",
                StudyDate="20250102",
                StudyTime="101500",
                AccessionNumber="A1",
                StudyID="S1",
                ReferringPhysicianName="House^Gregory",
                Manufacturer="SIEMENS",
                StudyDescription="CT chest",
            )
        )
    )


@pytest.fixture(scope="session")
def images() -> tuple[SourceImage, ...]:
    """The images of ``source``, feet to head."""
    return tuple(SourceImage(CTImageStorage, f"1.2.3.4.{i + 1}", i + 1) for i in range(N_SLICES))


@pytest.fixture(scope="session")
def volume(images: tuple[SourceImage, ...]) -> Volume:
    return a_volume(images)


@pytest.fixture(scope="session")
def predict(images: tuple[SourceImage, ...]) -> Predict:
    """Makes a prediction over ``images``, ``predict(hazard=..., members=..., **model)``."""
    return lambda **changes: a_prediction(images, **changes)


@pytest.fixture(scope="session")
def results(source: SourceStudy, volume: Volume, predict: Predict) -> tuple[ResultObject, ...]:
    """The results of ``source``: do not change them."""
    return analysed(source, volume, predict(), a_run())


@pytest.fixture(scope="session")
def lung1(lung1_series: list[Path]) -> tuple[SourceStudy, Volume]:
    """A real patient."""
    return SourceStudy(tuple(read_headers(lung1_series))), load_volume(read_series(lung1_series))


@pytest.fixture(scope="session")
def lung1_lungs(shared_data: Path) -> Path:
    """His lungs, drawn by hand: 1 right, 2 left, on the grid of the CT."""
    return shared_data / "masks" / "LUNG1-001_lungs_from_rtstruct.nii.gz"


def write(results: Iterable[ResultObject], folder: Path) -> list[Path]:
    """The files of ``results`` in ``folder``."""
    paths = []
    for result in results:
        path = folder / result.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(result.encode())
        paths.append(path)
    return paths


def find_tool(name: str, *places: str) -> str:
    """Where a tool is; a test that needs an absent one is skipped."""
    path = shutil.which(name, path=os.pathsep.join([*places, str(Path(sys.executable).parent), os.environ["PATH"]]))
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def output_of(*command: str | Path) -> str:
    """What a tool says, on both of its streams."""
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


# Every complaint of dciodvfy that we accept, with the reason.
ALLOWED = {
    r"Unrecognized defined term <99SURVNODE> for value 1 of attribute <Coding Scheme Designator>":
        "a private scheme is unrecognised by its nature; it is declared in the object",
    r"Attribute is not present in standard DICOM IOD - \(0x0018,0x1002\) UI Device UID":
        "the tool's table is older than the attribute's place in Contributing Equipment",
    r"Dicom dataset contains attributes not present in standard DICOM IOD - this is a Standard Extended SOP Class":
        "the same attribute",
    r"Missing attribute or value that would be needed to build DICOMDIR - (Study ID|Study Date|Study Time|Patient ID)":
        "what the source does not say, we do not invent",
    r"Value dubious for this VR - .* PN .* Retired Person Name form":
        "the source's name, which has one component",
    r"Error - Value invalid for this VR - .* (LO|SH|PN) \[1\] = <.*[^ -~].*> - Length invalid for this VR":
        "the tool counts the bytes of UTF-8, the standard counts characters (PS3.5 6.2), and so does `inspect`",
    r"Value invalid for this VR - .* (Patient ID|Issuer of Patient ID|Accession Number|Study ID) .* Length invalid":
        "the source's own identifier, kept whole: a PACS files by it, and a shorter one would be another's",
    r"Error - Dicom dataset contains invalid data values for Value Representations":
        "a summary: each such value has a line of its own, which must be allowed itself",
}  # fmt: skip


@pytest.fixture(scope="session")
def dciodvfy() -> Judge:
    """dicom3tools' judge of one object; what is on the written allow-list does not count."""
    tool = find_tool("dciodvfy")

    def complaints(path: Path) -> list[str]:
        lines = output_of(tool, path).splitlines()
        assert lines, "dciodvfy said nothing"
        return [
            line for line in lines
            if line.startswith(("Error", "Warning")) and not any(re.search(rule, line) for rule in ALLOWED)
        ]  # fmt: skip

    return complaints


@pytest.fixture(scope="session")
def read_tid1500() -> Callable[[Path], Mapping[str, Any]]:
    """dcmqi's reader of measurement reports."""
    tool = find_tool("tid1500reader")

    def read(path: Path) -> Mapping[str, Any]:
        target = path.with_suffix(".json")
        said = output_of(tool, "--inputDICOM", path, "--outputMetadata", target)
        assert target.exists(), said
        found: Mapping[str, Any] = json.loads(target.read_text())
        return found

    return read
