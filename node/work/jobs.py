"""The queue of jobs: rows with a lease, a heartbeat and a fencing token.

A worker claims a job for a while and says now and then that it lives. Whoever reports on a job shows the token of his
claim: after the lease went to another worker the old token is worth nothing, so a job ends once however often it ran.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, exists, func, insert, select, update

from survnode.model.errors import Reason
from survnode.node import errors
from survnode.node.retry import Decision, GiveUp
from survnode.node.state.database import Database, fetch, fetch_one, row_of
from survnode.node.state.records import (
    DeliveryState,
    Job,
    JobState,
    PlannedDelivery,
    RecordedObject,
    StoredObject,
)
from survnode.node.state.tables import deliveries, jobs, results

MAX_KILLS = 2  # a job that took its worker with it so often is kept away from workers
MAX_ATTEMPTS_AT_RESTART = 5  # a job that was running at so many restarts may be what brought the node down

RETRYABLE = (JobState.FAILED, JobState.QUARANTINED)


def claim(database: Database, worker: str, *, now: float, lease_s: float) -> Job | None:
    """The oldest job that is due, leased to ``worker`` until ``now + lease_s``; None if there is none.

    Jobs of one study run one after the other, and an older version never after a newer one.
    """
    with database.transaction() as connection:
        _supersede_older(connection, now)
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
        job = fetch_one(connection, Job, due)
        if job is None:
            return None
        claimed = {
            "state": JobState.RUNNING,
            "worker": worker,
            "token": job.token + 1,
            "attempts": job.attempts + 1,
            "lease_until": now + lease_s,
            "started_at": now,
            "ended_at": None,
        }
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(claimed))
        return _get(connection, job.id)


def heartbeat(database: Database, job: Job, *, now: float, lease_s: float) -> None:
    """Lengthen the lease of a claimed job to ``now + lease_s``.

    Raises
    ------
    LeaseLost
    """
    with database.transaction() as connection:
        _report(connection, job, update(jobs).values(lease_until=now + lease_s))


def finish(
    database: Database,
    job: Job,
    objects: Sequence[StoredObject],
    planned: Sequence[PlannedDelivery],
    *,
    now: float,
    reason: Reason | None = None,
    detail: str = "",
) -> None:
    """End a job with what it made: objects, deliveries and the job's end in one transaction.

    Parameters
    ----------
    objects : their files are durable on disk
    planned : each names one of ``objects``
    reason, detail : why the objects say "not analysed", if that was found during the work

    Raises
    ------
    LeaseLost
        Another worker has the job: nothing is recorded.
    """
    with database.transaction() as connection:
        end = {**_ended(JobState.FINISHED, now), "error": ""}
        if reason is not None:
            end |= {"reason": reason, "detail": detail}
        _report(connection, job, update(jobs).values(end))
        for item in objects:
            connection.execute(insert(results).values(row_of(item) | {"job_id": job.id, "created_at": now}))
        _plan_deliveries(connection, job, planned, now)


def fail(database: Database, job: Job, error: str, decision: Decision, *, now: float) -> JobState:
    """Give a job back that did not succeed: to the queue, or to a person.

    Parameters
    ----------
    error : for a person; names no identity

    Raises
    ------
    LeaseLost
    """
    if isinstance(decision, GiveUp):
        values = {**_ended(JobState.FAILED, now), "error": f"{error} {decision.why}"}
    else:
        values = {**_queued(now + decision.delay_s), "error": error}
    with database.transaction() as connection:
        _report(connection, job, update(jobs).values(values))
    return JobState.FAILED if isinstance(decision, GiveUp) else JobState.QUEUED


def release_worker(database: Database, worker: str, *, now: float) -> list[Job]:
    """Take back what a worker that died had claimed; the jobs as they stand now."""
    with database.transaction() as connection:
        return _take_back(connection, jobs.c.worker == worker, now)


def expire_leases(database: Database, *, now: float) -> list[Job]:
    """Take back every job whose worker has not spoken in time; the jobs as they stand now."""
    with database.transaction() as connection:
        return _take_back(connection, jobs.c.lease_until < now, now)


def recover(database: Database, *, now: float) -> list[Job]:
    """Take back every running job, when the node starts and has no worker yet; the jobs as they stand now.

    A restart is not held against a job, but one that was running at many of them may be their cause.
    """
    with database.transaction() as connection:
        running = fetch(connection, Job, select(jobs).where(jobs.c.state == JobState.RUNNING))
        for job in running:
            values = _queued(now)
            if job.attempts >= MAX_ATTEMPTS_AT_RESTART:
                why = f"It was running at an end of the node, at its try {job.attempts}."
                values = {**_ended(JobState.QUARANTINED, now), "error": why}
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(values))
        return [_get(connection, job.id) for job in running]


def retry(database: Database, job_id: int, *, now: float) -> Job:
    """Put a failed or quarantined job back into the queue, with a clean slate.

    Raises
    ------
    RecordNotFound, NotRetryable
    """
    with database.transaction() as connection:
        job = _get(connection, job_id)
        if job.state not in RETRYABLE:
            raise errors.NotRetryable(f"Job {job_id} is {job.state}: {job.state.sentence}")
        values = {**_queued(now), "attempts": 0, "kills": 0, "ended_at": None}
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
        return _get(connection, job_id)


def get(database: Database, job_id: int) -> Job:
    """One job.

    Raises
    ------
    RecordNotFound
    """
    with database.reading() as connection:
        return _get(connection, job_id)


def counts(database: Database) -> dict[JobState, int]:
    """The number of jobs in each state."""
    with database.reading() as connection:
        rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
    numbers = {state: number for state, number in rows}  # noqa: C416  dict() knows no rows
    return {state: numbers.get(state, 0) for state in JobState}


def _get(connection: Connection, job_id: int) -> Job:
    job = fetch_one(connection, Job, select(jobs).where(jobs.c.id == job_id))
    if job is None:
        raise errors.RecordNotFound(f"There is no job {job_id}.")
    return job


def _report(connection: Connection, job: Job, statement: Update) -> None:
    """Execute an update of a job for the holder of its newest token."""
    mine = (jobs.c.id == job.id, jobs.c.token == job.token, jobs.c.state == JobState.RUNNING)
    if connection.execute(statement.where(*mine)).rowcount != 1:
        raise errors.LeaseLost(f"Claim {job.token} on job {job.id} is no longer valid.")


def _supersede_older(connection: Connection, now: float) -> None:
    """Drop what waits although a newer version exists: one that was running when that was made, and came back."""
    newer = jobs.alias()
    newer_exists = exists().where(
        newer.c.study_instance_uid == jobs.c.study_instance_uid,
        newer.c.version > jobs.c.version,
    )
    older = update(jobs).where(jobs.c.state == JobState.QUEUED, newer_exists)
    connection.execute(older.values(_ended(JobState.SUPERSEDED, now)))


def _plan_deliveries(connection: Connection, job: Job, planned: Sequence[PlannedDelivery], now: float) -> None:
    found = fetch(connection, RecordedObject, select(results).where(results.c.job_id == job.id))
    ids = {result.sop_instance_uid: result.id for result in found}
    for item in planned:
        row = {
            "result_id": ids[item.sop_instance_uid],
            "job_id": job.id,
            "destination": item.destination,
            "state": DeliveryState.WAITING,
            "created_at": now,
            "due_at": now,
        }
        connection.execute(insert(deliveries).values(row))


def _take_back(connection: Connection, whose: ColumnElement[bool], now: float) -> list[Job]:
    lost = fetch(connection, Job, select(jobs).where(jobs.c.state == JobState.RUNNING, whose))
    for job in lost:
        values = {**_queued(now), "kills": job.kills + 1}
        if job.kills + 1 >= MAX_KILLS:
            why = f"Its worker died or fell silent {job.kills + 1} times."
            values |= {**_ended(JobState.QUARANTINED, now), "error": why}
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(values))
    return [_get(connection, job.id) for job in lost]


def _queued(due_at: float) -> dict[str, Any]:
    return {"state": JobState.QUEUED, "due_at": due_at, "worker": None, "lease_until": None}


def _ended(state: JobState, now: float) -> dict[str, Any]:
    return {"state": state, "ended_at": now, "worker": None, "lease_until": None}
