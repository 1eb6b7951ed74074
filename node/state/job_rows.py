"""The queue's reads and writes of jobs; its rules stand in `survnode.node.work.jobs`."""

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import exists, func, insert, select, update

from survnode.node.state.database import Transaction, changes, fetch, fetch_one, row_of
from survnode.node.state.delivery_rows import withdrawn_jobs
from survnode.node.state.records import Job, JobState
from survnode.node.state.tables import deliveries, jobs


def find_job(connection: Transaction, job_id: int) -> Job | None:
    """One job; None if there is none of that number."""
    return fetch_one(connection, Job, select(jobs).where(jobs.c.id == job_id))


def oldest_due_job(connection: Transaction, now: float) -> Job | None:
    """The oldest queued job that is due and of whose study none runs."""
    busy = jobs.alias()
    same_study_runs = exists().where(
        busy.c.study_instance_uid == jobs.c.study_instance_uid, busy.c.state == JobState.RUNNING
    )
    due = (
        select(jobs)
        .where(jobs.c.state == JobState.QUEUED, jobs.c.due_at <= now, ~same_study_runs)
        .order_by(jobs.c.id)
        .limit(1)
    )
    return fetch_one(connection, Job, due)


def running_jobs(connection: Transaction) -> list[Job]:
    """Every job that a worker has."""
    return fetch(connection, Job, select(jobs).where(jobs.c.state == JobState.RUNNING).order_by(jobs.c.id))


def count_jobs(connection: Transaction) -> dict[JobState, int]:
    """The number of jobs in each state."""
    rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
    numbers = {state: number for state, number in rows}  # noqa: C416  dict() knows no rows
    return {state: numbers.get(state, 0) for state in JobState}


def jobs_of_study(connection: Transaction, study_instance_uid: str) -> list[Job]:
    """Every job of a study, newest version first."""
    of_study = select(jobs).where(jobs.c.study_instance_uid == study_instance_uid)
    return fetch(connection, Job, of_study.order_by(jobs.c.version.desc()))


def withdrawn_among(connection: Transaction, job_ids: Collection[int]) -> set[int]:
    """Those of the jobs whose results were withdrawn."""
    return set(connection.execute(withdrawn_jobs().where(deliveries.c.job_id.in_(job_ids))).scalars())


def add_job(connection: Transaction, job: Job) -> int:
    """Record a new job; the number that it gets."""
    row = {column: value for column, value in row_of(job).items() if column != "id"}
    return int(connection.execute(insert(jobs).values(row).returning(jobs.c.id)).scalar_one())


def update_job(connection: Transaction, before: Job, after: Job) -> None:
    """Write what differs."""
    connection.execute(update(jobs).where(jobs.c.id == before.id).values(changes(before, after)))


def update_claimed(connection: Transaction, claimed: Job, after: Job) -> bool:
    """Write what differs from the claim; False if it is not the newest on this job, or the job does not run."""
    own = (jobs.c.id == claimed.id, jobs.c.token == claimed.token, jobs.c.state == JobState.RUNNING)
    return connection.execute(update(jobs).where(*own).values(changes(claimed, after))).rowcount == 1


def requeue_failed(connection: Transaction, job: Job, now: float) -> None:
    """Let a job that failed be tried again, since its study came again or was judged again; no other."""
    if job.state is JobState.FAILED:
        again = replace(job, state=JobState.QUEUED, due_at=now, attempts=0, failures=0, kills=0, ended_at=None)
        update_job(connection, job, again)


def supersede(connection: Transaction, job_ids: Collection[int], now: float) -> None:
    """Drop jobs that a newer one takes the place of."""
    dropped = update(jobs).where(jobs.c.id.in_(job_ids))
    connection.execute(dropped.values(state=JobState.SUPERSEDED, ended_at=now))


def supersede_older(connection: Transaction, now: float) -> None:
    """Drop what waits although a newer version exists: one that was running when that was made, and came back."""
    newer = jobs.alias()
    newer_exists = exists().where(
        newer.c.study_instance_uid == jobs.c.study_instance_uid,
        newer.c.version > jobs.c.version,
    )
    dropped = update(jobs).where(jobs.c.state == JobState.QUEUED, newer_exists)
    connection.execute(dropped.values(state=JobState.SUPERSEDED, ended_at=now, worker=None, lease_until=None))
