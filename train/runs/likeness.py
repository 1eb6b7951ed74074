"""What a checkpoint keeps of its training patients, so that who is unlike them is found."""

from collections.abc import Sequence

import numpy as np

from survnode.model.ct.budget import read_file
from survnode.model.likeness import FACT_KEYWORDS, MIN_PATIENTS, Acquisition, Likeness, acquisition_of, fit_likeness
from survnode.train.cohorts.cohort import DicomPatient, Patient
from survnode.train.cohorts.nifti import NiftiPatient
from survnode.train.recipe import Recipe
from survnode.train.runs.material import Material


def likeness_of(material: Material, recipe: Recipe, patients: Sequence[Patient]) -> Likeness | None:
    """Of patients of the cohort whose slices are there, and the features of a frozen encoder; None for too few."""
    if len(patients) < MIN_PATIENTS:
        return None
    acquisitions = [_acquisition(material, patient) for patient in patients]
    if not recipe.frozen:
        return fit_likeness(acquisitions)
    features = material.features(recipe)
    return fit_likeness(acquisitions, np.stack([features.pooled(patient) for patient in patients]))


def _acquisition(material: Material, patient: Patient) -> Acquisition:
    slice_mm, pixel_mm = material.slices.spacing_mm(patient)
    made = Acquisition()
    if isinstance(patient, DicomPatient) and not isinstance(patient, NiftiPatient):
        made = acquisition_of(read_file(patient.paths[0], keywords=list(FACT_KEYWORDS), force=True))
    return made.measured(slice_mm=slice_mm, pixel_mm=pixel_mm, lungs_ml=material.slices.lung_volume_ml(patient))
