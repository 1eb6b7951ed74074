"""The queries for what a person is shown of deliveries and destinations."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, select

from survnode.node.errors import RecordNotFound
from survnode.node.state.database import Database, fetch
from survnode.node.state.paging import listing
from survnode.node.state.readable_columns import hexadecimal, moment
from survnode.node.state.records import Delivery, DeliveryState
from survnode.node.state.summaries import DeliverySummary, DestinationSummary, Listing, Page
from survnode.node.state.tables import deliveries, jobs, results

FAILED = (DeliveryState.REFUSED, DeliveryState.FAILED)

_due = case((deliveries.c.state == DeliveryState.WAITING, deliveries.c.due_at))
_columns = (
    select(
        deliveries.c.id.label("delivery"),
        deliveries.c.job_id.label("job"),
        jobs.c.study_instance_uid,
        deliveries.c.destination,
        results.c.role,
        results.c.rank,
        deliveries.c.state,
        deliveries.c.tries,
        hexadecimal(deliveries.c.status, "status"),
        moment(deliveries.c.created_at, "created"),
        moment(_due, "due"),
        moment(deliveries.c.settled_at, "settled"),
        deliveries.c.error,
        deliveries.c.commitment,
        moment(deliveries.c.commitment_due_at, "commitment_due"),
        deliveries.c.commitment_error,
    )
    .join(jobs, jobs.c.id == deliveries.c.job_id)
    .join(results, results.c.id == deliveries.c.result_id)
)


def check_destination(database: Database, name: str, configured: Iterable[str]) -> None:
    """Refuse a name that is of no destination: neither configured, nor one that anything ever went to.

    Raises
    ------
    RecordNotFound
    """
    with database.reading() as connection:
        used = select(deliveries.c.destination).where(deliveries.c.destination == name).limit(1)
        if name not in (known := tuple(configured)) and connection.execute(used).first() is None:
            there_are = f"the configuration has {', '.join(known)}" if known else "the configuration has none"
            raise RecordNotFound(f"There is no destination {name}; {there_are}.")


def list_deliveries(
    database: Database,
    states: Collection[DeliveryState] = (),
    destination: str | None = None,
    page: Page = Page(),  # noqa: B008  frozen
) -> Listing[DeliverySummary]:
    """The deliveries in one of those states, or in any if none is given, newest first."""
    where: list[ColumnElement[bool]] = []
    if states:
        where.append(deliveries.c.state.in_(states))
    if destination is not None:
        where.append(deliveries.c.destination == destination)
    rows = _columns.where(*where).order_by(deliveries.c.id.desc())
    counted = select(func.count()).select_from(deliveries).where(*where)
    with database.reading() as connection:
        return listing(connection, DeliverySummary, rows, counted, page)


def of_job(connection: Connection, job_id: int) -> tuple[DeliverySummary, ...]:
    """The deliveries of one job, oldest first."""
    return _of(connection, _columns.where(deliveries.c.job_id == job_id))


def of_study(connection: Connection, study_instance_uid: str) -> tuple[DeliverySummary, ...]:
    """The deliveries of one study, oldest first."""
    return _of(connection, _columns.where(jobs.c.study_instance_uid == study_instance_uid))


def _of(connection: Connection, wanted: Select[Any]) -> tuple[DeliverySummary, ...]:
    return tuple(fetch(connection, DeliverySummary, wanted.order_by(deliveries.c.id)))


def read_destinations(database: Database, configured: Iterable[str]) -> list[DestinationSummary]:
    """How each destination does: those that are configured, then those that something still waits for."""
    still = select(deliveries.c.destination).where(deliveries.c.state == DeliveryState.WAITING).distinct()
    with database.reading() as connection:
        waited_for = sorted(connection.execute(still).scalars())
        return [_destination(connection, name) for name in dict.fromkeys((*configured, *waited_for))]


def _destination(connection: Connection, name: str) -> DestinationSummary:
    """What the rows say of a destination.

    It is down if something was tried after the last success and still waits: whatever could not be sent before that
    has only to wait for its next try.
    """
    sent = _newest(connection, name, (DeliveryState.SENT,))
    lost = _newest(connection, name, FAILED)
    success = sent.settled_at if sent else None
    tried = _tried(connection, name, after=success or 0.0)
    summary = DestinationSummary(
        destination=name,
        waiting=_count(connection, name, (DeliveryState.WAITING,)),
        failed=_count(connection, name, FAILED),
        last_success=_moment(success),
        last_error_at=_moment(lost.settled_at) if lost else None,
        last_error=lost.error if lost else "",
        down_since=None,
    )
    if tried is None:
        return summary
    return replace(summary, last_error_at=None, last_error=tried.error, down_since=_moment(tried.first_tried_at))


def _newest(connection: Connection, destination: str, states: Collection[DeliveryState]) -> Delivery | None:
    """Of the deliveries that ended in one of the states, the last; each state is looked up by itself in its index."""
    ended = [
        row
        for state in states
        for row in fetch(
            connection,
            Delivery,
            select(deliveries)
            .where(deliveries.c.destination == destination, deliveries.c.state == state)
            .order_by(deliveries.c.settled_at.desc())
            .limit(1),
        )
    ]
    return max(ended, key=lambda row: row.settled_at or 0.0, default=None)


def _tried(connection: Connection, destination: str, *, after: float) -> Delivery | None:
    """What waits although it was tried after that time: what was tried first.

    One that the destination answered with a failure of its own (``doubts``) says nothing of the destination.
    """
    waits = (
        select(deliveries)
        .where(deliveries.c.destination == destination, deliveries.c.state == DeliveryState.WAITING)
        .where(deliveries.c.tries > 0, deliveries.c.first_tried_at > after, deliveries.c.doubts == 0)
        .order_by(deliveries.c.first_tried_at, deliveries.c.id)
        .limit(1)
    )
    return next(iter(fetch(connection, Delivery, waits)), None)


def _count(connection: Connection, destination: str, states: Collection[DeliveryState]) -> int:
    counted = select(func.count()).where(deliveries.c.destination == destination, deliveries.c.state.in_(states))
    return int(connection.execute(counted).scalar_one())


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
