"""Reads and writes for results that are sent again or withdrawn."""

from dataclasses import dataclass

from sqlalchemy import func, select, update

from survnode.node.roles import ResultRole
from survnode.node.state.database import Transaction, fetch
from survnode.node.state.delivery_rows import plan_delivery, withdrawn_jobs
from survnode.node.state.records import DeliveryState, JobState, RecordedObject, StoredObject
from survnode.node.state.result_rows import record_result
from survnode.node.state.tables import deliveries, jobs, results

UNSENT = (DeliveryState.WAITING, DeliveryState.REFUSED, DeliveryState.FAILED)


@dataclass(frozen=True)
class Selection:
    """Which results are meant: those that fulfil all that is given.

    Parameters
    ----------
    since, until : when the job ended, seconds since the epoch; ``until`` is no longer in it
    device_uid : of the model
    """

    study_instance_uid: str | None = None
    since: float | None = None
    until: float | None = None
    device_uid: str | None = None


@dataclass(frozen=True)
class FinishedJob:
    """A job that made results.

    Parameters
    ----------
    destinations : to which its study's rule lets them go; None means all
    """

    id: int
    study_instance_uid: str
    version: int
    destinations: tuple[str, ...] | None = None


def selected_jobs(connection: Transaction, selection: Selection) -> list[FinishedJob]:
    """The finished jobs whose results are meant, oldest first."""
    finished = func.likely(jobs.c.state == JobState.FINISHED)  # else SQLite looks for a study among all that finished
    selected = select(jobs.c.id, jobs.c.study_instance_uid, jobs.c.version, jobs.c.destinations).where(finished)
    if selection.study_instance_uid is not None:
        selected = selected.where(jobs.c.study_instance_uid == selection.study_instance_uid)
    if selection.device_uid is not None:
        selected = selected.where(jobs.c.device_uid == selection.device_uid)
    if selection.since is not None:
        selected = selected.where(jobs.c.ended_at >= selection.since)
    if selection.until is not None:
        selected = selected.where(jobs.c.ended_at < selection.until)
    return fetch(connection, FinishedJob, selected.order_by(jobs.c.id))


def is_withdrawn(connection: Transaction, job_id: int, destination: str) -> bool:
    """Whether the results of a job were withdrawn from a destination."""
    withdrawn = withdrawn_jobs(destination).where(deliveries.c.job_id == job_id)
    return connection.execute(withdrawn).first() is not None


def hold_back(connection: Transaction, job_id: int, destination: str, now: float) -> int:
    """Let what is withdrawn not be sent any more; of how much of it the destination may have something already."""
    notes = select(results.c.id).where(results.c.job_id == job_id, results.c.role == ResultRole.WITHDRAWAL)
    unsent = (
        deliveries.c.job_id == job_id,
        deliveries.c.destination == destination,
        deliveries.c.state.in_(UNSENT),
        deliveries.c.result_id.not_in(notes),
    )
    perhaps_there = deliveries.c.perhaps_there_since.is_not(None)
    recalled = update(deliveries).where(*unsent, perhaps_there).values(state=DeliveryState.RECALLED, settled_at=now)
    number = connection.execute(recalled).rowcount
    connection.execute(update(deliveries).where(*unsent).values(state=DeliveryState.WITHDRAWN, settled_at=now))
    return number


def sent_objects(connection: Transaction, job_id: int, destination: str) -> list[RecordedObject]:
    """What of a job went to a destination, in the class in which it went."""
    arrived = (
        select(results)
        .join(deliveries, deliveries.c.result_id == results.c.id)
        .where(results.c.job_id == job_id, results.c.role != ResultRole.WITHDRAWAL)
        .where(deliveries.c.destination == destination, deliveries.c.state == DeliveryState.SENT)
        .order_by(results.c.id)
    )
    return fetch(connection, RecordedObject, arrived)


def queue_note(connection: Transaction, note: StoredObject, job_id: int, destination: str, now: float) -> None:
    """Record a note of withdrawal, and that it goes to a destination, unless it went there already."""
    result_id = record_result(connection, note, job_id, now)
    known = select(deliveries.c.id).where(deliveries.c.result_id == result_id, deliveries.c.destination == destination)
    if connection.execute(known).first() is None:
        plan_delivery(connection, result_id, job_id, destination, now)
