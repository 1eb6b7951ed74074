"""Storage commitment as SCU (PS3.4 J): a destination is asked to keep what it stored, and its answer is recorded.

The answer may come minutes or days later, in an association of its own to the receiver: the rows are all that request
and answer have in common. An answer that says no, and one that does not come, are followed by another request.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import random
from uuid import uuid4

import structlog
from pydicom import Dataset

from survnode.node import errors
from survnode.node.contexts import EventStatus
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import OnCommitment, request_commitment
from survnode.node.retry import GiveUp, RetryPolicy, TryAgain, decide
from survnode.node.state import delivery_rows
from survnode.node.state.database import Database, Transaction
from survnode.node.state.records import CommitmentState, Delivery
from survnode.node.state.result_rows import results_by_id

log = structlog.get_logger()

ALL_COMMITTED, SOME_FAILED = 1, 2  # event types (PS3.4 J.3.3.1)
MAX_OBJECTS = 500  # of one request; the others follow in the next
REASONS = {  # of failure (PS3.3 C.14.1.1)
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "class-instance conflict",
    0x0122: "SOP class not supported",
    0x0131: "duplicate transaction UID",
    0x0213: "resource limitation",
}

Ask = Callable[[Destination, str, Sequence[tuple[str, str]], OnCommitment], None]


@dataclass(frozen=True)
class Commitments:
    """What is asked of the destinations.

    Parameters
    ----------
    clock : seconds since the epoch
    random : in [0, 1), spreads the tries
    """

    database: Database
    clock: Callable[[], float] = time.time
    random: Callable[[], float] = random

    def ask_due(self, destination: Destination, ask: Ask = request_commitment) -> int:
        """Ask for what was sent and is not committed, if it is time; the number of objects that were asked for."""
        if destination.commitment is None:
            return 0
        transaction_uid = f"2.25.{uuid4().int}"
        with self.database.transaction() as connection:  # before the request goes out: the answer may be faster
            asked = [
                delivery
                for delivery in delivery_rows.due_commitments(connection, destination.name, self.clock(), MAX_OBJECTS)
                if self._is_asked(connection, destination.commitment, delivery, transaction_uid)
            ]
            objects = _references(connection, asked)
        if not asked:
            return 0
        fields = {"destination": destination.name, "transaction_uid": transaction_uid, "objects": len(asked)}
        try:
            ask(destination, transaction_uid, objects, self.record)
        except errors.DeliveryFailed as error:
            log.warning("commitment.not_asked", **fields, error=str(error))
            self._not_asked(destination, transaction_uid, str(error), asked[0].commitment_tries + 1)
            return 0
        log.info("commitment.asked", **fields)
        return len(asked)

    def record(self, event_type: int, information: Dataset) -> EventStatus:
        """Record a destination's answer; what it is to be told of that."""
        return record_answer(self.database, event_type, information)

    def retry(self, job_id: int) -> int:
        """Ask again at once for whatever of a job failed; how many."""
        with self.database.transaction() as connection:
            return delivery_rows.unask_failed(connection, job_id)

    def _is_asked(self, connection: Transaction, policy: RetryPolicy, delivery: Delivery, transaction_uid: str) -> bool:
        """Record that a delivery is asked for with this request, or that it was asked for often enough."""
        now = self.clock()
        elapsed = now - (delivery.settled_at or now)
        tries = delivery.commitment_tries + 1
        decision = decide(policy, tries=tries, elapsed_s=elapsed, random=self.random())
        error = _of_last_request(delivery)
        fields = {"delivery": delivery.id, "job": delivery.job_id, "destination": delivery.destination}
        if isinstance(decision, GiveUp) and delivery.commitment_tries:
            log.error("commitment.given_up", **fields, error=error)
            given_up = replace(
                delivery, commitment=CommitmentState.FAILED, commitment_due_at=None, commitment_error=error
            )
            delivery_rows.update_delivery(connection, delivery, given_up)
            return False
        if error:
            log.warning("commitment.asked_again", **fields, tries=tries, error=error)
        delay = decision.delay_s if isinstance(decision, TryAgain) else policy.delay_s(tries)
        asked = replace(
            delivery,
            commitment=CommitmentState.REQUESTED,
            commitment_uid=transaction_uid,
            commitment_tries=tries,
            commitment_due_at=now + delay,
            commitment_error=error,
        )
        delivery_rows.update_delivery(connection, delivery, asked)
        return True

    def _not_asked(self, destination: Destination, transaction_uid: str, error: str, tries: int) -> None:
        """A destination that cannot be asked now is asked as soon as one that could not be sent to."""
        due_at = self.clock() + destination.retry.delay_s(tries, self.random())
        with self.database.transaction() as connection:
            for item in delivery_rows.asked_in(connection, transaction_uid):
                if item.delivery.commitment is CommitmentState.REQUESTED:
                    delivery_rows.update_delivery(connection, item.delivery, _failed(item.delivery, error, due_at))


def record_answer(database: Database, event_type: int, information: Dataset) -> EventStatus:
    """Record what a destination committed to and what not (N-EVENT-REPORT, PS3.4 J.3.3); what it is to be told."""
    transaction_uid = str(information.get("TransactionUID", ""))
    if event_type not in {ALL_COMMITTED, SOME_FAILED}:
        return EventStatus.NO_SUCH_EVENT_TYPE
    if not transaction_uid:
        return EventStatus.INVALID_ARGUMENT
    committed = {str(item.get("ReferencedSOPInstanceUID")) for item in information.get("ReferencedSOPSequence") or []}
    failed = {
        str(item.get("ReferencedSOPInstanceUID")): item.get("FailureReason")
        for item in information.get("FailedSOPSequence") or []
    }
    with database.transaction() as connection:
        asked = delivery_rows.asked_in(connection, transaction_uid)
        for item in asked:
            uid, before = item.result.sop_instance_uid, item.delivery
            kept = uid in committed - failed.keys() or before.commitment is CommitmentState.COMMITTED
            after = _committed(before) if kept else _failed(before, _why(uid, failed), before.commitment_due_at)
            delivery_rows.update_delivery(connection, before, after)
    fields = {"transaction_uid": transaction_uid, "committed": len(committed), "failed": len(failed)}
    if not asked:
        log.warning("commitment.unknown", **fields)  # of an older request; told success, or it would come for ever
    else:
        say = log.warning if failed else log.info
        say("commitment.answered", **fields, destination=asked[0].delivery.destination)
    return EventStatus.SUCCESS


def _committed(delivery: Delivery) -> Delivery:
    return replace(delivery, commitment=CommitmentState.COMMITTED, commitment_due_at=None, commitment_error="")


def _failed(delivery: Delivery, error: str, due_at: float | None) -> Delivery:
    """Not committed to, and asked for again at ``due_at``."""
    return replace(delivery, commitment=CommitmentState.FAILED, commitment_due_at=due_at, commitment_error=error)


def _of_last_request(delivery: Delivery) -> str:
    """What became of the request before, for a person; empty if there was none."""
    if delivery.commitment is CommitmentState.REQUESTED:
        return f"Request {delivery.commitment_tries} was not answered in time."
    return delivery.commitment_error


def _why(sop_instance_uid: str, failed: Mapping[str, int | None]) -> str:
    if sop_instance_uid not in failed:
        return "The destination's answer does not name it."
    reason = failed[sop_instance_uid]
    if reason is None:
        return "The destination gave no reason."
    return f"The destination does not keep it: 0x{reason:04X} {REASONS.get(reason, '')}".rstrip() + "."


def _references(connection: Transaction, asked: Sequence[Delivery]) -> list[tuple[str, str]]:
    objects = results_by_id(connection, {delivery.result_id for delivery in asked})
    results = [objects[delivery.result_id] for delivery in asked]
    return [(result.sop_class_uid, result.sop_instance_uid) for result in results]
