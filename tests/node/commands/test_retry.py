"""What failed in a job or a study is taken up again, and what waits is hastened."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from survnode.node.commands.retry import retry_job, retry_study
from survnode.node.errors import NotRetryable
from survnode.node.state.database import Database
from survnode.node.state.records import DeliveryState, Job, JobState, StudyState
from survnode.node.state.study_summaries import read_job
from survnode.node.state.tables import deliveries, jobs, studies

FinishJob = Callable[..., Job]


def set_deliveries(database: Database, job: int, **values: object) -> None:
    with database.transaction() as connection:
        connection.execute(update(deliveries).where(deliveries.c.job_id == job).values(values))


def refuse_all(database: Database, job: int) -> None:
    set_deliveries(database, job, state=DeliveryState.REFUSED, error="no")


def test_a_failed_job_is_queued_again(database: Database, add_job: Callable[..., int]) -> None:
    number = add_job(state=JobState.FAILED, error="no")
    assert retry_job(database, number).state is JobState.QUEUED
    with pytest.raises(NotRetryable):
        retry_job(database, number)


def test_of_a_finished_job_what_was_refused_is_sent_again(database: Database, finish_job: FinishJob) -> None:
    job = finish_job("1.1", "pacs")
    refuse_all(database, job.id)
    assert {row.state for row in retry_job(database, job.id).deliveries} == {DeliveryState.WAITING}


def test_of_a_finished_job_what_waits_is_hastened(database: Database, finish_job: FinishJob) -> None:
    job = finish_job("1.1", "pacs")
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    set_deliveries(database, job.id, due_at=in_an_hour.timestamp(), tries=3)
    hastened = retry_job(database, job.id).deliveries
    assert hastened
    assert all(row.due is not None and row.due < in_an_hour - timedelta(minutes=30) for row in hastened)
    assert {row.tries for row in hastened} == {3}


def test_a_finished_job_that_was_sent_whole_is_refused(database: Database, finish_job: FinishJob) -> None:
    job = finish_job("1.1", "pacs")
    set_deliveries(database, job.id, state=DeliveryState.SENT)
    with pytest.raises(NotRetryable, match="none of its deliveries waits or has failed"):
        retry_job(database, job.id)
    with pytest.raises(NotRetryable, match=r"Nothing in study 1\.1 has failed"):
        retry_study(database, "1.1")


def test_everything_that_failed_in_a_study_is_taken_up_and_nothing_of_another(
    database: Database, finish_job: FinishJob
) -> None:
    refused, other = finish_job("1.1", "pacs"), finish_job("1.2", "pacs")
    failed = finish_job("1.1", "pacs", version=2)
    refuse_all(database, refused.id)
    refuse_all(database, other.id)
    with database.transaction() as connection:
        connection.execute(update(jobs).where(jobs.c.id == failed.id).values(state=JobState.FAILED))
    study = retry_study(database, "1.1")
    assert [job.state for job in study.jobs] == [JobState.FINISHED, JobState.QUEUED]
    assert {row.state for row in study.deliveries} == {DeliveryState.WAITING}
    assert {row.state for row in read_job(database, other.id).deliveries} == {DeliveryState.REFUSED}


def test_a_study_whose_judgement_failed_is_judged_again(database: Database, finish_job: FinishJob) -> None:
    finish_job("1.1")
    with database.transaction() as connection:
        connection.execute(update(studies).values(state=StudyState.UNASSEMBLED, error="Judging it failed."))
    found = retry_study(database, "1.1")
    assert (found.state, found.error) == (StudyState.RECEIVING, "")
    assert found.due is not None
