"""Patients with a CT and an outcome."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from survnode.model.ct.volume import Volume, load_volume, read_series
from survnode.train.cohorts.deidentified import mended
from survnode.train.cohorts.exclusions import Exclusion, Warned


class Patient(Protocol):
    """Who, what became of them, and their CT; those in DICOM files and phantoms alike."""

    @property
    def id(self) -> str:
        """In the table and in the headers."""

    @property
    def time_months(self) -> float:
        """From the CT to the end of follow-up."""

    @property
    def event(self) -> bool:
        """True if the follow-up ended by death."""

    @property
    def died_within_two_years(self) -> bool:
        """As the cohort counts it; folds are stratified by it."""

    @property
    def key(self) -> str:
        """A hexadecimal number that changes with anything that changes the CT."""

    def volume(self) -> Volume:
        """The CT.

        Raises
        ------
        SeriesUnsuitable
            Its pixels cannot be decoded.
        """


@dataclass(frozen=True)
class PatientFacts:
    """What is known of a patient without a look at the CT.

    Parameters
    ----------
    age : years; None where it is missing
    stage : in capital letters; empty where it is missing
    sex, histology : in small letters; empty where they are missing
    drawings : files that may hold contours of the tumour
    tumour : see `survnode.train.cohorts.tumour.drawn_tumour`
    """

    age: float | None = None
    stage: str = ""
    drawings: tuple[Path, ...] = ()
    tumour: str = ""
    sex: str = ""
    histology: str = ""


@dataclass(frozen=True)
class DicomPatient:
    """A patient whose CT lies in DICOM files; see `Patient`.

    Parameters
    ----------
    time_months, event : from the CT to the end of follow-up, True if by death
    died_within_two_years : as the cohort counts it; folds are stratified by it
    series_instance_uid, paths : the CT series, in no order
    key : changes with anything that changes the CT
    passed_over : the patient's other CT series by UID, and why each is not used
    known : beside the CT
    deidentified : the CT is read as `survnode.train.cohorts.deidentified.mended` says
    """

    id: str
    time_months: float
    event: bool
    died_within_two_years: bool
    series_instance_uid: str
    paths: tuple[Path, ...]
    key: str
    passed_over: tuple[tuple[str, str], ...] = ()
    known: PatientFacts = PatientFacts()
    deidentified: bool = False

    def volume(self) -> Volume:
        """The CT, read from its files; see `Patient`."""
        datasets = read_series(self.paths)
        return load_volume(mended(datasets) if self.deidentified else datasets)


@dataclass(frozen=True)
class Cohort:
    """Patients in the order of their table, and everybody who is not among them.

    Parameters
    ----------
    unreadable : DICOM files that cannot be read, of whomever
    warned : patients of the cohort whose lungs are not as most are, once their CT was looked at
    deidentified : its CT are read as `survnode.train.cohorts.deidentified.mended` says
    computed : of phantoms: what learns from them knows nothing of patients
    """

    name: str
    patients: tuple[Patient, ...]
    exclusions: tuple[Exclusion, ...] = ()
    unreadable: tuple[Path, ...] = ()
    warned: tuple[Warned, ...] = ()
    deidentified: bool = False
    computed: bool = False

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """In the order of the patients."""
        return tuple(patient.id for patient in self.patients)

    @cached_property
    def time_months(self) -> NDArray[np.float64]:
        """(B,)."""
        return np.array([patient.time_months for patient in self.patients], np.float64)

    @cached_property
    def event(self) -> NDArray[np.bool_]:
        """(B,) True where the death was seen."""
        return np.array([patient.event for patient in self.patients], np.bool_)

    @cached_property
    def died_within_two_years(self) -> NDArray[np.bool_]:
        """(B,) what folds are stratified by."""
        return np.array([patient.died_within_two_years for patient in self.patients], np.bool_)

    @cached_property
    def sha256(self) -> str:
        """Changes with any patient, outcome or CT."""
        rows = [(who.id, who.time_months, who.event, who.died_within_two_years, who.key) for who in self.patients]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def of(self, ids: Sequence[str]) -> tuple[Patient, ...]:
        """The patients with these ids, in their order."""
        by_id = {patient.id: patient for patient in self.patients}
        return tuple(by_id[patient_id] for patient_id in ids)
