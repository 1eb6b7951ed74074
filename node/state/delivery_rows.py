"""The outbox's reads and writes of deliveries; its rules stand in `survnode.node.delivery`."""

from collections.abc import Collection, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from sqlalchemy import Select, delete, func, insert, or_, select, update
from sqlalchemy.dialects import sqlite

from survnode.node.roles import ResultRole
from survnode.node.state.database import Transaction, changes, fetch, fetch_one
from survnode.node.state.records import CommitmentState, Delivery, DeliveryState, RecordedObject
from survnode.node.state.result_rows import results_by_id
from survnode.node.state.tables import deliveries, results

_DEFAULTS = {field.name: field.default for field in fields(Delivery) if field.default is not MISSING}
_CLEAN = {name: value for name, value in _DEFAULTS.items() if name != "perhaps_there_since"}  # what is there, stays
_UNASKED = {name: value for name, value in _DEFAULTS.items() if name.startswith("commitment")}


@dataclass(frozen=True)
class Due:
    """A delivery and its object."""

    delivery: Delivery
    result: RecordedObject


def find_delivery(connection: Transaction, delivery_id: int) -> Delivery | None:
    """One delivery; None if there is none of that number."""
    return fetch_one(connection, Delivery, select(deliveries).where(deliveries.c.id == delivery_id))


def withdrawn_jobs(destination: str | None = None) -> Select[Any]:
    """The jobs whose results were withdrawn, by a note or before they were sent; from one destination or from any."""
    unsent = (DeliveryState.WITHDRAWN, DeliveryState.RECALLED)
    note = deliveries.c.state.in_(unsent) | (results.c.role == ResultRole.WITHDRAWAL)
    withdrawn = select(deliveries.c.job_id).join(results, results.c.id == deliveries.c.result_id).where(note)
    return withdrawn if destination is None else withdrawn.where(deliveries.c.destination == destination)


def due_deliveries(
    connection: Transaction, destination: str, now: float, roles: Collection[ResultRole] = tuple(ResultRole)
) -> list[Due]:
    """What is due to a destination, of those roles."""
    due = (
        select(deliveries)
        .join(results, results.c.id == deliveries.c.result_id)
        .where(deliveries.c.destination == destination, deliveries.c.state == DeliveryState.WAITING)
        .where(deliveries.c.due_at <= now, results.c.role.in_(roles))
    )
    return _with_objects(connection, fetch(connection, Delivery, due))


def update_waiting(connection: Transaction, before: Delivery, after: Delivery) -> bool:
    """Write what differs; False if somebody else wrote since the delivery was read, or it does not wait."""
    own = (
        deliveries.c.id == before.id,
        deliveries.c.tries == before.tries,
        deliveries.c.state == DeliveryState.WAITING,
    )
    values = changes(before, after) | {"perhaps_there_since": after.perhaps_there_since}
    return connection.execute(update(deliveries).where(*own).values(values)).rowcount == 1


def update_recalled(connection: Transaction, after: Delivery) -> None:
    """Write what became of a delivery that was recalled meanwhile: what did not arrive needs no note."""
    own = (deliveries.c.id == after.id, deliveries.c.state == DeliveryState.RECALLED)
    not_there = after.perhaps_there_since is None
    values = {"state": DeliveryState.WITHDRAWN} if not_there else {"status": after.status, "error": after.error}
    connection.execute(update(deliveries).where(*own).values(values))


def start_anew(connection: Transaction, delivery_id: int, now: float) -> None:
    """Let a delivery wait as if it had never been tried."""
    anew = _CLEAN | {"state": DeliveryState.WAITING, "due_at": now}
    connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(anew))


def plan_delivery(connection: Transaction, result_id: int, job_id: int, destination: str, now: float) -> None:
    """Let a result object go to a destination for the first time."""
    connection.execute(insert(deliveries).values(_planned(result_id, job_id, destination, now)))


def deliver_again(connection: Transaction, result_id: int, job_id: int, destination: str, now: float) -> None:
    """Let a result object go to a destination, whether or not it went there before."""
    new = sqlite.insert(deliveries).values(_planned(result_id, job_id, destination, now))
    anew = _CLEAN | {"state": DeliveryState.WAITING, "due_at": now}
    connection.execute(new.on_conflict_do_update(index_elements=["result_id", "destination"], set_=anew))


def carry_instead(connection: Transaction, delivery: Delivery, result_id: int) -> None:
    """Let a delivery that still waits carry another result, in place of an earlier delivery of that result."""
    taken = (deliveries.c.result_id == result_id, deliveries.c.destination == delivery.destination)
    own = (deliveries.c.id == delivery.id, deliveries.c.state == DeliveryState.WAITING)
    connection.execute(delete(deliveries).where(*taken, deliveries.c.id != delivery.id))
    connection.execute(update(deliveries).where(*own).values(result_id=result_id))


def count_deliveries(connection: Transaction) -> dict[str, dict[DeliveryState, int]]:
    """The number of deliveries in each state, for each destination that ever had one."""
    columns = (deliveries.c.destination, deliveries.c.state)
    rows = connection.execute(select(*columns, func.count()).group_by(*columns)).all()
    numbers = {destination: dict.fromkeys(DeliveryState, 0) for destination, _, _ in rows}
    for destination, state, number in rows:
        numbers[destination][state] = number
    return numbers


def recalled_deliveries(connection: Transaction, destination: str) -> list[Due]:
    """What was withdrawn from a destination when it was perhaps there already, and is in no note yet."""
    recalled = select(deliveries).where(
        deliveries.c.destination == destination, deliveries.c.state == DeliveryState.RECALLED
    )
    return _with_objects(connection, fetch(connection, Delivery, recalled.order_by(deliveries.c.id)))


def due_commitments(connection: Transaction, destination: str, now: float, limit: int) -> list[Delivery]:
    """What was sent to a destination, is not committed to, and was never asked for or is to be asked for again."""
    never = deliveries.c.commitment == CommitmentState.NONE
    due = (
        select(deliveries)
        .where(
            deliveries.c.destination == destination,
            deliveries.c.state == DeliveryState.SENT,
            deliveries.c.commitment != CommitmentState.COMMITTED,
            or_(never, deliveries.c.commitment_due_at <= now),
        )
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    return fetch(connection, Delivery, due)


def asked_in(connection: Transaction, transaction_uid: str) -> list[Due]:
    """What a request for storage commitment asked for."""
    asked = select(deliveries).where(deliveries.c.commitment_uid == transaction_uid)
    return _with_objects(connection, fetch(connection, Delivery, asked))


def update_delivery(connection: Transaction, before: Delivery, after: Delivery) -> None:
    """Write what differs."""
    connection.execute(update(deliveries).where(deliveries.c.id == before.id).values(changes(before, after)))


def unask_failed(connection: Transaction, job_id: int) -> int:
    """Let the destinations be asked anew to commit to whatever of a job they did not; how many objects."""
    failed = (deliveries.c.job_id == job_id, deliveries.c.commitment == CommitmentState.FAILED)
    return connection.execute(update(deliveries).where(*failed).values(_UNASKED)).rowcount


def _with_objects(connection: Transaction, read: Sequence[Delivery]) -> list[Due]:
    objects = results_by_id(connection, {delivery.result_id for delivery in read})
    return [Due(delivery, objects[delivery.result_id]) for delivery in read]


def _planned(result_id: int, job_id: int, destination: str, now: float) -> dict[str, object]:
    return _CLEAN | {
        "result_id": result_id,
        "job_id": job_id,
        "destination": destination,
        "state": DeliveryState.WAITING,
        "created_at": now,
        "due_at": now,
    }
