from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import select

from survnode.node import errors
from survnode.node.contexts import Answer, meaning_of, result_contexts
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.sender import Outgoing, SendOutcome
from survnode.node.delivery.withdrawal import Withdrawals, Withdrawn
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.results.identity import Layout
from survnode.node.results.inspection.content import references
from survnode.node.roles import ResultRole
from survnode.node.state import delivery_rows, result_rows
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Delivery, DeliveryState, Job, RecordedObject
from survnode.node.state.reissuing import FinishedJob
from survnode.node.state.tables import deliveries, results

from ..commands.test_send import write

PACS = Destination("pacs", "PACS", "127.0.0.1", 104)


@pytest.fixture
def job(finish_job: Callable[..., Job], database: Database, tmp_path: Path) -> FinishedJob:
    """One whose five files are on disk."""
    job = finish_job("1.1", "pacs")
    with database.reading() as connection:
        for result in result_rows.originals_of(connection, job.id, tuple(ResultRole)):
            write(tmp_path / result.path, "1.1", result)
    return FinishedJob(job.id, job.study_instance_uid, job.version)


@pytest.fixture
def times() -> list[float]:
    return [10.0]


@pytest.fixture
def outbox(database: Database, tmp_path: Path, times: list[float]) -> Outbox:
    return Outbox(database, tmp_path, clock=lambda: times[-1], random=lambda: 0.0)


@pytest.fixture
def withdrawals(database: Database, tmp_path: Path, times: list[float]) -> Withdrawals:
    return Withdrawals(database, tmp_path, Layout(), clock=lambda: times[-1])


def states(database: Database) -> list[DeliveryState]:
    with database.reading() as connection:
        rows = fetch(connection, Delivery, select(deliveries).order_by(deliveries.c.id))
    return [row.state for row in rows]


def noted(database: Database, folder: Path) -> set[str]:
    """The SOP Instance UIDs that notes cover."""
    with database.reading() as connection:
        notes = fetch(connection, RecordedObject, select(results).where(results.c.role == ResultRole.WITHDRAWAL))
    return {it.sop_instance_uid for note in notes for it in references(dcmread(folder / note.path))}


def answering(statuses: Sequence[int | None], act: Callable[[], object]) -> Callable[..., Iterator[SendOutcome]]:
    """Answers with the statuses; while the first object is on its way, ``act`` happens."""

    def send(_: Destination, objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        act()
        for _item, status in zip(objects, statuses, strict=False):
            yield SendOutcome(meaning_of(status), status, perhaps_there=status is None)

    return send


def test_what_is_withdrawn_on_its_way_gets_a_note_when_it_has_arrived(
    withdrawals: Withdrawals, outbox: Outbox, job: FinishedJob, database: Database, tmp_path: Path
) -> None:
    """Over a real association: the PACS withdraws while it has the second of five objects in its hands."""
    answers: list[Withdrawn] = []
    received: list[str] = []

    def keep(item: Received) -> None:
        received.append(item.sop_instance_uid)
        if len(received) == 2:
            answers.append(withdrawals.withdraw(job, "pacs"))

    receiver = Receiver(Listening("PACS", port=0), result_contexts(), keep)
    receiver.start()
    try:
        destination = Destination("pacs", "PACS", "127.0.0.1", receiver.port)
        outbox.deliver_due(destination)
        assert answers == [Withdrawn(objects=1, recalled=4)]
        before = noted(database, tmp_path)
        assert before == {received[0]}
        assert withdrawals.settle("pacs") == 4
        outbox.deliver_due(destination)
    finally:
        receiver.stop(drain_s=1)
    assert noted(database, tmp_path) == set(received[:5])
    assert len(received) == 7  # five objects and two notes
    assert set(states(database)) == {DeliveryState.SENT}
    assert withdrawals.settle("pacs") == 0


def test_what_did_not_arrive_gets_no_note(
    withdrawals: Withdrawals, outbox: Outbox, job: FinishedJob, database: Database, tmp_path: Path
) -> None:
    outbox.deliver_due(
        PACS,
        answering([0xA900] * 5, lambda: withdrawals.withdraw(job, "pacs")),
    )
    assert withdrawals.settle("pacs") == 0
    assert set(states(database)) == {DeliveryState.WITHDRAWN}
    assert noted(database, tmp_path) == set()


def test_what_got_no_answer_is_covered_and_what_was_not_tried_is_not(
    withdrawals: Withdrawals, outbox: Outbox, job: FinishedJob, database: Database, tmp_path: Path
) -> None:
    outbox.deliver_due(PACS, answering([None], lambda: None))
    assert withdrawals.withdraw(job, "pacs") == Withdrawn(recalled=1)
    assert withdrawals.settle("pacs") == 1
    assert noted(database, tmp_path) == {"9.1.1"}
    assert sorted(states(database)) == [DeliveryState.WAITING, *[DeliveryState.WITHDRAWN] * 5]


def test_a_destination_that_could_not_be_reached_has_nothing(
    withdrawals: Withdrawals, outbox: Outbox, job: FinishedJob, database: Database
) -> None:
    def down(_: Destination, _objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        raise errors.DestinationUnreachable("down")

    outbox.deliver_due(PACS, down)
    assert withdrawals.withdraw(job, "pacs") == Withdrawn()
    assert set(states(database)) == {DeliveryState.WITHDRAWN}


def test_what_arrived_before_it_was_sent_again_is_covered(
    withdrawals: Withdrawals, outbox: Outbox, job: FinishedJob, database: Database, tmp_path: Path
) -> None:
    outbox.deliver_due(PACS, answering([0] * 5, lambda: None))
    outbox.resend(job.id, "pacs", tuple(ResultRole))
    assert withdrawals.withdraw(job, "pacs") == Withdrawn(recalled=5)
    assert withdrawals.settle("pacs") == 5
    assert noted(database, tmp_path) == {f"9.1.{number}" for number in range(1, 6)}


def test_a_node_that_died_while_sending_covers_what_may_have_arrived(
    withdrawals: Withdrawals, outbox: Outbox, job: FinishedJob, database: Database, tmp_path: Path
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outbox.deliver_due(PACS, answering([], die))
    assert withdrawals.withdraw(job, "pacs") == Withdrawn(recalled=5)
    withdrawals.settle("pacs")
    assert len(noted(database, tmp_path)) == 5


def test_without_a_report_a_person_is_told_that_there_is_no_note(
    withdrawals: Withdrawals, outbox: Outbox, job: FinishedJob, database: Database, tmp_path: Path
) -> None:
    outbox.deliver_due(PACS, answering([None], lambda: None))
    withdrawals.withdraw(job, "pacs")
    (tmp_path / "1" / "report.dcm").unlink()
    withdrawals.settle("pacs")
    with database.reading() as connection:
        rows = fetch(connection, Delivery, select(deliveries).where(deliveries.c.error != ""))
        assert delivery_rows.recalled_deliveries(connection, "pacs") == []
    assert [(row.state, "no note" in row.error) for row in rows] == [(DeliveryState.WITHDRAWN, True)]
    assert Answer.STORED not in {meaning_of(row.status) for row in rows}
