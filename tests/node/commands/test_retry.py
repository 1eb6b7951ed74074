"""What failed in a job or a study is taken up again."""

from collections.abc import Callable

import pytest
from sqlalchemy import update

from survnode.node.commands.retry import retry_job, retry_study
from survnode.node.errors import NotRetryable
from survnode.node.state.database import Database
from survnode.node.state.records import DeliveryState, Job, JobState, StudyState
from survnode.node.state.tables import deliveries, jobs, studies

FinishJob = Callable[..., Job]


def refuse_all(database: Database, job: int) -> None:
    with database.transaction() as connection:
        refused = {"state": DeliveryState.REFUSED, "error": "no"}
        connection.execute(update(deliveries).where(deliveries.c.job_id == job).values(refused))


def test_a_failed_job_is_queued_again(database: Database, add_job: Callable[..., int]) -> None:
    number = add_job(state=JobState.FAILED, error="no")
    assert retry_job(database, number).state is JobState.QUEUED
    with pytest.raises(NotRetryable):
        retry_job(database, number)


def test_of_a_finished_job_what_was_refused_is_sent_again(database: Database, finish_job: FinishJob) -> None:
    job = finish_job("1.1", "pacs")
    with pytest.raises(NotRetryable, match="none of its deliveries has failed"):
        retry_job(database, job.id)
    refuse_all(database, job.id)
    assert {row.state for row in retry_job(database, job.id).deliveries} == {DeliveryState.WAITING}


def test_everything_that_failed_in_a_study_is_taken_up_and_nothing_of_another(
    database: Database, finish_job: FinishJob
) -> None:
    one, other = finish_job("1.1", "pacs"), finish_job("1.2", "pacs")
    failed = finish_job("1.1", "pacs", version=2)
    refuse_all(database, one.id)
    refuse_all(database, other.id)
    with database.transaction() as connection:
        connection.execute(update(jobs).where(jobs.c.id == failed.id).values(state=JobState.FAILED))
    found = retry_study(database, "1.1")
    assert [job.state for job in found.jobs] == [JobState.FINISHED, JobState.QUEUED]
    assert {row.state for row in found.deliveries} == {DeliveryState.WAITING}
    assert {row.state for row in retry_job(database, other.id).deliveries} == {DeliveryState.WAITING}
    with database.transaction() as connection:
        connection.execute(update(jobs).values(state=JobState.FINISHED))
    with pytest.raises(NotRetryable, match="Nothing in study"):
        retry_study(database, "1.1")


def test_a_study_whose_judgement_failed_is_judged_again(database: Database, finish_job: FinishJob) -> None:
    finish_job("1.1")
    with database.transaction() as connection:
        connection.execute(update(studies).values(state=StudyState.UNASSEMBLED, error="Judging it failed."))
    found = retry_study(database, "1.1")
    assert (found.state, found.error) == (StudyState.RECEIVING, "")
    assert found.due is not None
