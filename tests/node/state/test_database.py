import multiprocessing
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.errors import Reason
from survnode.node import errors
from survnode.node.state.database import Database, fetch, fetch_one, row_of
from survnode.node.state.records import (
    Association,
    AssociationEnd,
    Job,
    JobState,
    Keeping,
    OtherSeries,
    Study,
    StudyState,
)
from survnode.node.state.tables import SCHEMA_VERSION, associations, jobs, other_series, studies

STUDY = Study("1.2", "P1", False, 1.5, 2.5, 3.5, 1, StudyState.RECEIVING)


def test_a_record_comes_back_as_it_was_written(database: Database) -> None:
    verdicts = (SeriesVerdict("1.3", 2, chosen=False, reason=Reason.LOCALIZER, detail="x"),)
    job = Job(1, "1.2", "1.3", ("1.4", "1.5"), "d", "2.25.1", 1, Reason.NO_LUNGS, "", verdicts, JobState.QUEUED, 1, 2)
    with database.transaction() as connection:
        connection.execute(insert(studies).values(row_of(STUDY)))
        connection.execute(insert(jobs).values(row_of(job)))
    with database.reading() as connection:
        assert fetch_one(connection, Study, select(studies)) == STUDY
        assert fetch_one(connection, Job, select(jobs)) == job


def test_what_is_committed_survives_a_power_cut(database: Database) -> None:
    with database.reading() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]  # 2: FULL


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def fail_in_the_middle() -> None:
        with database.transaction() as connection:
            connection.execute(insert(studies).values(row_of(STUDY)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle()
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(studies)).scalar() == 0


def test_a_row_without_its_parent_is_refused(database: Database) -> None:
    row = {"study_instance_uid": "9", "series_instance_uid": "", "sop_instance_uids": (), "input_digest": ""}
    rest = {"device_uid": "", "version": 1, "verdicts": (), "state": JobState.QUEUED, "created_at": 0, "due_at": 0}
    with pytest.raises(errors.DatabaseFailed, match="FOREIGN KEY"), database.transaction() as connection:
        connection.execute(insert(jobs).values(row | rest))


def test_a_reader_sees_one_moment_while_another_writes(tmp_path: Path, database: Database) -> None:
    other = Database(tmp_path / "node.sqlite")
    count = select(func.count()).select_from(studies)
    with database.reading() as reader:
        assert reader.execute(count).scalar() == 0
        with other.transaction() as writer:
            writer.execute(insert(studies).values(row_of(STUDY)))
        assert reader.execute(count).scalar() == 0
    other.close()


def test_a_writer_that_waits_too_long_is_told_so(tmp_path: Path, database: Database) -> None:
    impatient = Database(tmp_path / "node.sqlite", busy_timeout_s=0.01)
    with database.transaction(), pytest.raises(errors.DatabaseBusy), impatient.transaction():
        pass
    impatient.close()


def test_the_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(errors.DatabaseVersionUnknown, match=f"version {SCHEMA_VERSION + 1}"):
        Database(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.sqlite"
    path.write_text("not a database" * 100)
    with pytest.raises(errors.DatabaseFailed):
        Database(path)


def test_a_full_disk_is_told_as_such(database: Database) -> None:
    def fill() -> None:
        with database.transaction() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            connection.execute(insert(studies).values(row_of(STUDY) | {"error": "x" * 100_000}))

    with pytest.raises(errors.StorageFull):
        fill()


def _write_rows(path: Path, worker: int) -> None:
    database = Database(path)
    for number in range(25):
        with database.transaction() as connection:
            row = row_of(STUDY) | {"study_instance_uid": f"{worker}.{number}"}
            connection.execute(insert(studies).values(row))
    database.close()


def test_several_processes_may_make_and_use_one_database_at_once(tmp_path: Path) -> None:
    path = tmp_path / "shared.sqlite"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write_rows, args=(path, worker)) for worker in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    database = Database(path)
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(studies)).scalar() == 100
    database.close()


def test_associations_other_series_and_the_destinations_of_a_job_come_back_as_they_were(database: Database) -> None:
    association = Association(
        "192.0.2.1", "PACS", "CHEST", 1.5, 2.5, AssociationEnd.REJECTED, 3, 2, ("A: b", "C: d e"), detail="said no"
    )
    other = OtherSeries("1.2", "1.2.3", "1.2.840.1", Keeping.DROPPED, "SR", "", "dose report", "", 3, 1024, 9.5)
    with database.transaction() as connection:
        connection.execute(insert(studies).values(row_of(STUDY)))
        connection.execute(insert(associations).values(row_of(association)))
        connection.execute(insert(other_series).values(row_of(other)))
    with database.reading() as connection:
        assert fetch(connection, Association, select(associations)) == [association]
        assert fetch(connection, OtherSeries, select(other_series)) == [other]


@pytest.mark.parametrize("destinations", [None, (), ("pacs", "archive")])
def test_a_job_goes_everywhere_nowhere_or_to_what_it_names(
    database: Database, add_job: Callable[..., int], destinations: tuple[str, ...] | None
) -> None:
    add_job(destinations=destinations)
    with database.reading() as connection:
        (job,) = fetch(connection, Job, select(jobs))
    assert job.destinations == destinations
