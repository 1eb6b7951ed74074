"""Slices and features on disk: made once, by however many processes, and never half."""

import json
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from survnode.model.ct.lungs import LungMethod, lung_segmenter
from survnode.model.ct.preprocess import preprocess
from survnode.model.errors import Reason
from survnode.train.cohorts.cohort import Cohort, DicomPatient, Patient
from survnode.train.fit.slices import standard_window

from .kept import SETTINGS, features_in, slices_in


def unreadable(patient: Patient) -> Patient:
    assert isinstance(patient, DicomPatient)
    return replace(patient, paths=(), key="0" * 64)


def test_slices_are_those_of_the_serving_path(cohort: Cohort, tmp_path: Path) -> None:
    patient = cohort.patients[0]
    assert slices_in(tmp_path).fill([patient]) == []
    found = slices_in(tmp_path).read(patient)
    expected = preprocess(patient.volume(), lung_segmenter(LungMethod.THRESHOLD), SETTINGS)
    assert np.array_equal(found.hu, expected.hu)
    assert np.array_equal(found.source, expected.source)
    assert found.images == 30


def test_two_processes_fill_one_cache(cohort: Cohort, tmp_path: Path) -> None:
    context = get_context("spawn")
    patients = cohort.patients[:3]
    both = [context.Process(target=fill_both, args=(tmp_path, patients)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert all(features_in(tmp_path).read(patient).shape[0] == 3 for patient in patients)
    assert not list(tmp_path.glob("*.part"))
    assert len(list(tmp_path.iterdir())) == 3 * (1 + 3)


def fill_both(folder: Path, patients: tuple[Patient, ...]) -> None:
    slices_in(folder).fill(patients)
    features_in(folder).fill(patients)


def test_what_is_there_is_not_made_again_and_a_half_file_is_no_file(cohort: Cohort, tmp_path: Path) -> None:
    patient, cache = cohort.patients[0], slices_in(tmp_path)
    cache.path(patient).with_name(f"{cache.path(patient).name}.1.part").write_bytes(b"half")
    cache.fill([patient])
    made = cache.path(patient).stat().st_mtime_ns
    steps: list[None] = []
    cache.fill([patient], done=lambda: steps.append(None))
    assert cache.path(patient).stat().st_mtime_ns == made
    assert len(steps) == 1


def test_ct_that_turns_out_to_be_unsuitable_is_told_and_not_read_again(cohort: Cohort, tmp_path: Path) -> None:
    patient, cache = unreadable(cohort.patients[0]), slices_in(tmp_path)
    for _ in range(2):
        excluded = cache.fill([patient])
        assert [(one.patient_id, one.reason) for one in excluded] == [(patient.id, Reason.TOO_FEW_SLICES)]
    assert json.loads(cache.path(patient).with_suffix(".json").read_text())["reason"] == "TOO_FEW_SLICES"


def test_key_of_slices_changes_with_ct_and_preprocessing_but_not_with_the_window(
    cohort: Cohort, tmp_path: Path
) -> None:
    one, other = cohort.patients[:2]
    cache = slices_in(tmp_path)
    windowed = replace(cache, preprocessing=SETTINGS.model_copy(update={"window_hu": (-900.0, 300.0)}))
    coarser = replace(cache, preprocessing=SETTINGS.model_copy(update={"min_lung_fraction": 0.1}))
    assert cache.key(one) == windowed.key(one)
    assert len({cache.key(one), cache.key(other), coarser.key(one)}) == 3


def test_window_of_a_fold_standardises_its_pixels(cohort: Cohort, tmp_path: Path) -> None:
    cache = slices_in(tmp_path)
    cache.fill(cohort.patients[:2])
    low, high = standard_window([cache.path(patient) for patient in cohort.patients[:2]])
    hu = np.concatenate([cache.read(patient).hu for patient in cohort.patients[:2]]).astype(np.float64)
    seen = ((hu - low) / (high - low) - 0.449) / 0.226
    assert seen.mean() == pytest.approx(0, abs=1e-3)
    assert seen.std() == pytest.approx(1, abs=1e-3)
