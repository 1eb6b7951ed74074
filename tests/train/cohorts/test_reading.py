"""A described cohort, read or computed."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from survnode.train.cohorts.clinical import Reading
from survnode.train.cohorts.description import Drawing, PhantomDescription, describe
from survnode.train.cohorts.phantom import PhantomPatient
from survnode.train.cohorts.reading import load

from ..tiny import PATIENTS, write_tiny_tree


def test_phantoms_are_drawn_as_described_and_named_after_their_cohort(tmp_path: Path) -> None:
    described = PhantomDescription(name="mine", phantoms=Drawing(patients=3, seed=4, part=2))
    cohort = load(described, tmp_path, Reading())
    assert cohort.computed
    assert cohort.ids == ("MINE-001", "MINE-002", "MINE-003")
    assert all(isinstance(patient, PhantomPatient) for patient in cohort.patients)
    other = load(described.model_copy(update={"phantoms": Drawing(patients=3, seed=4, part=3)}), tmp_path, Reading())
    assert {patient.key for patient in cohort.patients}.isdisjoint(patient.key for patient in other.patients)


def test_table_and_tree_are_read_and_progress_is_reported(tmp_path: Path) -> None:
    tree = write_tiny_tree(tmp_path / "tree")
    reported: dict[JsonValue, tuple[JsonValue, JsonValue]] = {}

    def listener(event: str, **fields: JsonValue) -> None:
        assert event == "progress"
        reported[fields["stage"]] = fields["done"], fields["total"]

    cohort = load(describe(str(tree / "cohort.toml")), tmp_path, Reading(), listener=listener)
    assert len(cohort.patients) == len(PATIENTS)
    assert not cohort.computed
    assert reported["series"] == (len(PATIENTS), len(PATIENTS))


def test_phantoms_are_written_where_there_are_none_and_are_the_same_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = PhantomDescription(name="mine", phantoms=Drawing(patients=1))
    (computed,) = load(described, tmp_path, Reading()).patients
    written = described.model_copy(update={"data": tmp_path / "tree"})
    cohort = load(written, tmp_path, Reading())
    assert cohort.computed
    assert cohort.patients[0].id == computed.id
    assert (cohort.patients[0].volume().hu == computed.volume().hu).all()
    monkeypatch.setattr("survnode.train.cohorts.phantom_tree.write_tree", lambda *_, **__: pytest.fail("again"))
    assert load(written, tmp_path, Reading()) == cohort
