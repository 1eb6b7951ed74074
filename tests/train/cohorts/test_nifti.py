"""A cohort of NIfTI files and a table: each CT the right way round, everybody else with a reason."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.train.cohorts.clinical import Columns, Reading
from survnode.train.cohorts.description import TableDescription
from survnode.train.cohorts.exclusions import ExclusionReason
from survnode.train.cohorts.nifti import read_nifti
from survnode.train.cohorts.table import read_table

RNG = np.random.default_rng(0)
HU = RNG.uniform(-1000, 400, (24, 6, 8)).round().astype(np.float32)  # feet to head, front to back, right to left


def written(path: Path, hu: NDArray[np.float32], orientation: str = "LPS", degrees: float = 0.0) -> Path:
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((0.7, 0.8, 3.0))
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    image.SetDirection((cosine, -sine, 0, sine, cosine, 0, 0, 0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))
    return path


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAI", "SPL"])
def test_a_ct_comes_the_right_way_round_however_it_is_stored(tmp_path: Path, orientation: str) -> None:
    volume = read_nifti(written(tmp_path / "a.nii.gz", HU, orientation))
    assert np.array_equal(volume.hu, HU)
    assert volume.spacing_mm == pytest.approx((3.0, 0.8, 0.7))
    assert len(volume.images) == 24


@pytest.mark.parametrize(
    ("hu", "degrees", "reason"),
    [(HU[:10], 0, Reason.TOO_FEW_SLICES), (HU / 10, 0, Reason.MISSING_RESCALE), (HU, 25, Reason.NOT_AXIAL)],
)
def test_what_can_be_no_ct_of_a_chest_is_refused(
    tmp_path: Path, hu: NDArray[np.float32], degrees: float, reason: Reason
) -> None:
    with pytest.raises(SeriesUnsuitable) as refusal:
        read_nifti(written(tmp_path / "a.nii.gz", hu, degrees=degrees))
    assert refusal.value.reason is reason


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"no")
    with pytest.raises(SeriesUnsuitable, match="cannot be read as one volume"):
        read_nifti(tmp_path / "a.nii.gz")


def test_patients_are_joined_by_the_name_of_their_file(tmp_path: Path) -> None:
    written(tmp_path / "ct/A/ct.nii.gz", HU)
    written(tmp_path / "elsewhere/ct.nii.gz", HU)
    (tmp_path / "clinical.csv").write_text("id,days,dead\nA,100,1\nB,200,0\n../elsewhere,300,1\n")
    described = TableDescription(
        name="mine",
        data=tmp_path / "ct",
        clinical=tmp_path / "clinical.csv",
        columns=Columns(patient_id="id", time="days", event="dead"),
        nifti="{id}/ct.nii.gz",
    )
    cohort = read_table(described, tmp_path / "index", Reading())
    assert cohort.ids == ("A",)
    assert np.array_equal(cohort.patients[0].volume().hu, HU)
    assert [(gone.patient_id, gone.reason) for gone in cohort.exclusions] == [
        ("B", ExclusionReason.NO_CT), ("../elsewhere", ExclusionReason.NO_CT),
    ]  # fmt: skip
