"""A study that is due, a source that holds as much or more of it, and what becomes of the study."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset
from sqlalchemy import select, update

from survnode.node.config import RetrieveMethod
from survnode.node.contexts import accepted_contexts
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.intake.store import Store
from survnode.node.query.reconciliation import MAX_TRIES, Reconciliation, judged_answer, lacking, source_of
from survnode.node.query.source import Source
from survnode.node.state import check_rows
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import (
    Check,
    CheckState,
    Completeness,
    ExpectedSeries,
    InstanceState,
    Job,
    Study,
    StudyState,
)
from survnode.node.state.tables import instances, jobs, studies

from ...integration.nodes import free_port
from .archives import Archive, running, source_at

MakeCT = Callable[..., Dataset]
MakeReceived = Callable[..., Received]
QUIET_S = 60.0
HELD = (ExpectedSeries("1", 3), ExpectedSeries("2", 5))

pytestmark = pytest.mark.usefixtures("three_slices_are_enough")


def open_check(tries: int, received: int) -> Check:
    return Check("s", "archive", 1, CheckState.FETCHING, 0.0, tries, received)


@pytest.mark.parametrize(
    ("received", "before", "expected"),
    [
        ({"1": 3, "2": 5}, None, CheckState.WHOLE),
        ({"1": 3, "2": 6}, None, CheckState.WHOLE),
        ({"1": 3, "2": 4}, None, CheckState.FETCHING),
        ({"1": 3}, open_check(1, 2), CheckState.FETCHING),
        ({"1": 3}, open_check(1, 3), CheckState.INCOMPLETE),  # nothing came of the last try
        ({"1": 3}, open_check(MAX_TRIES, 2), CheckState.INCOMPLETE),
        ({"1": 3, "2": 5}, open_check(MAX_TRIES, 2), CheckState.WHOLE),
    ],
)
def test_what_an_answer_means(received: dict[str, int], before: Check | None, expected: CheckState) -> None:
    assert judged_answer(received, HELD, before, fetches=True) is expected


def test_a_source_that_does_not_fetch_lets_the_study_wait() -> None:
    assert judged_answer({"1": 3}, HELD, None, fetches=False) is CheckState.WAITING
    assert judged_answer({"1": 3}, (), None, fetches=False) is CheckState.UNKNOWN
    assert lacking({"1": 3, "2": 4}, HELD) == ("2",)


def test_the_source_that_sent_a_study_is_asked_else_the_first() -> None:
    study = Study("1", "P", False, 0, 0, 0, 1, StudyState.RECEIVING, calling_ae_title="B")
    assert source_of(study, ["A", "B"]) == 1
    assert source_of(replace(study, calling_ae_title="CT7"), ["A", "B"]) == 0


class Node:
    """Store, receiver and assembly of one node, at a time that the test sets."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.now, self.database = 0.0, database
        self.store = Store(folder, database, quiet_period_s=QUIET_S, clock=lambda: self.now)
        self.receiver = Receiver(Listening("SURVNODE"), accepted_contexts(), self.store.add)
        self.receiver.start()
        self.assembly = Assembly(database, folder, "2.25.1", spacing_mm=3.0, patience_s=QUIET_S)

    def check(self, source: Source, *, fetches: bool = True) -> Check:
        titles = [source.peer.ae_title]
        Reconciliation(
            self.database, source, titles, QUIET_S, fetches, self.store.add, clock=lambda: self.now
        ).check_due()
        with self.database.reading() as connection:
            found = check_rows.find_check(connection, "1.2.3")
        assert found is not None
        return found

    def judge(self) -> list[Job]:
        self.assembly.assemble_due(self.now)
        with self.database.reading() as connection:
            return fetch(connection, Job, select(jobs).order_by(jobs.c.id))

    def study(self) -> Study:
        with self.database.reading() as connection:
            return fetch(connection, Study, select(studies))[0]


@pytest.fixture
def node(tmp_path: Path, database: Database) -> Iterator[Node]:
    node = Node(tmp_path / "store", database)
    yield node
    node.receiver.stop()
    node.store.close()


@pytest.fixture
def archive(make_ct: MakeCT, node: Node) -> Iterator[Archive]:
    """It holds five images, and knows the node."""
    with running(Archive([make_ct(number) for number in range(1, 6)], {"SURVNODE": node.receiver.port})) as archive:
        yield archive


def add(node: Node, make_received: MakeReceived, *numbers: int) -> None:
    for number in numbers:
        node.store.add(make_received(number))


def test_a_study_that_came_whole_is_judged_and_says_so(
    node: Node, archive: Archive, make_received: MakeReceived
) -> None:
    add(node, make_received, 1, 2, 3, 4, 5)
    node.now = QUIET_S
    assert node.judge() == []  # it waits for its check
    assert node.check(archive.source()).state is CheckState.WHOLE
    (job,) = node.judge()
    assert job.completeness == Completeness(CheckState.WHOLE, 5, 5)
    assert archive.asked == ["FIND SERIES"]


@pytest.mark.parametrize("method", list(RetrieveMethod))
def test_what_is_missing_is_fetched_and_the_quiet_period_starts_again(
    node: Node, archive: Archive, make_received: MakeReceived, method: RetrieveMethod
) -> None:
    add(node, make_received, 1, 2, 3)
    node.now = QUIET_S
    check = node.check(archive.source(method))
    assert (check.state, check.received, check.tries) == (CheckState.FETCHING, 3, 1)
    assert (node.study().due_at, node.judge()) == (2 * QUIET_S, [])
    node.now = 2 * QUIET_S
    assert node.check(archive.source(method)).state is CheckState.WHOLE
    (job,) = node.judge()
    assert (len(job.sop_instance_uids), job.completeness) == (5, Completeness(CheckState.WHOLE, 5, 5))


def test_without_fetching_a_study_waits_once_and_is_then_judged_as_it_is(
    node: Node, archive: Archive, make_received: MakeReceived
) -> None:
    add(node, make_received, 1, 2, 3)
    node.now = QUIET_S
    assert node.check(archive.source(), fetches=False).state is CheckState.WAITING
    assert (node.study().due_at, node.judge()) == (2 * QUIET_S, [])
    node.now = 2 * QUIET_S
    assert node.check(archive.source(), fetches=False).state is CheckState.INCOMPLETE
    (job,) = node.judge()
    assert job.completeness == Completeness(CheckState.INCOMPLETE, 3, 5)
    assert "MOVE" not in archive.asked


def test_an_archive_that_does_not_know_the_node_delays_nothing(
    node: Node, archive: Archive, make_received: MakeReceived
) -> None:
    archive.destinations.clear()
    add(node, make_received, 1, 2, 3)
    node.now = QUIET_S
    check = node.check(archive.source())
    assert (check.state, "does not know SURVNODE" in check.error) == (CheckState.INCOMPLETE, True)
    (job,) = node.judge()
    assert job.completeness == Completeness(CheckState.INCOMPLETE, 3, 5)


def test_images_that_never_come_are_asked_for_a_few_times_only(
    node: Node, archive: Archive, make_received: MakeReceived, make_ct: MakeCT
) -> None:
    """Each try brings one more image, and the archive then holds one more than that."""
    add(node, make_received, 1, 2, 3)
    tries = []
    for number in range(20):
        node.now += QUIET_S
        check = node.check(archive.source())
        tries.append(check.tries)
        archive.held.append(make_ct(6 + number))
        if check.state is CheckState.INCOMPLETE:
            break
    assert tries == [1, 2, 3, 3]
    assert len(node.judge()) == 1


def test_nobody_there_delays_nothing_and_the_report_says_that_it_was_not_checked(
    node: Node, make_received: MakeReceived
) -> None:
    add(node, make_received, 1, 2, 3)
    node.now = QUIET_S
    check = node.check(source_at(free_port()))
    assert (check.state, "cannot be reached" in check.error) == (CheckState.UNANSWERED, True)
    (job,) = node.judge()
    assert job.completeness == Completeness(CheckState.UNANSWERED, 3, None)


def test_a_silent_archive_is_given_up_in_its_time(node: Node, make_received: MakeReceived) -> None:
    add(node, make_received, 1, 2, 3)
    node.now = QUIET_S
    with socket.create_server(("127.0.0.1", 0)) as silent:
        check = node.check(source_at(silent.getsockname()[1], timeout_s=0.3))
    assert check.state is CheckState.UNANSWERED


def test_a_check_that_hangs_holds_a_study_up_for_one_quiet_period(node: Node, make_received: MakeReceived) -> None:
    """Nobody checks at all: the process hangs, or is dead."""
    add(node, make_received, 1, 2, 3)
    node.now = 2 * QUIET_S - 1
    assert node.judge() == []
    node.now = 2 * QUIET_S
    (job,) = node.judge()
    assert job.completeness == Completeness(CheckState.UNANSWERED, 3, None)


def test_after_a_start_every_study_has_time_for_its_check(node: Node, make_received: MakeReceived) -> None:
    add(node, make_received, 1, 2, 3)
    node.now = 1e6
    node.assembly = replace(node.assembly, uptime_s=lambda: node.now - 1e6)
    assert node.judge() == []
    node.now += QUIET_S
    assert len(node.judge()) == 1


def test_one_unreachable_archive_costs_one_time_out_for_all_studies(node: Node, make_received: MakeReceived) -> None:
    for study in range(10):
        node.store.add(make_received(1, study=f"1.2.{study}", series=f"1.2.{study}.1"))
    node.now = QUIET_S
    with socket.create_server(("127.0.0.1", 0)) as silent:
        node.check(source_at(silent.getsockname()[1], timeout_s=0.3))
        silent.settimeout(0.2)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()
    with node.database.reading() as connection:
        assert check_rows.unchecked_studies(connection, node.now) == []


def test_a_late_image_is_checked_anew(
    node: Node, archive: Archive, make_received: MakeReceived, make_ct: MakeCT
) -> None:
    add(node, make_received, 1, 2, 3, 4, 5)
    node.now = QUIET_S
    node.check(archive.source())
    node.judge()
    archive.held.append(make_ct(6))
    add(node, make_received, 6)
    node.now = 2 * QUIET_S
    assert len(node.judge()) == 1
    assert node.check(archive.source()).state is CheckState.WHOLE
    assert [job.completeness and job.completeness.expected for job in node.judge()] == [5, 6]


def test_another_series_that_did_not_come_whole_is_counted(
    node: Node, archive: Archive, make_received: MakeReceived, make_ct: MakeCT
) -> None:
    archive.destinations.clear()
    archive.held += [make_ct(number, series="1.2.3.2") for number in (1, 2)]
    add(node, make_received, 1, 2, 3, 4, 5)
    node.now = QUIET_S
    node.check(archive.source())
    (job,) = node.judge()
    assert job.completeness == Completeness(CheckState.INCOMPLETE, 5, 5, others_lacking=1)


def test_a_study_of_which_the_rest_was_deleted_comes_whole_again(
    node: Node, archive: Archive, make_received: MakeReceived, database: Database
) -> None:
    add(node, make_received, 1, 2, 3, 4)
    with database.transaction() as connection:
        connection.execute(update(instances).values(state=InstanceState.DELETED))
    add(node, make_received, 5)
    node.now = QUIET_S
    node.check(archive.source())
    node.now = 2 * QUIET_S
    assert node.check(archive.source()).state is CheckState.WHOLE
    (job,) = node.judge()
    assert len(job.sop_instance_uids) == 5


def test_a_study_of_several_patients_is_not_asked_for(
    node: Node, archive: Archive, make_received: MakeReceived
) -> None:
    add(node, make_received, 1, 2)
    node.store.add(make_received(3, PatientID="P2"))
    node.now = QUIET_S
    with pytest.raises(AssertionError):
        node.check(archive.source())
    assert archive.asked == []
    assert node.judge() == []
    assert node.study().state is StudyState.PATIENT_CONFLICT
