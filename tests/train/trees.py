"""Small DICOM trees and tables for the tests of the cohorts."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from survnode.train.cohorts.clinical import PatientOutcome, read_clinical
from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.cohorts.description import TableDescription, describe
from survnode.train.cohorts.phantom import Truth
from survnode.train.cohorts.phantom_tree import TRUTH

SLICES = 24
EVENLY = tuple(8.0 * index for index in range(SLICES))


def write_series(
    folder: Path,
    patient_id: str,
    uid: str,
    *,
    z_mm: Sequence[float] = EVENLY,
    number: int = 1,
    study: str = "1",
    study_date: str = "20200101",
    **attributes: str,
) -> list[Path]:
    """One file a position, named so that nothing can be learnt from names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, z in enumerate(z_mm):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{uid}.{index + 1}")
        ds.PatientID, ds.Modality, ds.SeriesNumber = patient_id, "CT", number
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"1.2.3.{study}", f"1.2.3.{uid}"
        ds.StudyDate, ds.SeriesDescription, ds.FrameOfReferenceUID = study_date, "thorax", "1.2.3.9"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept = [1, 1], 1, -1024
        ds.Rows = ds.Columns = 4
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit = 15
        ds.PixelData = bytes(32)
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
        paths.append(folder / f"{uid}-{len(z_mm) - index}")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def as_lung1(table: Path, tree: Path, *, listed: bool = True) -> TableDescription:
    """A table and a tree as LUNG1; without ``listed`` nobody is left out because the paper does."""
    described = describe("lung1", tree, table)
    assert isinstance(described, TableDescription)
    return described if listed else described.model_copy(update={"exclusions": {}})


def in_files(cohort: Cohort) -> tuple[DicomPatient, ...]:
    """The patients of a cohort that was read from DICOM files."""
    assert all(isinstance(patient, DicomPatient) for patient in cohort.patients)
    return tuple(patient for patient in cohort.patients if isinstance(patient, DicomPatient))


def papers_outcomes(shared_data: Path) -> tuple[PatientOutcome, ...]:
    """The outcomes of the paper's 415 patients, from LUNG1's table alone."""
    table = next((shared_data / "NSCLC-Radiomics").glob("*.csv"))
    lung1 = as_lung1(table, table.parent)
    outcomes = read_clinical(table, lung1.columns).outcomes
    return tuple(outcome for outcome in outcomes if outcome.patient_id not in lung1.exclusions)


def positions(spacing_mm: float, count: int) -> list[float]:
    return [spacing_mm * index for index in range(count)]


def write_table(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read_truth(folder: Path) -> dict[str, Truth]:
    """The tumours by patient."""
    with (folder / TRUTH).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return {who: Truth(float(radius), int(first), int(end)) for who, radius, first, end in rows}
