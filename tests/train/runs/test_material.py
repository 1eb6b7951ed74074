"""A cohort as networks see it, and what is left of it after preprocessing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from survnode.model.checkpoint import load_checkpoint
from survnode.model.errors import Reason
from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.errors import NothingToMeasure
from survnode.train.journal import PROGRESS
from survnode.train.presets import Preset
from survnode.train.runs.finish import Run
from survnode.train.runs.material import mean_prediction, member_predictions, prepared, steps

from ..tiny import plan, recipe, rows


def unreadable(patient: object) -> DicomPatient:
    assert isinstance(patient, DicomPatient)
    return replace(patient, paths=(), key="0" * 64)


def test_patient_whose_ct_turns_out_to_be_unsuitable_is_left_out_with_the_reason(
    cohort: Cohort, caches: Path, tmp_path: Path
) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    spoiled = replace(cohort, patients=(unreadable(cohort.patients[0]), *cohort.patients[1:3]))
    material = prepared(spoiled, plan(tmp_path, caches), lambda event, **fields: told.append((event, fields)))
    assert material.cohort.ids == cohort.ids[1:3]
    assert [(gone.patient_id, gone.reason) for gone in material.cohort.exclusions] == [
        (cohort.ids[0], Reason.TOO_FEW_SLICES)
    ]
    assert [fields["done"] for event, fields in told if event == PROGRESS] == [1, 2, 3]
    assert ("excluded", {"reason": "TOO_FEW_SLICES"}) in told  # the log names no patient


def test_cohort_without_any_ct_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    spoiled = replace(cohort, patients=(unreadable(cohort.patients[0]),))
    with pytest.raises(NothingToMeasure, match="None of 1 patients of phantom"):
        prepared(spoiled, plan(tmp_path, tmp_path), lambda *_, **__: None)
    (row,) = rows(tmp_path / "exclusions.csv")
    assert (row["patient"], row["reason"], row["analysed"]) == (cohort.ids[0], "TOO_FEW_SLICES", "no")


def test_rows_are_places_in_the_cohort_in_the_order_asked_for(whole: Run) -> None:
    ids = whole.material.cohort.ids
    assert whole.material.rows([ids[5], ids[0]]).tolist() == [5, 0]


def test_each_fold_has_the_window_of_its_own_training_part_only_if_the_recipe_says_so(whole: Run) -> None:
    fixed = whole.material
    assert fixed.recipe_of(whole.folds[0]) == fixed.recipe_of(whole.folds[1]) == fixed.recipe
    own = replace(fixed, recipe=recipe(Preset.PAPER, "intensity=fold"))
    windows = [own.recipe_of(fold).preprocessing.window_hu for fold in whole.folds]
    assert windows[0] != windows[1]


def test_ensemble_predicts_the_mean_of_its_members(whole: Run) -> None:
    members = [load_checkpoint(whole.plan.folder(fold)).members[0] for fold in whole.folds]
    alone, together = member_predictions(members, whole.material), mean_prediction(members, whole.material)
    assert together.cif == pytest.approx((alone[0].cif + alone[1].cif) / 2)
    assert all(shares.sum() == pytest.approx(1, abs=1e-5) for shares in together.attention)
    assert not np.array_equal(alone[0].cif, alone[1].cif)


def test_steps_are_counted_to_their_total() -> None:
    told: list[dict[str, object]] = []
    step = steps(lambda event, **fields: told.append({"event": event, **fields}), "slices", 2)
    step()
    step()
    assert told == [{"event": PROGRESS, "stage": "slices", "done": done, "total": 2} for done in (1, 2)]
