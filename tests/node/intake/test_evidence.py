from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from survnode.model.errors import Reason
from survnode.node.intake.evidence import Evidence, FileJudge
from survnode.node.intake.instance import Received
from survnode.node.intake.rules import Routes
from survnode.node.intake.store import Store
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Instance, InstanceState, Study
from survnode.node.state.tables import instances, studies

pytestmark = pytest.mark.usefixtures("three_slices_are_enough")
UIDS = tuple(f"1.2.3.1.{number}" for number in (1, 2, 3))


@pytest.fixture
def store(tmp_path: Path, database: Database, make_received: Callable[..., Received]) -> Store:
    store = Store(tmp_path / "store", database)
    for number in (3, 1, 2):
        store.add(make_received(number))
    return store


@pytest.fixture
def evidence(store: Store, database: Database) -> Evidence:
    assert store.folder.is_dir()
    with database.reading() as connection:
        (study,) = fetch(connection, Study, select(studies))
        received = fetch(connection, Instance, select(instances).order_by(instances.c.sop_instance_uid))
    return Evidence(study, received, ())


@pytest.fixture
def judge(store: Store) -> FileJudge:
    return FileJudge(store.folder, Routes(), spacing_mm=3.0)


def test_the_images_of_the_chosen_series_are_named_in_order(judge: FileJudge, evidence: Evidence) -> None:
    verdict = judge.judge(evidence)
    assert verdict.judged.choice.reason is None
    assert (verdict.sop_instance_uids, verdict.unreadable) == (UIDS, ())


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_judged(
    judge: FileJudge, evidence: Evidence, store: Store
) -> None:
    (store.folder / evidence.instances[1].path).write_bytes(b"no DICOM")
    (store.folder / evidence.instances[2].path).unlink()
    verdict = judge.judge(evidence)
    assert verdict.unreadable == UIDS[1:]
    assert verdict.judged.choice.reason is Reason.TOO_FEW_SLICES


def test_what_was_marked_before_is_not_looked_at_again(judge: FileJudge, evidence: Evidence) -> None:
    marked = [replace(instance, state=InstanceState.UNREADABLE) for instance in evidence.instances]
    verdict = judge.judge(replace(evidence, instances=marked))
    assert (verdict.sop_instance_uids, verdict.unreadable) == ((), ())


def test_want_of_memory_is_this_process_s_own_fault(
    judge: FileJudge, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("survnode.node.intake.evidence.read_headers", starved)
    with pytest.raises(MemoryError):
        judge.judge(evidence)
