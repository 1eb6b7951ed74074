from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import event, select

from survnode.node import errors
from survnode.node.contexts import Answer, meaning_of
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import JOBS_AT_ONCE, Outbox
from survnode.node.delivery.sender import Outgoing, SendOutcome
from survnode.node.retry import RetryPolicy
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Delivery, DeliveryState, Job
from survnode.node.state.tables import deliveries

from ..state.conftest import plans

FinishJob = Callable[..., Job]

PACS = Destination("pacs", "PACS", "127.0.0.1", 104, retry=RetryPolicy(first_delay_s=10, jitter=0, max_elapsed_s=100))
IN_ORDER = ["report.dcm", "capture-1.dcm", "capture-2.dcm", "key-objects.dcm", "curve.dcm"]


class FakePeer:
    """Answers each object with the next of ``statuses``, the last for ever; stops as the sender does."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses or [0x0000])
        self.seen: list[str] = []

    def send(self, _destination: Destination, objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        for item in objects:
            self.seen.append(item.path.name)
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            outcome = SendOutcome(meaning_of(status), status, "a detail")
            yield outcome
            if outcome.answer is Answer.TRY_AGAIN:
                return


@pytest.fixture
def times() -> list[float]:
    return [10.0]


@pytest.fixture
def outbox(database: Database, tmp_path: Path, times: list[float]) -> Outbox:
    return Outbox(database, tmp_path, clock=lambda: times[-1], random=lambda: 0.0)


def rows(database: Database, *states: DeliveryState) -> list[Delivery]:
    statement = select(deliveries).where(deliveries.c.state.in_(states or tuple(DeliveryState)))
    with database.reading() as connection:
        return fetch(connection, Delivery, statement.order_by(deliveries.c.id))


def test_objects_go_out_by_job_and_in_reading_order(outbox: Outbox, finish_job: FinishJob) -> None:
    finish_job("1.1", "pacs"), finish_job("1.2", "pacs")
    peer = FakePeer()
    assert outbox.deliver_due(PACS, peer.send) == 10
    assert peer.seen == IN_ORDER * 2
    assert outbox.deliver_due(PACS, peer.send) == 0
    assert outbox.counts()["pacs"][DeliveryState.SENT] == 10


def test_a_warning_counts_as_stored_and_its_status_is_kept(
    outbox: Outbox, database: Database, finish_job: FinishJob
) -> None:
    finish_job("1.1", "pacs")
    outbox.deliver_due(PACS, FakePeer(0xB000).send)
    assert {(row.state, row.status) for row in rows(database)} == {(DeliveryState.SENT, 0xB000)}


def test_a_refusal_is_seen_and_does_not_stop_the_others(
    outbox: Outbox, database: Database, finish_job: FinishJob, times: list[float]
) -> None:
    finish_job("1.1", "pacs")
    outbox.deliver_due(PACS, FakePeer(0xA900, 0x0000).send)
    (refused,) = rows(database, DeliveryState.REFUSED)
    assert (refused.status, refused.error, refused.settled_at) == (0xA900, "a detail", 10.0)
    assert len(rows(database, DeliveryState.SENT)) == 4
    times.append(1e6)
    peer = FakePeer()
    assert outbox.deliver_due(PACS, peer.send) == 0
    outbox.retry(refused.id)
    assert outbox.deliver_due(PACS, peer.send) == 1
    assert peer.seen == ["report.dcm"]


@pytest.mark.parametrize("status", [0xA700, None])
def test_a_destination_that_cannot_take_more_is_asked_again_later(
    outbox: Outbox, database: Database, finish_job: FinishJob, times: list[float], status: int | None
) -> None:
    finish_job("1.1", "pacs")
    peer = FakePeer(0x0000, status, 0x0000)
    assert outbox.deliver_due(PACS, peer.send) == 1
    assert peer.seen == IN_ORDER[:2]
    assert {row.due_at for row in rows(database, DeliveryState.WAITING)} == {20.0}
    assert sorted(row.tries for row in rows(database, DeliveryState.WAITING)) == [0, 0, 0, 1]
    assert outbox.deliver_due(PACS, peer.send) == 0
    times.append(20.0)
    assert outbox.deliver_due(PACS, peer.send) == 4
    assert peer.seen == [*IN_ORDER[:2], *IN_ORDER[2:], IN_ORDER[1]]  # what failed comes after what did not


def test_an_object_that_breaks_the_sender_does_not_keep_the_others(
    outbox: Outbox, database: Database, finish_job: FinishJob, times: list[float]
) -> None:
    def send(_destination: Destination, objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        for item in objects:
            if item.path.name == "report.dcm":
                raise ZeroDivisionError
            yield SendOutcome(Answer.STORED, 0x0000)

    finish_job("1.1", "pacs")
    for now in range(10, 200, 10):
        times.append(float(now))
        outbox.deliver_due(PACS, send)
    assert len(rows(database, DeliveryState.SENT)) == 4
    (failed,) = rows(database, DeliveryState.FAILED)
    assert "ZeroDivisionError" in failed.error


def test_a_destination_that_is_down_waits_longer_each_time_and_is_then_left_to_a_person(
    outbox: Outbox, database: Database, finish_job: FinishJob, times: list[float]
) -> None:
    calls = []

    def send(_destination: Destination, _objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        calls.append(times[-1])
        raise errors.DestinationUnreachable("pacs cannot be reached.")

    finish_job("1.1", "pacs"), finish_job("1.2", "pacs")
    for now in range(10, 200):
        times.append(float(now))
        outbox.deliver_due(PACS, send)
    assert calls == [10.0, 20.0, 40.0, 80.0]  # the next would be 150 s after the first: later than 100 s
    assert {(row.state, row.error) for row in rows(database)} == {(DeliveryState.FAILED, "pacs cannot be reached.")}
    assert outbox.counts()["pacs"][DeliveryState.FAILED] == 10


def test_a_try_at_a_dead_destination_takes_as_many_statements_however_much_waits(
    outbox: Outbox, database: Database, finish_job: FinishJob, times: list[float]
) -> None:
    """And none of them has a variable an object, of which SQLite takes 32,766 at most, or looks through all of them."""

    def down(_destination: Destination, _objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        raise errors.DestinationUnreachable("pacs cannot be reached.")

    def deliver() -> list[int]:
        variables: list[int] = []

        def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
            variables.append(statement.count("?"))

        event.listen(database._engine, "before_cursor_execute", note)
        with plans(database) as steps:
            assert outbox.deliver_due(PACS, down) == 0
        event.remove(database._engine, "before_cursor_execute", note)
        assert [step for step in steps if step.startswith("SCAN") and "deliveries" in step] == []
        return variables

    for number in range(5):
        finish_job(f"1.{number}", "pacs")
    few = deliver()
    for number in range(5, 60):
        finish_job(f"1.{number}", "pacs")
    times.append(20.0)
    many = deliver()
    assert len(many) <= len(few) + 4  # of the second time: they were tried once, and never
    assert max(many) < 3 * JOBS_AT_ONCE
    assert {(row.tries, row.due_at) for row in rows(database)} == {(2, 40.0), (1, 30.0)}


def test_many_jobs_go_out_in_their_order(outbox: Outbox, finish_job: FinishJob) -> None:
    for number in range(JOBS_AT_ONCE + 5):
        finish_job(f"1.{number}", "pacs")
    peer = FakePeer()
    assert outbox.deliver_due(PACS, peer.send) == 5 * (JOBS_AT_ONCE + 5)
    assert peer.seen == IN_ORDER * (JOBS_AT_ONCE + 5)


def test_what_waited_goes_out_when_the_destination_is_back(
    outbox: Outbox, finish_job: FinishJob, times: list[float]
) -> None:
    def down(_destination: Destination, _objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        raise errors.DestinationUnreachable("pacs cannot be reached.")

    finish_job("1.1", "pacs")
    assert outbox.deliver_due(PACS, down) == 0
    times.append(20.0)
    peer = FakePeer()
    assert outbox.deliver_due(PACS, peer.send) == 5
    assert peer.seen == IN_ORDER


def test_one_destination_does_not_hold_up_another(outbox: Outbox, finish_job: FinishJob) -> None:
    hanging, release = Event(), Event()

    def hang(_destination: Destination, objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        hanging.set()
        assert release.wait(20)
        yield from (SendOutcome(Answer.STORED, 0x0000) for _ in objects)

    finish_job("1.1", "pacs", "archive")
    thread = Thread(target=outbox.deliver_due, args=(PACS, hang))
    thread.start()
    assert hanging.wait(20)
    assert outbox.deliver_due(replace(PACS, name="archive"), FakePeer().send) == 5
    release.set()
    thread.join(20)
    assert {name: counts[DeliveryState.SENT] for name, counts in outbox.counts().items()} == {"pacs": 5, "archive": 5}


def test_outcomes_are_recorded_as_they_come(outbox: Outbox, database: Database, finish_job: FinishJob) -> None:
    class Killed(BaseException):
        pass

    def send(_destination: Destination, _objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        yield SendOutcome(Answer.STORED, 0x0000)
        raise Killed

    finish_job("1.1", "pacs")
    with pytest.raises(Killed):
        outbox.deliver_due(PACS, send)
    assert len(rows(database, DeliveryState.SENT)) == 1
    assert len(rows(database, DeliveryState.WAITING)) == 4


def test_a_job_can_be_sent_again_and_elsewhere(outbox: Outbox, finish_job: FinishJob) -> None:
    job = finish_job("1.1", "pacs")
    outbox.deliver_due(PACS, FakePeer().send)
    assert outbox.resend(job.id, "pacs", tuple(ResultRole)) == 5
    assert outbox.resend(job.id, "archive", tuple(ResultRole)) == 5
    again, elsewhere = FakePeer(), FakePeer()
    assert outbox.deliver_due(PACS, again.send) == 5
    assert outbox.deliver_due(replace(PACS, name="archive"), elsewhere.send) == 5
    assert again.seen == elsewhere.seen == IN_ORDER


def test_only_the_roles_that_a_destination_takes_are_sent_again(outbox: Outbox, finish_job: FinishJob) -> None:
    job = finish_job("1.1", "pacs")
    outbox.deliver_due(PACS, FakePeer().send)
    assert outbox.resend(job.id, "pacs", [ResultRole.REPORT, ResultRole.CURVE, ResultRole.PDF]) == 2
    assert outbox.deliver_due(PACS, FakePeer().send) == 2


def test_a_retry_hastens_what_waits(
    outbox: Outbox, database: Database, finish_job: FinishJob, times: list[float]
) -> None:
    finish_job("1.1", "pacs")
    outbox.deliver_due(PACS, FakePeer(0xA700).send)
    times.append(11.0)
    assert outbox.deliver_due(PACS, FakePeer().send) == 0
    for row in rows(database):
        outbox.retry(row.id)
    assert outbox.deliver_due(PACS, FakePeer().send) == 5


def test_a_retry_while_it_is_sent_does_not_send_it_twice(
    outbox: Outbox, database: Database, finish_job: FinishJob
) -> None:
    def send(_: Destination, objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        for row in rows(database, DeliveryState.WAITING):
            outbox.retry(row.id)
        yield from (SendOutcome(Answer.STORED, 0) for _ in objects)

    finish_job("1.1", "pacs")
    assert outbox.deliver_due(PACS, send) == 5
    assert len(rows(database, DeliveryState.SENT)) == 5


@pytest.mark.parametrize("status", [0x0110, 0xC000, 0xC211])
def test_a_failure_that_may_pass_is_tried_a_few_times_while_the_others_go_on(
    outbox: Outbox, database: Database, finish_job: FinishJob, times: list[float], status: int
) -> None:
    finish_job("1.1", "pacs")
    peer = FakePeer(0x0000, status, 0x0000)
    assert outbox.deliver_due(PACS, peer.send) == 4
    (waiting,) = rows(database, DeliveryState.WAITING)
    assert (waiting.due_at, waiting.status) == (20.0, status)
    refusing = FakePeer(status)
    for now in range(11, 200):
        times.append(float(now))
        outbox.deliver_due(PACS, refusing.send)
    assert refusing.seen == ["capture-1.dcm"] * 3
    (refused,) = rows(database, DeliveryState.REFUSED)
    assert (refused.tries, refused.settled_at) == (4, 80.0)
    outbox.retry(refused.id)
    assert outbox.deliver_due(PACS, FakePeer(status).send) == 0
    assert rows(database, DeliveryState.REFUSED) == []  # a person's retry begins anew


def test_tries_at_a_destination_that_is_down_are_no_doubts(
    outbox: Outbox, database: Database, finish_job: FinishJob, times: list[float]
) -> None:
    finish_job("1.1", "pacs")
    for now in (10.0, 20.0, 40.0):
        times.append(now)
        outbox.deliver_due(PACS, FakePeer(None).send)
    times.append(80.0)
    outbox.deliver_due(PACS, FakePeer(0xC000, 0x0000).send)
    assert rows(database, DeliveryState.REFUSED) == []


def test_an_object_of_a_class_that_is_not_taken_keeps_no_other_job(
    outbox: Outbox, database: Database, finish_job: FinishJob
) -> None:
    def send(_: Destination, objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        if {item.path.parent.name for item in objects} == {"1"}:
            yield from (SendOutcome(Answer.REFUSED, None, "It accepts no such class.") for _ in objects)
        else:
            yield from (SendOutcome(Answer.STORED, 0) for _ in objects)

    finish_job("1.1", "pacs"), finish_job("1.2", "pacs")
    assert outbox.deliver_due(PACS, send) == 5
    assert {row.job_id for row in rows(database, DeliveryState.REFUSED)} == {1}
    assert {row.perhaps_there_since for row in rows(database, DeliveryState.REFUSED)} == {None}


def test_what_was_sent_is_not_retried(outbox: Outbox, finish_job: FinishJob) -> None:
    finish_job("1.1", "pacs")
    outbox.deliver_due(PACS, FakePeer().send)
    with pytest.raises(errors.NotRetryable, match="SENT"):
        outbox.retry(1)
    with pytest.raises(errors.RecordNotFound, match="delivery 77"):
        outbox.retry(77)
