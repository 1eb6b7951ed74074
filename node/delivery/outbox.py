"""What is to be sent where: one row for each result object and destination, each with its own tries.

Nothing here is shared between destinations, so each can have its thread and none waits for another.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from random import random
from typing import Any

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.dialects import sqlite

from survnode.node import errors
from survnode.node.contexts import Answer
from survnode.node.delivery.commitment import UNASKED
from survnode.node.delivery.sender import Destination, Outgoing, SendOutcome, send
from survnode.node.retry import TryAgain, decide
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch, fetch_one
from survnode.node.state.records import Delivery, DeliveryState, RecordedObject
from survnode.node.state.tables import deliveries, results

log = structlog.get_logger()

Send = Callable[[Destination, Sequence[Outgoing]], Iterable[SendOutcome]]

RETRYABLE = (DeliveryState.REFUSED, DeliveryState.FAILED)


@dataclass(frozen=True)
class Due:
    """A delivery and its object."""

    delivery: Delivery
    result: RecordedObject


@dataclass(frozen=True)
class Outbox:
    """The deliveries in ``database``.

    Parameters
    ----------
    folder : that the paths of result objects are relative to
    clock : seconds since the epoch
    random : in [0, 1), spreads the tries
    """

    database: Database
    folder: Path
    clock: Callable[[], float] = time.time
    random: Callable[[], float] = random

    def deliver_due(self, destination: Destination, send: Send = send) -> int:
        """Send what is due to one destination, a job after the other; each outcome is recorded as it comes.

        Returns
        -------
        The number of objects that the destination stored.
        """
        stored = 0
        for batch in self.due_batches(destination.name):
            try:
                stored += self._deliver(destination, batch, send)
            except errors.DeliveryFailed as error:
                log.warning("delivery.impossible", destination=destination.name, error=str(error))
                self._all_failed(destination, str(error))
                break
        return stored

    def due_batches(self, destination: str) -> list[list[Due]]:
        """What is due to a destination, see `in_order`."""
        waiting = select(deliveries).where(
            deliveries.c.destination == destination,
            deliveries.c.state == DeliveryState.WAITING,
            deliveries.c.due_at <= self.clock(),
        )
        with self.database.reading() as connection:
            found = fetch(connection, Delivery, waiting)
            wanted = select(results).where(results.c.id.in_({delivery.result_id for delivery in found}))
            objects = {result.id: result for result in fetch(connection, RecordedObject, wanted)}
        return in_order([Due(delivery, objects[delivery.result_id]) for delivery in found])

    def retry(self, delivery_id: int) -> None:
        """Let a delivery that was refused or given up be tried again, with a clean slate.

        Raises
        ------
        RecordNotFound, NotRetryable
        """
        mine = deliveries.c.id == delivery_id
        with self.database.transaction() as connection:
            delivery = fetch_one(connection, Delivery, select(deliveries).where(mine))
            if delivery is None:
                raise errors.RecordNotFound(f"There is no delivery {delivery_id}.")
            if delivery.state not in RETRYABLE:
                raise errors.NotRetryable(f"Delivery {delivery_id} is {delivery.state}: {delivery.state.sentence}")
            connection.execute(update(deliveries).where(mine).values(_waiting(self.clock())))

    def resend(self, job_id: int, destination: str, roles: Collection[ResultRole]) -> int:
        """Send a job's objects of those roles to a destination, whether or not they were sent before; how many."""
        now = self.clock()
        wanted = select(results).where(
            results.c.job_id == job_id, results.c.role.in_(roles), results.c.variant_of.is_(None)
        )
        with self.database.transaction() as connection:
            found = fetch(connection, RecordedObject, wanted)
            for result in found:
                row = {"result_id": result.id, "job_id": job_id, "destination": destination, "created_at": now}
                new = sqlite.insert(deliveries).values(row | _waiting(now))
                again = new.on_conflict_do_update(index_elements=["result_id", "destination"], set_=_waiting(now))
                connection.execute(again)
        return len(found)

    def counts(self) -> dict[str, dict[DeliveryState, int]]:
        """The number of deliveries in each state, for each destination that ever had one."""
        grouped = select(deliveries.c.destination, deliveries.c.state, func.count()).group_by(
            deliveries.c.destination, deliveries.c.state
        )
        with self.database.reading() as connection:
            rows = connection.execute(grouped).all()
        numbers = {destination: dict.fromkeys(DeliveryState, 0) for destination, _, _ in rows}
        for destination, state, number in rows:
            numbers[destination][state] = number
        return numbers

    def _deliver(self, destination: Destination, batch: Sequence[Due], send: Send) -> int:
        """Send one batch; the number of objects that were stored."""
        outgoing = [
            Outgoing(item.result.sop_class_uid, item.result.sop_instance_uid, self.folder / item.result.path)
            for item in batch
        ]
        outcomes = iter(send(destination, outgoing))
        stored = 0
        next_due: float | None = None
        for item in batch:
            outcome = _next_of(outcomes)
            if outcome is None:  # the destination cannot take more now: the others wait with the one it did not take
                self._update(item.delivery, {"due_at": next_due or self.clock()})
                continue
            next_due = self._record(destination, item.delivery, outcome, self.random())
            stored += outcome.answer is Answer.STORED
        return stored

    def _record(
        self, destination: Destination, delivery: Delivery, outcome: SendOutcome, random: float
    ) -> float | None:
        """Write what became of one object; when it is due again, if it is."""
        now = self.clock()
        values: dict[str, Any] = {
            "tries": delivery.tries + 1,
            "first_tried_at": delivery.first_tried_at or now,
            "status": outcome.status,
            "error": "" if outcome.answer is Answer.STORED else outcome.detail,
        }
        match outcome.answer:
            case Answer.STORED:
                values |= {"state": DeliveryState.SENT, "settled_at": now}
            case Answer.REFUSED:
                values |= {"state": DeliveryState.REFUSED, "settled_at": now}
            case Answer.TRY_AGAIN:
                values |= self._next_try(destination, delivery, now, random)
        self._update(delivery, values)
        _log_outcome(destination, delivery, outcome)
        return values.get("due_at")

    def _next_try(self, destination: Destination, delivery: Delivery, now: float, random: float) -> dict[str, Any]:
        elapsed = now - (delivery.first_tried_at or now)
        decision = decide(destination.retry, tries=delivery.tries + 1, elapsed_s=elapsed, random=random)
        if isinstance(decision, TryAgain):
            return {"due_at": now + decision.delay_s}
        return {"state": DeliveryState.FAILED, "settled_at": now}

    def _all_failed(self, destination: Destination, error: str) -> None:
        """Count a failed try for all that was due: what cannot be reached is the destination, not an object.

        All wait for the same time, so that the objects of a job stay together and in their order.
        """
        random = self.random()
        for batch in self.due_batches(destination.name):
            for item in batch:
                self._record(destination, item.delivery, SendOutcome(Answer.TRY_AGAIN, None, error), random)

    def _update(self, delivery: Delivery, values: dict[str, Any]) -> None:
        """Write to a delivery unless somebody else did since it was read."""
        mine = (
            deliveries.c.id == delivery.id,
            deliveries.c.tries == delivery.tries,
            deliveries.c.state == DeliveryState.WAITING,
        )
        with self.database.transaction() as connection:
            connection.execute(update(deliveries).where(*mine).values(values))


def in_order(due: Iterable[Due]) -> list[list[Due]]:
    """The deliveries of one destination by job, oldest first; within a job in the order in which a reader wants them.

    Objects that failed before come after those that did not: one that a destination chokes on does not keep the
    others of its job from it.
    """

    def place(item: Due) -> tuple[int, int, int, int]:
        return item.delivery.job_id, item.delivery.tries, item.result.role.place, item.result.rank

    return [list(batch) for _, batch in groupby(sorted(due, key=place), key=lambda item: item.delivery.job_id)]


def _next_of(outcomes: Iterator[SendOutcome]) -> SendOutcome | None:
    """The outcome of the next object; None if it was not tried."""
    try:
        return next(outcomes, None)
    except errors.DeliveryFailed:
        raise
    except Exception as error:  # noqa: BLE001  the edge of a delivery: the others must not be stopped
        log.error("delivery.broken", trace=errors.trace_of(error))
        return SendOutcome(Answer.TRY_AGAIN, None, f"Sending it failed: {type(error).__name__}.")


def _waiting(now: float) -> dict[str, Any]:
    fresh = {"tries": 0, "first_tried_at": None, "settled_at": None, "status": None, "error": ""}
    return {"state": DeliveryState.WAITING, "due_at": now, **fresh, **UNASKED}


def _log_outcome(destination: Destination, delivery: Delivery, outcome: SendOutcome) -> None:
    fields = {"destination": destination.name, "job": delivery.job_id, "delivery": delivery.id}
    status = None if outcome.status is None else f"0x{outcome.status:04X}"
    match outcome.answer:
        case Answer.STORED if outcome.status:
            log.warning("delivery.stored_with_warning", status=status, **fields)
        case Answer.STORED:
            log.info("delivery.stored", **fields)
        case Answer.REFUSED:
            log.error("delivery.refused", status=status, detail=outcome.detail, **fields)
        case Answer.TRY_AGAIN:
            log.info("delivery.postponed", status=status, detail=outcome.detail, **fields)
