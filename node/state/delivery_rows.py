"""The outbox's reads and writes of deliveries; its rules stand in `survnode.node.delivery`."""

from collections.abc import Collection
from dataclasses import MISSING, dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, insert, or_, select, update
from sqlalchemy.dialects import sqlite

from survnode.node.roles import ResultRole
from survnode.node.state.database import Transaction, changes, fetch, fetch_one
from survnode.node.state.records import CommitmentState, Delivery, DeliveryState, RecordedObject
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


def due_jobs(connection: Transaction, destination: str, now: float, *, after: int, limit: int) -> list[int]:
    """The first jobs beyond the number ``after`` of which something is due to a destination."""
    some = select(deliveries.c.job_id).where(*_due(destination, now), deliveries.c.job_id > after).distinct()
    return list(connection.execute(some.order_by(deliveries.c.job_id).limit(limit)).scalars())


def due_deliveries(
    connection: Transaction, destination: str, now: float, jobs: Collection[int] | None = None
) -> list[Due]:
    """What is due to a destination, of those jobs or of all."""
    due = select(deliveries).where(*_due(destination, now))
    return _with_objects(connection, due if jobs is None else due.where(deliveries.c.job_id.in_(jobs)))


def due_in_other_class(
    connection: Transaction, destination: str, now: float, roles: Collection[ResultRole], sop_class_uid: str
) -> list[Due]:
    """What is due to a destination, of those roles, and is written in another SOP class than that."""
    differs = (results.c.role.in_(roles), results.c.sop_class_uid != sop_class_uid)
    due = select(deliveries).join(results, results.c.id == deliveries.c.result_id)
    return _with_objects(connection, due.where(*_due(destination, now), *differs))


def anything_due(connection: Transaction, destination: str, now: float, roles: Collection[ResultRole]) -> bool:
    """Whether something of those roles is due to a destination."""
    due = select(deliveries.c.id).join(results, results.c.id == deliveries.c.result_id)
    found = due.where(*_due(destination, now), results.c.role.in_(roles)).limit(1)
    return connection.execute(found).first() is not None


def tries_of_due(connection: Transaction, destination: str, now: float) -> list[int]:
    """How often what is due to a destination was tried: each number that occurs, the highest first."""
    numbers = select(deliveries.c.tries).where(*_due(destination, now)).distinct()
    return sorted(connection.execute(numbers).scalars(), reverse=True)


def postpone_due(
    connection: Transaction, destination: str, now: float, *, tries: int, due_at: float, error: str
) -> int:
    """Count a failed try for all that is due to a destination and was tried so often; how many objects."""
    failed = _failed_try(now, tries, error) | {"due_at": due_at}
    return _write_due(connection, destination, now, tries, failed)


def give_up_due(
    connection: Transaction, destination: str, now: float, *, tries: int, tried_before: float, error: str
) -> int:
    """Give up what is due to a destination, was tried so often, and first before ``tried_before``; how many objects."""
    failed = _failed_try(now, tries, error) | {"state": DeliveryState.FAILED, "settled_at": now}
    first = func.coalesce(deliveries.c.first_tried_at, now)
    return _write_due(connection, destination, now, tries, failed, first < tried_before)


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
    return _with_objects(connection, recalled.order_by(deliveries.c.id))


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
    return _with_objects(connection, asked)


def update_delivery(connection: Transaction, before: Delivery, after: Delivery) -> None:
    """Write what differs."""
    connection.execute(update(deliveries).where(deliveries.c.id == before.id).values(changes(before, after)))


def unask_failed(connection: Transaction, job_id: int) -> int:
    """Let the destinations be asked anew to commit to whatever of a job they did not; how many objects."""
    failed = (deliveries.c.job_id == job_id, deliveries.c.commitment == CommitmentState.FAILED)
    return connection.execute(update(deliveries).where(*failed).values(_UNASKED)).rowcount


def _due(destination: str, now: float) -> tuple[ColumnElement[bool], ...]:
    """What is found by the index of what is to be sent."""
    waits = deliveries.c.state == DeliveryState.WAITING
    return deliveries.c.destination == destination, waits, deliveries.c.due_at <= now


def _failed_try(now: float, tries: int, error: str) -> dict[str, Any]:
    first = func.coalesce(deliveries.c.first_tried_at, now)
    return {"tries": tries + 1, "first_tried_at": first, "status": None, "error": error}


def _write_due(
    connection: Transaction,
    destination: str,
    now: float,
    tries: int,
    values: dict[str, Any],
    *also: ColumnElement[bool],
) -> int:
    own = (*_due(destination, now), deliveries.c.tries == tries, *also)
    return connection.execute(update(deliveries).where(*own).values(values)).rowcount


def _with_objects(connection: Transaction, wanted: Select[Any]) -> list[Due]:
    """Deliveries with their objects, found by a statement and not by a list of numbers: of those SQLite takes few."""
    read = fetch(connection, Delivery, wanted)
    numbers = wanted.with_only_columns(deliveries.c.result_id).order_by(None)
    found = fetch(connection, RecordedObject, select(results).where(results.c.id.in_(numbers)))
    objects = {result.id: result for result in found}
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
