import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from survnode.node.delivery.outbox import Outbox
from survnode.node.intake.association.log import AssociationLog
from survnode.node.state import audit_trail
from survnode.node.state.audit import newest_entry, note_sent, read_entries, verify
from survnode.node.state.database import Database
from survnode.node.state.records import Association, AssociationEnd, AuditKind, Job
from survnode.node.work import jobs

from ..conftest import objects_of

FinishJob = Callable[..., Job]


def told(database: Database) -> list[tuple[str, str | None, str]]:
    return [(entry.kind.value, entry.before, entry.after) for entry in read_entries(database)]


def ended(end: AssociationEnd, images: int = 0) -> Association:
    return Association("192.0.2.1", "CT1", "SURVNODE", 10.0, 20.0, end, 2, 0, (), 1, images, 0, 100 * images, "")


def log_associations(database: Database, *ends: Association) -> None:
    log = AssociationLog(database)
    for it in ends:
        log.add(it)
    log.close()


def test_what_became_of_a_study_is_told_in_its_order(database: Database, finish_job: FinishJob) -> None:
    job = finish_job("1.2.3", "pacs")
    objects = len(objects_of(job.id))
    assert told(database) == [
        ("STUDY", None, "ASSEMBLED"),
        ("JOB", None, "QUEUED"),
        ("JOB", "QUEUED", "RUNNING"),
        ("JOB", "RUNNING", "FINISHED"),
        *[("RESULT", None, item.role.value) for item in objects_of(job.id)],
        *[("DELIVERY", None, "WAITING")] * objects,
    ]
    entries = list(read_entries(database))
    assert {entry.study_instance_uid for entry in entries} == {"1.2.3"}
    assert {entry.patient_id for entry in entries} == {"P1"}
    assert {entry.destination for entry in entries if entry.kind is AuditKind.DELIVERY} == {"pacs"}
    uids = {entry.sop_instance_uid for entry in entries if entry.kind is AuditKind.DELIVERY}
    assert uids == {item.sop_instance_uid for item in objects_of(job.id)}
    assert verify(database).fault == ""


def test_associations_that_brought_images_or_were_turned_away_are_told(database: Database) -> None:
    released = AssociationEnd.RELEASED
    refused = AssociationEnd.ADDRESS_REFUSED
    log_associations(database, ended(released), ended(released, images=134), ended(refused))
    brought, turned_away = read_entries(database)
    assert (brought.peer, brought.ae_title, brought.after) == ("192.0.2.1", "CT1", "RELEASED")
    span = "1970-01-01T00:00:10.000Z to 1970-01-01T00:00:20.000Z"
    assert brought.detail == f"134 images, 0 refused, 13400 bytes, {span}"
    assert turned_away.after == "ADDRESS_REFUSED"


def test_who_retried_is_told(database: Database, finish_job: FinishJob, monkeypatch: pytest.MonkeyPatch) -> None:
    finish_job("1.2.3", "pacs")
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'FAILED'")
        connection.exec_driver_sql("UPDATE deliveries SET state = 'REFUSED'")
    monkeypatch.setenv("SUDO_USER", "jane")
    monkeypatch.setenv("LOGNAME", "survnode")
    monkeypatch.setattr("sys.argv", ["survnode", "jobs", "retry", "1", "--config", "x"])
    other = Database(database.path)
    jobs.retry(other, 1, now=30.0)
    Outbox(other, database.path.parent).retry(1)
    other.close()
    again = list(read_entries(database))[-2:]
    assert [(it.kind, it.before, it.after) for it in again] == [
        (AuditKind.JOB, "FAILED", "QUEUED"),
        (AuditKind.DELIVERY, "REFUSED", "WAITING"),
    ]
    assert {it.account for it in again} == {"jane as survnode: jobs retry"}


def test_no_argument_of_a_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["survnode", "studies", "--patient-id", "Doe", "--accession", "7"])
    assert audit_trail.account_of_process().endswith(": studies")


def test_what_is_undone_was_never_told(database: Database, finish_job: FinishJob) -> None:
    finish_job()
    before = told(database)
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:  # noqa: PT012
        connection.exec_driver_sql("UPDATE jobs SET state = 'FAILED'")
        raise ZeroDivisionError
    assert told(database) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET account = 'nobody' WHERE id = 2",
        "DELETE FROM audit WHERE id = 2",
        "REPLACE INTO audit SELECT * FROM audit WHERE id = 2",
        "INSERT INTO audit (id, at, account, kind, after, hash) VALUES (99, 0, 'x', 'JOB', 'y', 'z')",
    ],
)
def test_the_trail_only_grows(database: Database, finish_job: FinishJob, statement: str) -> None:
    finish_job()
    with (
        closing(sqlite3.connect(database.path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="only grows"),
    ):
        connection.execute(statement)
    assert verify(database).fault == ""


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit SET account = 'nobody' WHERE id = 2", "Entry 2 is not as it was written"),
        ("UPDATE audit SET at = at - 1 WHERE id = 2", "Entry 2 is not as it was written"),
        ("DELETE FROM audit WHERE id = 2", "Entry 2 is missing"),
        ("DELETE FROM audit WHERE id = 1", "Entry 1 is missing"),
        ("UPDATE audit SET id = id + 1000 WHERE id >= 3", "Entry 3 is missing"),
        (
            "UPDATE audit SET id = -id WHERE id IN (2, 3); UPDATE audit SET id = 5 + id WHERE id < 0",
            "Entry 2 is not as it was written",  # the two have changed places
        ),
    ],
)
def test_whoever_takes_the_guards_away_is_found_out(
    database: Database, finish_job: FinishJob, statement: str, fault: str
) -> None:
    finish_job()
    with database.transaction() as connection:
        for guard in ("audit_is_not_changed", "audit_is_not_deleted"):
            connection.exec_driver_sql(f"DROP TRIGGER {guard}")
        for part in statement.split(";"):
            connection.exec_driver_sql(part)
    assert fault in verify(database).fault


def test_a_head_that_was_noted_finds_a_trail_that_was_cut_off(database: Database, finish_job: FinishJob) -> None:
    finish_job("1.2.3")
    noted = verify(database).head
    finish_job("1.2.4")
    assert verify(database, noted).fault == ""
    with database.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_is_not_deleted")
        connection.exec_driver_sql("DELETE FROM audit WHERE id >= 3")
    assert verify(database).fault == ""
    assert "cut off" in verify(database, noted).fault


def test_a_trail_that_is_shorter_than_what_was_sent_was_cut_off(database: Database, finish_job: FinishJob) -> None:
    finish_job("1.2.3")
    note_sent(database, "logs:6514", len(told(database)))
    assert verify(database).fault == ""
    with database.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_is_not_deleted")
        connection.exec_driver_sql("DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)")
    assert "cut off" in verify(database).fault


def test_the_newest_entry_holds_the_head(database: Database, finish_job: FinishJob) -> None:
    assert newest_entry(database) is None
    finish_job()
    newest = newest_entry(database)
    assert newest is not None
    assert (newest.id, newest.hash) == (len(told(database)), verify(database).head)


def test_entries_of_a_time_span_are_read(database: Database, finish_job: FinishJob) -> None:
    finish_job()
    entries = list(read_entries(database))
    assert list(read_entries(database, since=entries[0].at, until=entries[-1].at + 1)) == entries
    assert list(read_entries(database, until=entries[0].at)) == []
