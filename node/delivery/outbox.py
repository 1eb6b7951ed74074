"""What is to be sent where: one row for each result object and destination, each with its own tries.

Nothing here is shared between destinations, so each can have its thread and none waits for another.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from random import random

import structlog

from survnode.node import errors
from survnode.node.contexts import Answer
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import Outgoing, SendOutcome, send
from survnode.node.retry import TryAgain, decide
from survnode.node.roles import ResultRole
from survnode.node.state import delivery_rows, result_rows
from survnode.node.state.database import Database
from survnode.node.state.delivery_rows import Due
from survnode.node.state.records import Delivery, DeliveryState

log = structlog.get_logger()

Send = Callable[[Destination, Sequence[Outgoing]], Iterable[SendOutcome]]

RETRYABLE = (DeliveryState.REFUSED, DeliveryState.FAILED, DeliveryState.WAITING)
JOBS_AT_ONCE = 20  # whose objects are read together
MAX_DOUBTS = 4  # with the delays of a destination's retries: over a bit more than a minute


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
        for batch in self._due_batches(destination.name):
            try:
                stored += self._deliver(destination, batch, send)
            except errors.DeliveryFailed as error:
                log.warning("delivery.impossible", destination=destination.name, error=str(error))
                self._all_failed(destination, str(error))
                break
        return stored

    def retry(self, delivery_id: int) -> None:
        """Let a delivery that was refused or given up, or that waits for its next try, be tried at once.

        It begins with a clean slate.

        Raises
        ------
        RecordNotFound, NotRetryable
        """
        with self.database.transaction() as connection:
            delivery = delivery_rows.find_delivery(connection, delivery_id)
            if delivery is None:
                raise errors.RecordNotFound(f"There is no delivery {delivery_id}.")
            if delivery.state not in RETRYABLE:
                raise errors.NotRetryable(f"Delivery {delivery_id} is {delivery.state}: {delivery.state.sentence}")
            if delivery.state is DeliveryState.WAITING:  # perhaps it is being sent: what comes of that still counts
                delivery_rows.update_waiting(connection, delivery, replace(delivery, due_at=self.clock()))
            else:
                delivery_rows.start_anew(connection, delivery_id, self.clock())

    def resend(self, job_id: int, destination: str, roles: Collection[ResultRole]) -> int:
        """Send a job's objects of those roles to a destination, whether or not they were sent before; how many."""
        with self.database.transaction() as connection:
            originals = result_rows.originals_of(connection, job_id, roles)
            for result in originals:
                delivery_rows.deliver_again(connection, result.id, job_id, destination, self.clock())
        return len(originals)

    def counts(self) -> dict[str, dict[DeliveryState, int]]:
        """The number of deliveries in each state, for each destination that ever had one."""
        with self.database.reading() as connection:
            return delivery_rows.count_deliveries(connection)

    def _deliver(self, destination: Destination, batch: Sequence[Due], send: Send) -> int:
        """Send one batch; the number of objects that were stored."""
        offered = self._offer(batch)
        try:
            return self._send(destination, offered, send)
        except errors.DeliveryFailed:
            for item in offered:
                self._write(item.delivery, item.delivery)
            raise

    def _send(self, destination: Destination, batch: Sequence[Due], send: Send) -> int:
        outgoing_files = [
            Outgoing(item.result.sop_class_uid, item.result.sop_instance_uid, self.folder / item.result.path)
            for item in batch
        ]
        outcomes = iter(send(destination, outgoing_files))
        stored = 0
        next_due: float | None = None
        for item in batch:
            outcome = _next_of(outcomes)
            if outcome is None:  # the destination cannot take more now: the others wait with the one it did not take
                self._write(item.delivery, replace(item.delivery, due_at=next_due or self.clock()))
                continue
            next_due = self._record(destination, item.delivery, outcome, self.random())
            stored += outcome.answer is Answer.STORED
        return stored

    def _offer(self, batch: Sequence[Due]) -> list[Due]:
        """What of a batch still waits; each is marked, so that a withdrawal meanwhile knows that it may arrive."""
        now = self.clock()
        with self.database.transaction() as connection:
            return [
                item
                for item in batch
                if delivery_rows.update_waiting(connection, item.delivery, _perhaps_there(item.delivery, now))
            ]

    def _record(
        self, destination: Destination, delivery: Delivery, outcome: SendOutcome, random: float
    ) -> float | None:
        """Write what became of one object; when it is due again, if it is."""
        after = _after(destination, delivery, outcome, self.clock(), random)
        self._write(delivery, after)
        _log_outcome(after, outcome.detail)
        return after.due_at if after.state is DeliveryState.WAITING else None

    def _due_batches(self, destination: str) -> Iterator[list[Due]]:
        """What is due to a destination, see `in_order`; a few jobs are read at a time, however many wait."""
        now, last = self.clock(), 0
        while True:
            with self.database.reading() as connection:
                jobs = delivery_rows.due_jobs(connection, destination, now, after=last, limit=JOBS_AT_ONCE)
                due = delivery_rows.due_deliveries(connection, destination, now, jobs)
            if not jobs:
                return
            yield from in_order(due)
            last = jobs[-1]

    def _all_failed(self, destination: Destination, error: str) -> None:
        """Count a failed try for all that was due: what cannot be reached is the destination, not an object.

        All wait for the same time, so that the objects of a job stay together and in their order. What was tried as
        often is written at once: of 48,000 that wait, each try had written one by one for half a minute.
        """
        name, now, random = destination.name, self.clock(), self.random()
        given_up = postponed = 0
        with self.database.transaction() as connection:
            for tries in delivery_rows.tries_of_due(connection, name, now):
                limit = destination.retry.gives_up_before(tries + 1, now, random)
                due_at = now + destination.retry.delay_s(tries + 1, random)
                given_up += delivery_rows.give_up_due(
                    connection, name, now, tries=tries, tried_before=limit, error=error
                )
                postponed += delivery_rows.postpone_due(connection, name, now, tries=tries, due_at=due_at, error=error)
        log.info("delivery.postponed", destination=name, objects=postponed, detail=error)
        if given_up:
            log.error("delivery.given_up", destination=name, objects=given_up, detail=error)

    def _write(self, before: Delivery, after: Delivery) -> None:
        """Write to a delivery unless somebody else did since it was read.

        One that was recalled meanwhile learns whether it may have arrived.
        """
        with self.database.transaction() as connection:
            if not delivery_rows.update_waiting(connection, before, after):
                delivery_rows.update_recalled(connection, after)


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


def _after(destination: Destination, delivery: Delivery, outcome: SendOutcome, now: float, random: float) -> Delivery:
    """The delivery after a try."""
    tried = replace(
        delivery,
        tries=delivery.tries + 1,
        first_tried_at=delivery.first_tried_at or now,
        status=outcome.status,
        error="" if outcome.answer is Answer.STORED else outcome.detail,
    )
    if outcome.perhaps_there:
        tried = _perhaps_there(tried, now)
    match outcome.answer:
        case Answer.STORED:
            return replace(_perhaps_there(tried, now), state=DeliveryState.SENT, settled_at=now)
        case Answer.REFUSED:
            return replace(tried, state=DeliveryState.REFUSED, settled_at=now)
        case Answer.DOUBTFUL:
            return _after_doubt(destination, tried, now, random)
        case Answer.TRY_AGAIN:
            return _next_try(destination, tried, now, random)


def _next_try(destination: Destination, tried: Delivery, now: float, random: float) -> Delivery:
    elapsed = now - (tried.first_tried_at or now)
    decision = decide(destination.retry, tries=tried.tries, elapsed_s=elapsed, random=random)
    if isinstance(decision, TryAgain):
        return replace(tried, due_at=now + decision.delay_s)
    return replace(tried, state=DeliveryState.FAILED, settled_at=now)


def _after_doubt(destination: Destination, tried: Delivery, now: float, random: float) -> Delivery:
    """The object alone is tried again, a few times."""
    doubts = tried.doubts + 1
    if doubts >= MAX_DOUBTS:
        return replace(tried, doubts=doubts, state=DeliveryState.REFUSED, settled_at=now)
    return replace(tried, doubts=doubts, due_at=now + destination.retry.delay_s(doubts, random))


def _perhaps_there(delivery: Delivery, now: float) -> Delivery:
    return replace(delivery, perhaps_there_since=delivery.perhaps_there_since or now)


def _log_outcome(after: Delivery, detail: str) -> None:
    context = {"destination": after.destination, "job": after.job_id, "delivery": after.id}
    status = None if after.status is None else f"0x{after.status:04X}"
    # An Error Comment is the destination's, and may name the patient.
    own_words = detail if after.status is None else None
    match after.state:
        case DeliveryState.SENT if after.status:
            log.warning("delivery.stored_with_warning", status=status, **context)
        case DeliveryState.SENT:
            log.info("delivery.stored", **context)
        case DeliveryState.REFUSED:
            log.error("delivery.refused", status=status, detail=own_words, **context)
        case DeliveryState.FAILED:
            log.error("delivery.given_up", status=status, detail=own_words, **context)
        case _:
            log.info("delivery.postponed", status=status, detail=own_words, **context)
