"""A folder belongs to one run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.cohorts.folds import make_folds
from survnode.train.errors import RunDiffers
from survnode.train.presets import Preset
from survnode.train.runs.claim import RUN, claim, refuse_other_settings
from survnode.train.runs.plan import RunPlan

from ..tiny import plan, recipe

PATIENTS = tuple(DicomPatient(f"P{k}", 3.0 * k, bool(k % 2), bool(k % 2) and k < 8, "1.2", (), "ab") for k in range(12))
COHORT = Cohort("mine", PATIENTS)
FOLDS = make_folds(COHORT.ids, COHORT.died_within_two_years, count=2, seed=1)


@pytest.fixture
def claimed(tmp_path: Path) -> RunPlan:
    own = plan(tmp_path / "out", tmp_path / "caches")
    claim(own, COHORT, FOLDS, None)
    return own


def test_same_run_goes_on_in_its_folder_with_other_caches_and_more_workers(claimed: RunPlan, tmp_path: Path) -> None:
    before = (claimed.out / RUN).read_bytes()
    claim(replace(claimed, caches=tmp_path / "others", workers=7), COHORT, FOLDS, None)
    assert (claimed.out / RUN).read_bytes() == before


def test_run_that_was_begun_differently_is_refused_by_what_differs(claimed: RunPlan) -> None:
    others = {
        "seed": replace(claimed, seed=7),
        "name": replace(claimed, name="other"),
        "recipe": replace(claimed, recipe=recipe(Preset.PAPER, "fitting.epochs=4")),
        "init": replace(claimed, init=claimed.out),
    }
    for name, other in others.items():
        with pytest.raises(RunDiffers, match=rf"was begun differently \({name}\): name another folder"):
            refuse_other_settings(other)


def test_other_cohort_other_folds_and_another_measure_are_refused_together(claimed: RunPlan) -> None:
    fewer = replace(COHORT, patients=PATIENTS[1:])
    with pytest.raises(RunDiffers, match=r"\(cohort, folds, unseen\)"):
        claim(claimed, fewer, FOLDS[:1], COHORT)
    assert json.loads((claimed.out / RUN).read_text())["cohort"]["sha256"] == COHORT.sha256
