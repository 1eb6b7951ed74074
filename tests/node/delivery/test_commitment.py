from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]  # it is made at import
from sqlalchemy import select

from survnode.node import errors
from survnode.node.commands.retry import retry_job
from survnode.node.contexts import COMMITMENT, COMMITMENT_INSTANCE, Answer, EventStatus, accepted_contexts
from survnode.node.delivery import sender
from survnode.node.delivery.commitment import Commitments, record_answer
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.sender import OnCommitment, SendOutcome
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.retry import RetryPolicy
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import CommitmentState, Delivery, Job
from survnode.node.state.study_summaries import read_job
from survnode.node.state.tables import deliveries

FinishJob = Callable[..., Job]
Reference = tuple[str, str]

PACS = Destination(
    "pacs",
    "PACS",
    "127.0.0.1",
    104,
    retry=RetryPolicy(first_delay_s=10, jitter=0),
    commitment=RetryPolicy(first_delay_s=100, max_delay_s=10_000, jitter=0, max_elapsed_s=1000),
)


class FakePacs:
    """Remembers what it was asked for."""

    def __init__(self, error: errors.DeliveryFailed | None = None) -> None:
        self.error = error
        self.requests: list[tuple[str, list[Reference]]] = []

    def ask(self, _: Destination, transaction: str, objects: Sequence[Reference], _answer: OnCommitment) -> None:
        self.requests.append((transaction, list(objects)))
        if self.error is not None:
            raise self.error


def answer(transaction: str, committed: Sequence[Reference], failed: Sequence[Reference] = ()) -> Dataset:
    information = Dataset()
    information.TransactionUID = transaction
    information.ReferencedSOPSequence = [reference(*item) for item in committed]
    if failed:
        information.FailedSOPSequence = [reference(*item) for item in failed]
        for item in information.FailedSOPSequence:
            item.FailureReason = 0x0112
    return information


def reference(sop_class: str, sop_instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    return item


@pytest.fixture
def times() -> list[float]:
    return [10.0]


@pytest.fixture
def sent(database: Database, tmp_path: Path, finish_job: FinishJob, times: list[float]) -> Job:
    """A job whose five objects the PACS has stored."""
    job = finish_job("1.1", "pacs")
    outbox = Outbox(database, tmp_path, clock=lambda: times[-1])
    assert outbox.deliver_due(PACS, lambda _, objects: [SendOutcome(Answer.STORED, 0) for _ in objects]) == 5
    return job


@pytest.fixture
def commitments(database: Database, times: list[float]) -> Commitments:
    return Commitments(database, clock=lambda: times[-1], random=lambda: 0.0)


def rows(database: Database) -> list[Delivery]:
    with database.reading() as connection:
        return fetch(connection, Delivery, select(deliveries).order_by(deliveries.c.id))


def states(database: Database) -> list[CommitmentState]:
    return [row.commitment for row in rows(database)]


@pytest.mark.usefixtures("sent")
def test_what_was_sent_is_asked_for_once_and_committed_by_the_answer(
    commitments: Commitments, database: Database
) -> None:
    pacs = FakePacs()
    assert commitments.ask_due(PACS, pacs.ask) == 5
    assert commitments.ask_due(PACS, pacs.ask) == 0
    ((transaction, objects),) = pacs.requests
    assert {row.commitment_uid for row in rows(database)} == {transaction}
    assert states(database) == [CommitmentState.REQUESTED] * 5
    assert record_answer(database, 1, answer(transaction, objects)) is EventStatus.SUCCESS
    assert states(database) == [CommitmentState.COMMITTED] * 5
    assert {row.commitment_due_at for row in rows(database)} == {None}


def test_a_destination_that_is_not_to_commit_is_not_asked(
    commitments: Commitments, database: Database, sent: Job
) -> None:
    pacs = FakePacs()
    assert commitments.ask_due(replace(PACS, commitment=None), pacs.ask) == 0
    assert (pacs.requests, states(database)) == ([], [CommitmentState.NONE] * 5)
    assert read_job(database, sent.id).deliveries[0].commitment is CommitmentState.NONE


def test_what_was_not_sent_is_not_asked_for(
    commitments: Commitments, finish_job: FinishJob, database: Database
) -> None:
    finish_job("1.1", "pacs")
    assert commitments.ask_due(PACS, FakePacs().ask) == 0
    assert states(database) == [CommitmentState.NONE] * 5


def test_a_failure_is_seen_and_only_what_failed_is_asked_for_again(
    commitments: Commitments, database: Database, sent: Job, times: list[float]
) -> None:
    pacs = FakePacs()
    commitments.ask_due(PACS, pacs.ask)
    transaction, objects = pacs.requests[0]
    assert record_answer(database, 2, answer(transaction, objects[1:], objects[:1])) is EventStatus.SUCCESS
    assert states(database) == [CommitmentState.FAILED, *[CommitmentState.COMMITTED] * 4]
    (shown,) = [row for row in read_job(database, sent.id).deliveries if row.commitment is CommitmentState.FAILED]
    assert shown.commitment_error == "The destination does not keep it: 0x0112 no such object instance."
    assert commitments.ask_due(PACS, pacs.ask) == 0
    times.append(110.0)
    assert commitments.ask_due(PACS, pacs.ask) == 1
    assert pacs.requests[1][0] != transaction
    assert pacs.requests[1][1] == objects[:1]


def test_an_answer_that_leaves_an_object_out_commits_to_the_others_only(
    commitments: Commitments, database: Database, sent: Job
) -> None:
    pacs = FakePacs()
    commitments.ask_due(PACS, pacs.ask)
    transaction, objects = pacs.requests[0]
    record_answer(database, 1, answer(transaction, objects[1:]))
    assert states(database) == [CommitmentState.FAILED, *[CommitmentState.COMMITTED] * 4]
    assert "does not name it" in read_job(database, sent.id).deliveries[0].commitment_error


def test_silence_is_followed_by_requests_ever_further_apart_and_then_by_a_failure(
    commitments: Commitments, database: Database, sent: Job, times: list[float]
) -> None:
    pacs = FakePacs()
    asked_at = []
    for now in range(10, 1500, 10):
        times.append(float(now))
        if commitments.ask_due(PACS, pacs.ask):
            asked_at.append(now)
    assert asked_at == [10, 110, 310]  # after 100 s and 200 s; the next, 400 s later, would wait beyond 1000 s
    assert states(database) == [CommitmentState.FAILED] * 5
    assert {row.commitment_due_at for row in rows(database)} == {None}
    assert {row.commitment_error for row in rows(database)} == {"Request 3 was not answered in time."}
    retry_job(database, sent.id)
    assert commitments.ask_due(PACS, pacs.ask) == 5


@pytest.mark.usefixtures("sent")
def test_a_late_answer_to_the_newest_request_still_counts(
    commitments: Commitments, database: Database, times: list[float]
) -> None:
    pacs = FakePacs()
    commitments.ask_due(PACS, pacs.ask)
    times.append(109.0)
    record_answer(database, 1, answer(*pacs.requests[0]))
    times.append(5000.0)
    assert commitments.ask_due(PACS, pacs.ask) == 0
    assert record_answer(database, 2, answer(pacs.requests[0][0], [], pacs.requests[0][1])) is EventStatus.SUCCESS
    assert states(database) == [CommitmentState.COMMITTED] * 5


@pytest.mark.usefixtures("sent")
def test_a_destination_that_is_down_is_asked_again_soon(
    commitments: Commitments, database: Database, times: list[float]
) -> None:
    down = FakePacs(errors.DestinationUnreachable("pacs cannot be reached."))
    assert commitments.ask_due(PACS, down.ask) == 0
    assert {(row.commitment, row.commitment_due_at, row.commitment_error) for row in rows(database)} == {
        (CommitmentState.FAILED, 20.0, "pacs cannot be reached.")
    }
    times.append(20.0)
    assert commitments.ask_due(PACS, FakePacs().ask) == 5


def test_what_is_sent_again_is_asked_for_again(
    commitments: Commitments, database: Database, tmp_path: Path, sent: Job, times: list[float]
) -> None:
    pacs = FakePacs()
    commitments.ask_due(PACS, pacs.ask)
    record_answer(database, 1, answer(*pacs.requests[0]))
    Outbox(database, tmp_path, clock=lambda: times[-1]).resend(sent.id, "pacs", tuple(ResultRole))
    assert states(database) == [CommitmentState.NONE] * 5


def test_an_answer_that_nobody_asked_for_changes_nothing(database: Database) -> None:
    assert record_answer(database, 1, answer("2.25.1", [("1.2", "1.3")])) is EventStatus.SUCCESS
    assert record_answer(database, 3, answer("2.25.1", [])) is EventStatus.NO_SUCH_EVENT_TYPE
    assert record_answer(database, 1, Dataset()) is EventStatus.INVALID_ARGUMENT


Answers = list[tuple[int, Dataset]]


@contextmanager
def node(on_commitment: OnCommitment | None) -> Iterator[int]:
    receiver = Receiver(Listening("SURVNODE"), accepted_contexts(), lambda _: None, on_commitment)
    receiver.start()
    try:
        yield receiver.port
    finally:
        receiver.stop(drain_s=1)


def report(port: int, information: Dataset, *, role_selection: bool = True) -> int | None:
    """The status of an N-EVENT-REPORT in an association of the PACS's own; None if the node does not take it."""
    ae = AE("PACS")
    roles: list[Any] = [build_role(StorageCommitmentPushModel, scp_role=True)] if role_selection else []
    contexts = [build_context(StorageCommitmentPushModel)]
    assoc = ae.associate("127.0.0.1", port, contexts, ae_title="SURVNODE", ext_neg=roles)
    if not assoc.is_established:
        return None
    if role_selection:
        assert [(cx.as_scu, cx.as_scp) for cx in assoc.accepted_contexts] == [(False, True)]
    status, _ = assoc.send_n_event_report(information, 1, COMMITMENT, COMMITMENT_INSTANCE)
    assoc.release()
    return int(status.Status)


def test_the_receiver_takes_an_answer_in_an_association_of_its_own() -> None:
    heard: Answers = []

    def hear(event_type: int, information: Dataset) -> EventStatus:
        heard.append((event_type, information))
        return EventStatus.SUCCESS

    with node(hear) as port:
        assert report(port, answer("2.25.1", [("1.2", "1.3")])) == 0x0000
        assert report(port, answer("2.25.2", []), role_selection=False) == 0x0000
    assert [(event_type, information.TransactionUID) for event_type, information in heard] == [
        (1, "2.25.1"),
        (1, "2.25.2"),
    ]


def test_an_answer_that_cannot_be_recorded_is_not_confirmed() -> None:
    def fail(_event_type: int, _information: Dataset) -> EventStatus:
        raise errors.DatabaseBusy("busy")

    with node(fail) as port:
        assert report(port, answer("2.25.1", [])) == 0x0110


def test_without_a_destination_that_commits_no_answer_is_taken() -> None:
    with node(None) as port:
        assert report(port, answer("2.25.1", [])) is None


@contextmanager
def archive(status: int, *, answers_at_once: bool = False) -> Iterator[tuple[Destination, Answers, Event]]:
    """A storage commitment SCP that answers N-ACTION with ``status``; what it was asked for."""
    asked: Answers = []
    confirmed = Event()

    def on_action(event: Any) -> tuple[int, None]:
        asked.append((event.action_type, event.action_information))
        return status, None

    def on_sent(event: Any) -> None:
        if answers_at_once and type(event.message).__name__ == "N_ACTION_RSP":
            objects = [
                (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
                for item in asked[0][1].ReferencedSOPSequence
            ]
            information = answer(asked[0][1].TransactionUID, objects)
            told, _ = event.assoc.send_n_event_report(information, 1, COMMITMENT, COMMITMENT_INSTANCE)
            if told.Status == 0x0000:
                confirmed.set()

    ae = AE("PACS")
    ae.add_supported_context(StorageCommitmentPushModel)
    handlers: list[Any] = [(evt.EVT_N_ACTION, on_action), (evt.EVT_DIMSE_SENT, on_sent)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield replace(PACS, port=server.server_address[1]), asked, confirmed
    finally:
        server.shutdown()


def test_a_request_names_every_object_and_its_transaction() -> None:
    with archive(0x0000) as (destination, asked, _):
        sender.request_commitment(destination, "2.25.1", [("1.2", "1.3"), ("1.2", "1.4")], record_nothing)
    ((action_type, information),) = asked
    assert (action_type, information.TransactionUID) == (1, "2.25.1")
    assert [item.ReferencedSOPInstanceUID for item in information.ReferencedSOPSequence] == ["1.3", "1.4"]


def test_a_request_that_is_not_taken_says_so() -> None:
    with archive(0x0122) as (destination, _, _), pytest.raises(errors.DeliveryFailed, match="status 0x0122"):
        sender.request_commitment(destination, "2.25.1", [("1.2", "1.3")], record_nothing)


@pytest.mark.usefixtures("sent")
def test_an_answer_in_the_same_association_counts(commitments: Commitments, database: Database) -> None:
    with archive(0x0000, answers_at_once=True) as (destination, _, confirmed):
        assert commitments.ask_due(destination) == 5
        assert confirmed.wait(10)
    assert states(database) == [CommitmentState.COMMITTED] * 5


def record_nothing(_event_type: int, _information: Dataset) -> EventStatus:
    return EventStatus.SUCCESS
