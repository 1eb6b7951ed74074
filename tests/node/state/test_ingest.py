import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest

from survnode.node import errors
from survnode.node.state.database import Database
from survnode.node.state.ingest import GroupCommit, Ingest
from survnode.node.state.records import Instance, InstanceState, Study, StudyState

STUDY = Study("1.2.3", "P1", False, 1.0, 1.0, 61.0, 1, StudyState.RECEIVING)
INSTANCE = Instance("1.2.3.1.1", "1.2", "1.2.3", "1.2.3.1", "1.2.1", "P1", "SENDER", "ab", 9, "studies/a/b/c.dcm", 1.0)


def test_what_is_committed_is_on_disk_and_what_fails_is_undone(database: Database) -> None:
    rows = Ingest(database)
    with rows.transaction():
        rows.push_study(STUDY)
        rows.add_instance(INSTANCE)
    with suppress(ZeroDivisionError), rows.transaction():
        rows.push_study(STUDY)
        raise ZeroDivisionError
    with rows.transaction():
        known = rows.known("1.2.3.1.1")
    assert known is not None
    assert (known.path, known.state) == ("studies/a/b/c.dcm", InstanceState.STORED)
    assert rows.states_below("studies/a") == {"studies/a/b/c.dcm": InstanceState.STORED}
    assert rows.states_below("studies/b") == {}
    with sqlite3.connect(database.path) as other:
        assert other.execute("SELECT revision FROM studies").fetchall() == [(1,)]
    other.close()
    rows.close()


def test_a_study_that_waits_is_pushed_without_writing_an_index_that_stays(database: Database) -> None:
    """Each is a page more that is brought to disk before an image is acknowledged; by due time and by time change."""
    rows = Ingest(database)
    with rows.transaction():
        rows.push_study(STUDY)
        rows.add_instance(INSTANCE)
    steps: list[str] = []
    rows._connection.set_trace_callback(steps.append)
    with rows.transaction():
        rows.push_study(replace(STUDY, patient_id="P2", due_at=90.0, last_received_at=30.0, accession_number="A2"))
    rows._connection.set_trace_callback(None)
    pushes = [statement for statement in steps if statement.startswith(("UPDATE", "INSERT"))]
    assert len(pushes) == 1
    written = [row[1] for row in rows._connection.execute(f"EXPLAIN {pushes[0]}")]
    assert written.count("IdxInsert") == 2
    row = rows._connection.execute(
        "SELECT patient_id, patient_conflict, due_at, revision, accession_number FROM studies"
    )
    assert row.fetchall() == [("P1", 1, 90.0, 2, "")]
    rows.close()


def test_it_is_as_durable_as_the_database(database: Database) -> None:
    rows = Ingest(database)
    pragmas = {
        name: rows._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")
    }
    assert pragmas == {"synchronous": 2, "journal_mode": "wal"}  # 2: FULL
    rows.close()


def test_a_database_that_another_holds_is_told_as_busy(tmp_path: Path) -> None:
    database = Database(tmp_path / "busy.sqlite", busy_timeout_s=0.05)
    rows = Ingest(database)
    with database.transaction(), pytest.raises(errors.DatabaseBusy), rows.transaction():
        pass
    with rows.transaction():
        rows.push_study(STUDY)
    rows.close()
    database.close()


def test_those_who_come_while_another_commits_share_the_next_commit() -> None:
    batches: list[int] = []
    entered, go_on = Event(), Event()

    def commit(items: Sequence[int]) -> list[int | Exception]:
        batches.append(len(items))
        if len(batches) == 1:
            entered.set()
            assert go_on.wait(20)
        return [item * 2 for item in items]

    commits: GroupCommit[int, int] = GroupCommit(commit)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(commits.add, 0)
        assert entered.wait(20)
        others = [pool.submit(commits.add, number) for number in range(1, 9)]
        while len(commits._waiting) < 8:
            assert not others[0].done()
        go_on.set()
        assert [it.result(20) for it in (first, *others)] == [number * 2 for number in range(9)]
    assert batches == [1, 8]


def test_each_gets_his_own_error_and_all_get_that_of_the_commit() -> None:
    def commit(items: Sequence[int]) -> list[int | Exception]:
        if 7 in items:
            raise errors.StorageFull("full")
        return [errors.InstanceMismatch("odd") if item % 2 else item for item in items]

    commits: GroupCommit[int, int] = GroupCommit(commit)
    assert commits.add(2) == 2
    with pytest.raises(errors.InstanceMismatch):
        commits.add(3)
    with pytest.raises(errors.StorageFull):
        commits.add(7)
    assert commits.add(4) == 4


def test_many_threads_lose_nothing() -> None:
    done: list[int] = []

    def commit(items: Sequence[int]) -> list[int | Exception]:
        done.extend(items)
        return list(items)

    commits: GroupCommit[int, int] = GroupCommit(commit)
    barrier = Barrier(8)

    def work(first: int) -> None:
        barrier.wait(20)
        for number in range(first, 4000, 8):
            assert commits.add(number) == number

    threads = [Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == list(range(4000))
