"""CT as NIfTI files, one a patient, that a table of outcomes names: for cohorts that came without DICOM.

What a NIfTI file does not say, nobody can check: whether slices are missing, whether its numbers are HU, who it shows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from survnode.model.ct.arrangement import AXIAL_DEGREES, MIN_SLICES, SourceImage
from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.train.cohorts.clinical import PatientOutcome, Reading, age_in, stage_in
from survnode.train.cohorts.cohort import Cohort, DicomPatient, PatientFacts
from survnode.train.cohorts.description import TableDescription
from survnode.train.cohorts.exclusions import Exclusion, ExclusionReason

AIR_HU = -500.0  # a chest holds air: a lowest value above it is no HU, such as that of a windowed picture


@dataclass(frozen=True)
class NiftiPatient(DicomPatient):
    """A patient whose CT is the NIfTI file in ``paths``."""

    def volume(self) -> Volume:
        """The CT, read from its file; see `Patient`."""
        return read_nifti(self.paths[0])


def read_nifti(path: Path) -> Volume:
    """The CT in a NIfTI file, its numbers taken for HU.

    Raises
    ------
    SeriesUnsuitable
        It cannot be read, has too few slices, lies askew, or its numbers cannot be HU.
    """
    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path), sitk.sitkFloat32), "LPS")
    except RuntimeError as error:
        raise SeriesUnsuitable(Reason.UNREADABLE_PIXELS, "The file cannot be read as one volume.") from error
    directions = np.array(image.GetDirection()).reshape(3, 3)
    if np.any(np.abs(np.diag(directions)) < np.cos(np.radians(AXIAL_DEGREES))):
        raise SeriesUnsuitable(Reason.NOT_AXIAL, f"The axes are more than {AXIAL_DEGREES:g} degrees off the patient's.")
    hu = sitk.GetArrayFromImage(image)  # (D, H, W): feet to head, front to back, right to left
    if len(hu) < MIN_SLICES:
        raise SeriesUnsuitable(Reason.TOO_FEW_SLICES, f"Found {len(hu)}, at least {MIN_SLICES} are needed.")
    if not np.isfinite(hu).all() or hu.min() > AIR_HU:
        raise SeriesUnsuitable(Reason.MISSING_RESCALE, f"Its numbers, from {hu.min():g}, cannot be HU.")
    across, down, along = image.GetSpacing()
    images = tuple(SourceImage("", str(row + 1), row + 1) for row in range(len(hu)))
    return Volume(hu, (along, down, across), images, directions, np.array(image.GetOrigin()))


def read_nifti_cohort(
    described: TableDescription, outcomes: Sequence[PatientOutcome], faulty: Sequence[Exclusion], reading: Reading
) -> Cohort:
    """The patients of a table who have a file; the others with a reason."""
    patients, exclusions = [], list[Exclusion]()
    for outcome in outcomes:
        path = _path(described, outcome.patient_id)
        if outcome.patient_id in described.exclusions:
            listed = described.exclusions[outcome.patient_id]
            exclusions.append(Exclusion(outcome.patient_id, ExclusionReason.LISTED, listed))
        elif not path.is_file():
            exclusions.append(Exclusion(outcome.patient_id, ExclusionReason.NO_CT, "There is no NIfTI file."))
        else:
            patients.append(_patient(outcome, path, described, reading))
    return Cohort(described.name, tuple(patients), (*exclusions, *faulty))


def _path(described: TableDescription, patient_id: str) -> Path:
    """The file of a patient; an id that leads out of the folder leads nowhere."""
    folder = described.data or Path()
    path = folder / str(described.nifti).replace("{id}", patient_id)
    return path if path.resolve().is_relative_to(folder.resolve()) or path.is_symlink() else folder / "-"


def _patient(outcome: PatientOutcome, path: Path, described: TableDescription, reading: Reading) -> NiftiPatient:
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return NiftiPatient(
        id=outcome.patient_id,
        time_months=reading.months.months(outcome.days),
        event=outcome.event,
        died_within_two_years=described.strata.died_within_two_years(outcome.days, event=outcome.event),
        series_instance_uid="",
        paths=(path,),
        key=content,
        known=PatientFacts(age_in(outcome.cells, described.columns), stage_in(outcome.cells, described.columns)),
    )
