from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from survnode.node.state import delivery_rows
from survnode.node.state.database import Database, fetch, row_of
from survnode.node.state.due_times import shift_due_times, wait_for_senders
from survnode.node.state.records import CommitmentState, DeliveryState, Job, Study, StudyState
from survnode.node.state.tables import jobs, studies
from survnode.node.work import jobs as queue

HOUR_S = 3600.0


@pytest.mark.parametrize("step_s", [-HOUR_S, 60.0])
def test_everything_that_is_due_moves_with_the_clock(
    database: Database, add_job: Callable[..., int], finish_job: Callable[..., Job], step_s: float
) -> None:
    finish_job("1.1", "pacs", now=10.0)
    number = add_job("1.2", due_at=30.0)
    with database.transaction() as connection:
        first, second, *_ = [item.delivery for item in delivery_rows.due_deliveries(connection, "pacs", 10.0)]
        delivery_rows.update_waiting(connection, first, replace(first, first_tried_at=5.0, due_at=40.0))
        asked = replace(second, state=DeliveryState.SENT, commitment=CommitmentState.REQUESTED, commitment_due_at=50.0)
        delivery_rows.update_delivery(connection, second, asked)
        connection.execute(studies.update().where(studies.c.study_instance_uid == "1.2").values(due_at=60.0))
    shift_due_times(database, step_s, stepped_after=1e6, now=1e6 + 1)
    assert queue.get(database, number).due_at == 30.0 + step_s
    with database.reading() as connection:
        moved, also = (
            delivery_rows.find_delivery(connection, first.id),
            delivery_rows.find_delivery(connection, second.id),
        )
        (due,) = fetch(connection, Study, select(studies).where(studies.c.due_at.is_not(None)))
        ended = connection.execute(select(jobs.c.ended_at).where(jobs.c.id == 1)).scalar_one()
    assert moved is not None
    assert also is not None
    assert (moved.due_at, moved.first_tried_at) == (40.0 + step_s, 5.0 + step_s)
    assert (also.commitment_due_at, also.due_at) == (50.0 + step_s, 10.0)
    assert (due.study_instance_uid, due.due_at) == ("1.2", 60.0 + step_s)
    assert ended == 10.0  # what happened, happened when it did


def test_a_study_that_the_new_clock_made_due_stays(database: Database, add_job: Callable[..., int]) -> None:
    add_job("1.1"), add_job("1.2")
    with database.transaction() as connection:
        one, other = studies.c.study_instance_uid == "1.1", studies.c.study_instance_uid == "1.2"
        connection.execute(studies.update().where(one).values(due_at=4060.0, last_received_at=4000.0))
        connection.execute(studies.update().where(other).values(due_at=460.0, last_received_at=400.0))
    shift_due_times(database, HOUR_S, stepped_after=3999.9, now=4000.1)
    with database.reading() as connection:
        rows = fetch(connection, Study, select(studies).order_by(studies.c.study_instance_uid))
    assert [study.due_at for study in rows] == [4060.0, 4060.0]


def test_what_was_coming_when_the_node_ended_has_time_to_come_on(database: Database) -> None:
    coming = Study("1.1", "P1", False, 1.0, 2.0, 10.0, 1, StudyState.RECEIVING)
    waits_for_longer = replace(coming, study_instance_uid="1.2", due_at=500.0)
    judged = replace(coming, study_instance_uid="1.3", due_at=None, state=StudyState.ASSEMBLED)
    with database.transaction() as connection:
        connection.execute(studies.insert(), [row_of(study) for study in (coming, waits_for_longer, judged)])
    assert wait_for_senders(database, until=160.0) == 1
    with database.reading() as connection:
        rows = fetch(connection, Study, select(studies).order_by(studies.c.study_instance_uid))
    assert [study.due_at for study in rows] == [160.0, 500.0, None]
