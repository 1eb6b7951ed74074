from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import insert

from survnode.model.errors import Reason
from survnode.node.state import check_rows, job_rows, study_rows
from survnode.node.state.database import Database, row_of
from survnode.node.state.image_rows import images_of_study
from survnode.node.state.records import Instance, JobState, Keeping, OtherSeries, Study, StudyState
from survnode.node.state.tables import instances, other_series
from survnode.node.state.tables import studies as study_table

AddJob = Callable[..., int]
FinishJob = Callable[..., object]
DUE = Study("1.1", "P1", False, 1.0, 2.0, 60.0, 1, StudyState.RECEIVING)
IMAGE = Instance("1.1.1.1", "ct", "1.1", "1.1.1", "le", "P1", "SENDER", "0" * 64, 10, "studies/1", 1.0)
OTHER = OtherSeries("1.1", "1.1.2", "pet", Keeping.DROPPED, "PT", "", "", "", 1, 10, 1.0)


def put(database: Database, *records: Study) -> None:
    with database.transaction() as connection:
        connection.execute(insert(study_table), [row_of(record) for record in records])


def read(database: Database, study_instance_uid: str = "1.1") -> Study | None:
    with database.reading() as connection:
        return study_rows.find_study(connection, study_instance_uid)


def test_those_are_due_whose_time_has_come_the_longest_waiting_first(database: Database) -> None:
    put(database, DUE, replace(DUE, study_instance_uid="1.2", due_at=50.0))
    put(
        database,
        replace(DUE, study_instance_uid="1.3", due_at=61.0),
        replace(DUE, study_instance_uid="1.4", due_at=None),
    )
    with database.reading() as connection:
        due = check_rows.due_studies(connection, 60.0)
    assert [study.study_instance_uid for study in due] == ["1.2", "1.1"]


def test_a_settled_study_is_off_the_clock_with_its_words(database: Database) -> None:
    put(database, DUE)
    with database.transaction() as connection:
        assert study_rows.settle_study(connection, DUE, StudyState.IGNORED, detail="why", rule="heads")
    assert read(database) == replace(DUE, due_at=None, state=StudyState.IGNORED, detail="why", rule="heads")


@pytest.mark.parametrize("now", [replace(DUE, revision=2), replace(DUE, due_at=70.0)])
def test_a_study_that_changed_since_it_was_read_is_not_settled(database: Database, now: Study) -> None:
    put(database, now)
    with database.transaction() as connection:
        assert not study_rows.settle_study(connection, DUE, StudyState.ASSEMBLED)
    assert read(database) == now


def test_a_study_is_postponed_unless_an_image_came(database: Database) -> None:
    put(database, DUE)
    with database.transaction() as connection:
        study_rows.postpone_study(connection, replace(DUE, revision=0), 90.0)
        study_rows.postpone_study(connection, DUE, 80.0)
    assert read(database) == replace(DUE, due_at=80.0)


def test_only_a_judged_study_is_ignored(database: Database) -> None:
    put(database, DUE, replace(DUE, study_instance_uid="1.2", due_at=None, state=StudyState.ASSEMBLED))
    with database.transaction() as connection:
        study_rows.ignore_study(connection, "1.1", Reason.NO_LUNGS, "")
        study_rows.ignore_study(connection, "1.2", Reason.NO_LUNGS, "")
    assert read(database) == DUE
    ignored = read(database, "1.2")
    assert ignored is not None
    assert (ignored.state, ignored.detail) == (
        StudyState.IGNORED,
        f"{Reason.NO_LUNGS.sentence} {study_rows.NO_REPORT}",
    )


def test_a_forgotten_study_leaves_nothing_if_it_never_had_a_job(database: Database) -> None:
    put(database, DUE)
    with database.transaction() as connection:
        connection.execute(insert(instances).values(row_of(IMAGE)))
        connection.execute(insert(other_series).values(row_of(OTHER)))
        study_rows.forget_study(connection, "1.1")
        assert images_of_study(connection, "1.1") == []
        assert study_rows.other_series_of_study(connection, "1.1") == []
    assert read(database) is None


def test_a_forgotten_study_remains_as_deleted_if_it_had_a_job(database: Database, add_job: AddJob) -> None:
    number = add_job("1.1")
    with database.transaction() as connection:
        study_rows.forget_study(connection, "1.1")
        job = job_rows.find_job(connection, number)
    study = read(database)
    assert study is not None
    assert (study.state, study.due_at) == (StudyState.DELETED, None)
    assert job is not None
    assert job.state is JobState.QUEUED


def test_only_a_study_with_a_finished_job_has_results(
    database: Database, add_job: AddJob, finish_job: FinishJob
) -> None:
    finish_job("1.2")
    add_job("1.1")
    with database.reading() as connection:
        assert not study_rows.has_results(connection, "1.1")
        assert study_rows.has_results(connection, "1.2")
