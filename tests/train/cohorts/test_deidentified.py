"""What a de-identifier took is given back where a cohort's description asks for it, and nowhere else."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from survnode.model.errors import Reason
from survnode.train.cohorts.clinical import Columns, Reading
from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.cohorts.description import TableDescription, describe
from survnode.train.cohorts.errors import DescriptionRefused
from survnode.train.cohorts.table import read_table

from ..trees import positions, write_series


def stripped(folder: Path, z_mm: list[float], *, frames: int = 60) -> None:
    """A CT of patient A without SOP Class and SOP Instance UIDs, with so many frames of reference."""
    for number, path in enumerate(write_series(folder / "tree", "A", "1", z_mm=z_mm)):
        ds = dcmread(path)
        del ds.SOPClassUID, ds.SOPInstanceUID
        ds.FrameOfReferenceUID = f"1.2.3.{1 + number % frames}"
        ds.save_as(path)


def read(folder: Path, *, deidentified: bool) -> Cohort:
    (folder / "clinical.csv").write_text("id,days,dead\nA,100,1\n")
    columns = Columns(patient_id="id", time="days", event="dead")
    described = TableDescription(
        name="mine", data=folder / "tree", clinical=folder / "clinical.csv", columns=columns, deidentified=deidentified
    )
    return read_table(described, folder / "index.sqlite", Reading())


def test_ct_without_names_whose_slices_are_even_is_taken_if_it_is_said_to_be_de_identified(tmp_path: Path) -> None:
    stripped(tmp_path, positions(3, 60))
    (refused,) = read(tmp_path, deidentified=False).exclusions
    assert refused.reason is Reason.NOT_CT
    cohort = read(tmp_path, deidentified=True)
    (patient,) = cohort.patients
    assert isinstance(patient, DicomPatient)
    assert cohort.deidentified
    assert len(patient.volume().images) == 60
    with pytest.raises(Exception, match="not CT"):
        replace(patient, deidentified=False).volume()


def test_uneven_slices_stay_refused(tmp_path: Path) -> None:
    stripped(tmp_path, [*positions(3, 59), 400], frames=60)
    (refused,) = read(tmp_path, deidentified=True).exclusions
    assert refused.reason is Reason.IRREGULAR_SPACING


def test_two_groups_of_slices_with_a_frame_of_reference_each_stay_two(tmp_path: Path) -> None:
    stripped(tmp_path, positions(3, 60), frames=2)
    (refused,) = read(tmp_path, deidentified=True).exclusions
    assert refused.reason is Reason.MIXED_FRAMES_OF_REFERENCE


def test_phantoms_are_nobody_to_de_identify() -> None:
    with pytest.raises(DescriptionRefused, match="--deidentified"):
        describe("phantom", deidentified=True)
