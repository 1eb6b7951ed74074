from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Delivery, DeliveryState, Job, JobState, StoredObject
from survnode.node.state.reissuing import (
    Selection,
    hold_back,
    is_withdrawn,
    queue_note,
    selected_jobs,
    sent_objects,
)
from survnode.node.state.tables import deliveries, results

from .conftest import plans

FinishJob = Callable[..., Job]
NOTE = StoredObject(ResultRole.WITHDRAWAL, 0, "1.2", "9.9", "9.90", "1/withdrawal.dcm")


def states(database: Database) -> dict[str, set[DeliveryState]]:
    with database.reading() as connection:
        found = fetch(connection, Delivery, select(deliveries))
    return {name: {row.state for row in found if row.destination == name} for name in ("pacs", "archive")}


@pytest.mark.parametrize(
    ("selection", "meant"),
    [
        (Selection(), ["1.1", "1.2", "1.3"]),
        (Selection(study_instance_uid="1.2"), ["1.2"]),
        (Selection(since=20.0), ["1.2", "1.3"]),
        (Selection(until=20.0), ["1.1"]),
        (Selection(since=20.0, until=30.0, device_uid="2.25.1"), ["1.2"]),
        (Selection(device_uid="2.25.9"), []),
    ],
)
def test_a_selection_means_the_finished_jobs_that_fulfil_all_of_it(
    database: Database, finish_job: FinishJob, add_job: Callable[..., int], selection: Selection, meant: list[str]
) -> None:
    finish_job("1.1", now=10.0), finish_job("1.2", now=20.0), finish_job("1.3", now=30.0)
    add_job("1.4", state=JobState.FAILED, ended_at=25.0)
    with database.reading() as connection:
        assert [job.study_instance_uid for job in selected_jobs(connection, selection)] == meant


def test_what_is_held_back_is_withdrawn_from_one_destination_only(database: Database, finish_job: FinishJob) -> None:
    job = finish_job("1.1", "pacs", "archive")
    with database.transaction() as connection:
        hold_back(connection, job.id, "pacs", 20.0)
        assert is_withdrawn(connection, job.id, "pacs")
        assert not is_withdrawn(connection, job.id, "archive")
    assert states(database) == {"pacs": {DeliveryState.WITHDRAWN}, "archive": {DeliveryState.WAITING}}


def test_what_was_sent_is_known_and_a_note_on_it_is_queued_once_and_not_held_back(
    database: Database, finish_job: FinishJob
) -> None:
    job = finish_job("1.1", "pacs")
    with database.transaction() as connection:
        assert sent_objects(connection, job.id, "pacs") == []
        connection.execute(update(deliveries).values(state=DeliveryState.SENT))
        for _ in range(2):
            queue_note(connection, NOTE, job.id, "pacs", 30.0)
        hold_back(connection, job.id, "pacs", 40.0)
        assert len(sent_objects(connection, job.id, "pacs")) == 5
        notes = select(deliveries.c.state).join(results).where(results.c.role == ResultRole.WITHDRAWAL)
        assert list(connection.execute(notes).scalars()) == [DeliveryState.WAITING]


@pytest.mark.parametrize("selection", [Selection(study_instance_uid="1.1"), Selection(since=20.0, until=30.0)])
def test_jobs_of_a_study_or_a_time_are_looked_up_in_an_index(database: Database, selection: Selection) -> None:
    with plans(database) as steps, database.reading() as connection:
        selected_jobs(connection, selection)
    assert "study_instance_uid=?" in steps[0] or "jobs_by_end (state=? AND ended_at>? AND ended_at<?)" in steps[0]
