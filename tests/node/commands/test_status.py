"""A node at a glance."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from survnode.node.commands.print_status import print_status
from survnode.node.commands.status import down_lines, read_status
from survnode.node.config import DestinationConfig, NodeConfig, ReceiverConfig
from survnode.node.service.lock import lock_data_dir
from survnode.node.state.database import Database, row_of
from survnode.node.state.records import Association, AssociationEnd, DeliveryState, Job, JobState, StudyState
from survnode.node.state.summaries import StudyCounts
from survnode.node.state.tables import associations, deliveries, studies

FinishJob = Callable[..., Job]
NOON = datetime(2026, 11, 24, 12, 0).astimezone()
PACS = DestinationConfig(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return NodeConfig(data_dir=tmp_path, destinations=(PACS,), receiver=ReceiverConfig(min_free_gib=0))


@pytest.fixture
def down(database: Database, finish_job: FinishJob) -> Database:
    finish_job("1.1", "pacs")
    tried = {"tries": 2, "first_tried_at": NOON.timestamp(), "error": "It cannot be reached."}
    with database.transaction() as connection:
        connection.execute(update(deliveries).values(tried))
    return database


def test_today_begins_at_midnight_of_the_local_time(
    database: Database, add_job: Callable[..., int], config: NodeConfig
) -> None:
    midnight = NOON.replace(hour=0).timestamp()
    for number, received in enumerate((midnight - 1, midnight, midnight + 1)):
        add_job(f"1.{number}", state=JobState.FINISHED)
        with database.transaction() as connection:
            own = studies.c.study_instance_uid == f"1.{number}"
            connection.execute(update(studies).where(own).values(last_received_at=received))
    assert read_status(database, config, NOON).today == StudyCounts(received=2, analysed=2)


def test_what_waits_and_what_failed_is_counted_whenever_it_came(
    database: Database, add_job: Callable[..., int], config: NodeConfig
) -> None:
    add_job("1.1"), add_job("1.2", state=JobState.QUARANTINED), add_job("1.3", state=JobState.FINISHED)
    with database.transaction() as connection:
        receiving = {"state": StudyState.RECEIVING, "due_at": 5.0, "last_received_at": 3.0}
        connection.execute(update(studies).where(studies.c.study_instance_uid == "1.3").values(receiving))
    found = read_status(database, config, NOON)
    assert (found.today.received, found.waiting, found.failed) == (0, 2, 1)
    assert found.oldest_waiting is not None
    assert found.oldest_waiting.study_instance_uid == "1.1"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[None]:
    lock = lock_data_dir(tmp_path, ())
    yield
    os.close(lock)


def test_a_node_that_does_not_run_is_a_warning(database: Database, config: NodeConfig) -> None:
    found = read_status(database, config, NOON)
    assert not found.running
    assert found.warnings == ("no node runs here: nothing is received, analysed or sent",)


@pytest.mark.usefixtures("running")
def test_a_node_that_runs_and_lacks_nothing_has_no_warning(database: Database, config: NodeConfig) -> None:
    (config.data_dir / "receiver.port").write_text("4711")
    found = read_status(database, config, NOON)
    assert (found.running, found.listening, found.port, found.warnings) == (True, True, 4711, ())


@pytest.mark.usefixtures("running")
def test_a_node_that_starts_does_not_listen_yet(
    database: Database, config: NodeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    print_status(read_status(database, config, NOON), lambda _: {})
    assert "starting, not yet listening: SURVNODE at" in capsys.readouterr().out
    (config.data_dir / "receiver.port").write_text("4711")
    print_status(read_status(database, config, NOON), lambda _: {})
    assert "runs: SURVNODE at 127.0.0.1:4711" in capsys.readouterr().out


def test_a_port_that_was_left_behind_is_none_that_is_listened_at(database: Database, config: NodeConfig) -> None:
    (config.data_dir / "receiver.port").write_text("4711")
    assert not read_status(database, config, NOON).listening


@pytest.mark.usefixtures("running")
def test_a_full_disk_is_a_warning(database: Database, config: NodeConfig) -> None:
    full = config.model_copy(update={"receiver": ReceiverConfig(min_free_gib=1e9)})
    (warning,) = read_status(database, full, NOON).warnings
    assert "images are refused" in warning


@pytest.mark.usefixtures("running")
def test_a_destination_that_is_down_is_a_warning_with_its_error(down: Database, config: NodeConfig) -> None:
    expected = "the destination pacs has been down since 2026-11-24 12:00, 5 objects waiting: It cannot be reached."
    assert read_status(down, config, NOON).warnings == (expected,)
    assert down_lines(down, config) == [expected]
    with down.transaction() as connection:
        connection.execute(update(deliveries).values(state=DeliveryState.SENT, settled_at=NOON.timestamp()))
    assert down_lines(down, config) == []


def test_the_last_that_were_turned_away_are_named(database: Database, config: NodeConfig) -> None:
    ends = [AssociationEnd.REJECTED] * 7 + [AssociationEnd.RELEASED]
    rows = [row_of(Association("192.0.2.7", f"CT{n}", "X", n, n + 1.0, end)) for n, end in enumerate(ends)]
    with database.transaction() as connection:
        connection.execute(insert(associations), rows)
    assert [row.calling_ae_title for row in read_status(database, config, NOON).rejected] == [
        "CT6",
        "CT5",
        "CT4",
        "CT3",
        "CT2",
    ]
