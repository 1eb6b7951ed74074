"""Phantoms as LUNG1 lies on disk: a tree of DICOM files and a clinical CSV of LUNG1's columns.

So the whole loader is exercised, and any run has a cohort whose truth is known: ``truth.csv`` holds each patient's
tumour, and which images show it.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from survnode.model.phantom.phantom import Phantom, make_phantom, write_dicom
from survnode.model.timegrid import DAYS_PER_MONTH
from survnode.train.cohorts.clinical import Columns
from survnode.train.cohorts.description import NAMED, TableDescription, read_description
from survnode.train.cohorts.phantom import FIELD_MM, PhantomPatient, Truth
from survnode.train.workers import compute

CLINICAL, TRUTH = "clinical.csv", "truth.csv"
LUNG1_COLUMNS = (
    "PatientID", "age", "clinical.T.Stage", "Clinical.N.Stage", "Clinical.M.Stage", "Overall.Stage", "Histology",
    "gender", "Survival.time", "deadstatus.event",
)  # fmt: skip
LENGTH_MM = 300.0


@dataclass(frozen=True)
class Matrix:
    """The grid of the CTs: a slice every so many mm, and pixels of so many; None: each patient's own pixels."""

    slice_mm: float = 3.0
    pixel_mm: float | None = None


def described(folder: Path, name: str = "phantom") -> TableDescription:
    """How the tree in a folder is read."""
    clinical = folder / CLINICAL
    return TableDescription(name=name, data=folder, clinical=clinical, columns=lung1_columns())


def lung1_columns() -> Columns:
    """LUNG1's."""
    lung1 = read_description(NAMED["lung1"])
    assert isinstance(lung1, TableDescription)  # noqa: S101  for the type checker; a test reads the file
    return lung1.columns


def write_tree(
    folder: Path,
    patients: Sequence[PhantomPatient],
    *,
    matrix: Matrix = Matrix(),
    workers: int = 1,
    done: Callable[[], None] = lambda: None,
) -> Path:
    """Write the CT of each patient who has none yet, and then the tables; returns the clinical one.

    A change of any number changes the UIDs, so that no cache mistakes one
    for another.
    """
    compute(_write_patient, [(folder, patient, matrix) for patient in patients], workers, done)
    truths = [(patient.id, *astuple(_read_note(_home(folder, patient.id)))) for patient in patients]
    _write_table(folder / TRUTH, ("PatientID", "radius_mm", "first", "end"), truths)
    _write_table(folder / CLINICAL, LUNG1_COLUMNS, [_clinical_row(patient) for patient in patients])
    return folder / CLINICAL


def _home(folder: Path, patient_id: str) -> Path:
    return folder / "CT" / patient_id / "01-01-2024-NA-NA-00001" / "0.000000-NA-00002"


def _read_note(home: Path) -> Truth:
    _, radius, first, end = home.with_suffix(".truth").read_text(encoding="utf-8").split()
    return Truth(float(radius), int(first), int(end))


def _write_patient(folder: Path, patient: PhantomPatient, matrix: Matrix) -> None:
    """A study with one series in the archive's layout; whole or not there, as `truth` beside it says."""
    pixel_mm = matrix.pixel_mm or patient.pixel_mm
    study = f"{patient.key[:8]}/{matrix.slice_mm:g}/{pixel_mm:g}"
    home = _home(folder, patient.id)
    note = home.with_suffix(".truth")
    if note.exists() and note.read_text(encoding="utf-8").split()[0] == study:
        return
    phantom = _phantom(patient, matrix.slice_mm, pixel_mm)
    shown = phantom.tumour_slices
    note.unlink(missing_ok=True)
    for old in home.glob("*.dcm"):
        old.unlink()
    write_dicom(phantom, home, patient_id=patient.id, study=study)
    note.write_text(f"{study} {patient.radius_mm} {shown.start} {shown.stop}\n", encoding="utf-8")


def _phantom(patient: PhantomPatient, slice_mm: float, pixel_mm: float) -> Phantom:
    size = round(FIELD_MM / pixel_mm)
    return make_phantom(
        patient.seed,
        shape=(round(LENGTH_MM / slice_mm), size, size),
        spacing_mm=(slice_mm, pixel_mm, pixel_mm),
        tumour=patient.tumour,
        noise_hu=patient.noise_hu,
    )


def _clinical_row(patient: PhantomPatient) -> tuple[object, ...]:
    days = max(1, round(patient.time_months * DAYS_PER_MONTH))
    return patient.id, "NA", "NA", "NA", "NA", "NA", "NA", "NA", days, int(patient.event)


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
