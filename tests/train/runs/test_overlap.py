"""Whoever a model has seen is found in a cohort, one of sixty too, and nothing is measured on them unasked."""

from dataclasses import replace
from pathlib import Path

import pytest

from survnode.model.checkpoint import load_checkpoint, save_checkpoint
from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.errors import OverlapRefused
from survnode.train.presets import Preset
from survnode.train.runs.finish import Run
from survnode.train.runs.overlap import Overlap, mark_or_refuse, overlap_of, overlap_with, seen_in
from survnode.train.runs.run import run

from ..tiny import PATIENTS, plan, rows


def cohort_of(prefix: str, count: int) -> Cohort:
    patients = (DicomPatient(f"{prefix}-{k}", 3.0, True, True, "1.2", (), f"{prefix}{k}") for k in range(count))
    return Cohort(prefix, tuple(patients))


TRAINED, OTHERS = cohort_of("A", 60), cohort_of("B", 60)


@pytest.mark.parametrize(("changes", "by_patient_id", "by_image"), [({"id": "A-7"}, 1, 0), ({"key": "A7"}, 0, 1)])
def test_single_shared_patient_of_sixty_is_found(changes: dict[str, str], by_patient_id: int, by_image: int) -> None:
    last = OTHERS.patients[-1]
    assert isinstance(last, DicomPatient)
    changed = DicomPatient(**({name: getattr(last, name) for name in last.__dataclass_fields__} | changes))
    mixed = replace(OTHERS, patients=(*OTHERS.patients[:-1], changed))
    seen = (seen_in(TRAINED, TRAINED.patients),)
    assert not overlap_with(seen, OTHERS.patients)
    overlap = overlap_with(seen, mixed.patients)
    assert overlap == Overlap(1, by_patient_id, by_image, 60) == overlap_of(TRAINED, mixed)
    with pytest.raises(OverlapRefused, match="1 of 60 patients of B have been seen by tested"):
        mark_or_refuse(overlap, "B", "tested", allowed=False)
    assert "Contains training patients: 1 of 60" in mark_or_refuse(overlap, "B", "tested", allowed=True)


def test_model_that_does_not_say_whom_it_has_seen_is_refused_or_marked() -> None:
    overlap = overlap_with(None, OTHERS.patients)
    with pytest.raises(OverlapRefused, match="cannot be told"):
        mark_or_refuse(overlap, "B", "older", allowed=False)
    assert "May contain training patients" in mark_or_refuse(overlap, "B", "older", allowed=True)


def test_refusal_names_nobody() -> None:
    with pytest.raises(OverlapRefused) as refused:
        mark_or_refuse(overlap_of(TRAINED, TRAINED), "A", "tested", allowed=False)
    assert "A-7" not in str(refused.value)


def test_transfer_between_equal_splits_is_no_overlap_and_between_others_it_is(
    whole: Run, cohort: Cohort, tmp_path: Path
) -> None:
    still = replace(plan(tmp_path / "still", whole.plan.caches, Preset.PAPER, "fitting.epochs=1"), init=whole.plan.out)
    moved = run(cohort, still)
    assert moved.evaluation.remark == ""
    inherited = load_checkpoint(tmp_path / "still" / "folds" / "0").card.seen
    assert inherited is not None
    assert [overlap_with(inherited, cohort.of(moved.folds[fold].test)).shared for fold in (0, 1)] == [0, 4]
    with pytest.raises(OverlapRefused, match="of 8 patients of phantom"):
        run(cohort, replace(still, out=tmp_path / "other", seed=7))
    allowed = run(cohort, replace(still, out=tmp_path / "allowed", seed=7, allow_overlap=True))
    assert "Contains training patients" in allowed.evaluation.remark
    for written in ("model.md", "metrics.json", "model.json", "folds/0/model.json"):
        assert "Contains training patients" in (tmp_path / "allowed" / written).read_text()
    assert "remark" in rows(tmp_path / "allowed" / "predictions.csv")[0]


def test_what_was_unseen_must_not_be_what_was_learned_from(whole: Run, cohort: Cohort, tmp_path: Path) -> None:
    again = replace(cohort, name="again", patients=cohort.patients[:1])
    with pytest.raises(OverlapRefused, match="1 of 1 patients of again have been seen by the folds of phantom"):
        run(cohort, plan(tmp_path / "out", whole.plan.caches), unseen=again)


def test_start_from_a_model_that_records_nobody_is_refused(whole: Run, cohort: Cohort, tmp_path: Path) -> None:
    older = load_checkpoint(whole.plan.out)
    save_checkpoint(tmp_path / "older", older.card.model_copy(update={"seen": None}), older.members)
    with pytest.raises(OverlapRefused, match="cannot be told"):
        run(cohort, replace(plan(tmp_path / "out", whole.plan.caches), init=tmp_path / "older"))


def test_every_patient_of_a_run_is_seen_by_all_members_but_the_one_that_tested_them(whole: Run, cohort: Cohort) -> None:
    seen = load_checkpoint(whole.plan.out).card.seen
    assert seen is not None
    (record,) = seen
    for number, fold in enumerate(whole.folds):
        assert not overlap_with((record.of_member(number),), cohort.of(fold.test))
        assert overlap_with((record.of_member(1 - number),), cohort.of(fold.test)).shared == len(fold.test)
    assert len(record.patients) == len(PATIENTS)
