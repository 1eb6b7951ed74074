"""What failed is taken up again and what waits is hastened, for one job or one study."""

import time

from survnode.node.delivery import outbox
from survnode.node.delivery.commitment import Commitments
from survnode.node.errors import NotRetryable
from survnode.node.state.database import Database
from survnode.node.state.records import JobState, StudyState
from survnode.node.state.rejudging import judge_again
from survnode.node.state.study_summaries import read_job, read_study
from survnode.node.state.summaries import DeliverySummary, JobDetail, StudyDetail
from survnode.node.work import jobs


def retry_job(database: Database, number: int) -> JobDetail:
    """Queue a failed or quarantined job again; of a finished one, send at once what waits or has failed.

    Raises
    ------
    RecordNotFound, NotRetryable
    """
    job = read_job(database, number)
    if job.state is JobState.FINISHED:
        if not _retry_deliveries(database, number, job.deliveries):
            raise NotRetryable(f"Job {number} is finished, and none of its deliveries waits or has failed.")
    else:
        jobs.retry(database, number, now=time.time())
    return read_job(database, number)


def retry_study(database: Database, study_instance_uid: str) -> StudyDetail:
    """Take up what failed in a study (its judgement, its jobs, its deliveries), and send at once what waits.

    Raises
    ------
    RecordNotFound, NotRetryable
    """
    study = read_study(database, study_instance_uid)
    tried = 0
    if study.state in (StudyState.UNASSEMBLED, StudyState.IGNORED):
        tried += judge_again(database, study_instance_uid, now=time.time())
    for job in study.jobs:
        if job.state in jobs.RETRYABLE:
            jobs.retry(database, job.job, now=time.time())
            tried += 1
        tried += _retry_deliveries(database, job.job, [row for row in study.deliveries if row.job == job.job])
    if not tried:
        raise NotRetryable(f"Nothing in study {study_instance_uid} has failed, and nothing waits to be sent.")
    return read_study(database, study_instance_uid)


def _retry_deliveries(
    database: Database, job: int, deliveries: tuple[DeliverySummary, ...] | list[DeliverySummary]
) -> int:
    """How many deliveries are sent, or asked to be committed to, again."""
    box = outbox.Outbox(database, database.path.parent)
    unsent = [row for row in deliveries if row.state in outbox.RETRYABLE]
    for row in unsent:
        box.retry(row.delivery)
    return len(unsent) + Commitments(database).retry(job)
