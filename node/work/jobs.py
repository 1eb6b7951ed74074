"""The queue of jobs: rows with a lease, a heartbeat and a fencing token.

A worker claims a job for a while and says now and then that it lives. Whoever reports on a job shows the token of his
claim: after the lease went to another worker the old token is worth nothing, so a job ends once however often it ran.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from survnode.model.errors import Reason
from survnode.node import errors
from survnode.node.retry import Decision, GiveUp
from survnode.node.state import delivery_rows, job_rows, result_rows, study_rows
from survnode.node.state.database import Database, Transaction
from survnode.node.state.records import Job, JobState, PlannedDelivery, StoredObject

MAX_KILLS = 2  # a job that took its worker with it so often is kept away from workers
MAX_ATTEMPTS = 10  # of a job whose worker was always ended by others: so often, it may be the cause all the same

Uptime = Callable[[], float]  # seconds by the clock that never steps, one for all processes of a machine

RETRYABLE = (JobState.FAILED, JobState.QUARANTINED)


def claim(
    database: Database, worker: str, *, now: float, lease_s: float, uptime: Uptime = time.monotonic
) -> Job | None:
    """The oldest job that is due, leased to ``worker`` for ``lease_s``; None if there is none.

    Jobs of one study run one after the other, and an older version never after a newer one.
    """
    with database.transaction() as connection:
        job_rows.supersede_older(connection, now)
        job = job_rows.oldest_due_job(connection, now)
        if job is None:
            return None
        claimed = replace(
            job,
            state=JobState.RUNNING,
            worker=worker,
            token=job.token + 1,
            attempts=job.attempts + 1,
            lease_until=uptime() + lease_s,
            started_at=now,
            ended_at=None,
        )
        job_rows.update_job(connection, job, claimed)
        return claimed


def heartbeat(database: Database, job: Job, *, lease_s: float, uptime: Uptime = time.monotonic) -> None:
    """Lengthen the lease of a claimed job to ``lease_s`` from now.

    Raises
    ------
    LeaseLost
    """
    with database.transaction() as connection:
        _report(connection, job, replace(job, lease_until=uptime() + lease_s))


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
    reason, detail : why the objects say "not analysed", if that was found during the work; without objects, why the
        study is ignored

    Raises
    ------
    LeaseLost
        Another worker has the job: nothing is recorded.
    """
    with database.transaction() as connection:
        end = replace(_ended(job, JobState.FINISHED, now), error="")
        _report(connection, job, end if reason is None else replace(end, reason=reason, detail=detail))
        ids = {item.sop_instance_uid: result_rows.record_result(connection, item, job.id, now) for item in objects}
        for item in planned:
            delivery_rows.plan_delivery(connection, ids[item.sop_instance_uid], job.id, item.destination, now)
        if reason is not None and not objects:
            study_rows.ignore_study(connection, job.study_instance_uid, reason, detail)


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
        after = replace(_ended(job, JobState.FAILED, now), error=f"{error} {decision.why}")
    else:
        after = replace(_queued(job, now + decision.delay_s), error=error, failures=job.failures + 1)
    with database.transaction() as connection:
        _report(connection, job, after)
    return after.state


def release_worker(database: Database, worker: str, *, now: float, by_others: bool = False, why: str = "") -> list[Job]:
    """Take back what a worker that died had claimed; the jobs as they stand now.

    Parameters
    ----------
    by_others : whether somebody else ended it, which is not held against the job
    why : it died, in a sentence, if that is known
    """
    with database.transaction() as connection:
        lost = [job for job in job_rows.running_jobs(connection) if job.worker == worker]
        return [_take_back(connection, job, now, kills=0 if by_others else 1, why=why) for job in lost]


def expire_leases(database: Database, *, now: float, uptime_s: float, living: Collection[str] = ()) -> list[Job]:
    """Take back every job whose worker has not spoken in time; the jobs as they stand now.

    Parameters
    ----------
    living : workers that are known to live, whatever their lease says
    """
    with database.transaction() as connection:
        lost = [
            job for job in job_rows.running_jobs(connection) if job.worker not in living and is_silent(job, uptime_s)
        ]
        return [_take_back(connection, job, now, kills=1) for job in lost]


def is_silent(job: Job, uptime_s: float) -> bool:
    """Whether the worker of a running job has not spoken in time."""
    return job.lease_until is not None and job.lease_until < uptime_s


def recover(database: Database, *, now: float) -> list[Job]:
    """Take back every running job, when the node starts and has no worker yet; the jobs as they stand now.

    A death of the node or of its machine is not held against a job.
    """
    with database.transaction() as connection:
        return [_take_back(connection, job, now, kills=0) for job in job_rows.running_jobs(connection)]


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
        again = replace(_queued(job, now), attempts=0, failures=0, kills=0, ended_at=None)
        job_rows.update_job(connection, job, again)
        return again


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
        return job_rows.count_jobs(connection)


def _get(connection: Transaction, job_id: int) -> Job:
    job = job_rows.find_job(connection, job_id)
    if job is None:
        raise errors.RecordNotFound(f"There is no job {job_id}.")
    return job


def _report(connection: Transaction, job: Job, after: Job) -> None:
    """Write what became of a job for the holder of its newest token."""
    if not job_rows.update_claimed(connection, job, after):
        raise errors.LeaseLost(f"Claim {job.token} on job {job.id} is no longer valid.")


def _take_back(connection: Transaction, job: Job, now: float, *, kills: int, why: str = "") -> Job:
    after = replace(_queued(job, now), kills=job.kills + kills, error=why or job.error)
    if after.kills >= MAX_KILLS:
        after = _set_aside(after, now, f"Its worker died or fell silent {after.kills} times. {why}".strip())
    elif job.attempts >= MAX_ATTEMPTS:
        after = _set_aside(after, now, f"Its worker, or the node, was ended {job.attempts} times while it ran.")
    job_rows.update_job(connection, job, after)
    return after


def _set_aside(job: Job, now: float, why: str) -> Job:
    return replace(_ended(job, JobState.QUARANTINED, now), error=why)


def _queued(job: Job, due_at: float) -> Job:
    return replace(job, state=JobState.QUEUED, due_at=due_at, worker=None, lease_until=None)


def _ended(job: Job, state: JobState, now: float) -> Job:
    return replace(job, state=state, ended_at=now, worker=None, lease_until=None)
