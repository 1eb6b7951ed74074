"""A node whose processes are killed, and whose database is locked, while it works."""

import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydicom import dcmread

from survnode.model.phantom.phantom import make_phantom, write_dicom

from .nodes import Pacs, RunningNode, until


@pytest.fixture(scope="module")
def pacs() -> Iterator[Pacs]:
    pacs = Pacs()
    yield pacs
    pacs.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs) -> Iterator[RunningNode]:
    """A node whose first worker was killed at its start."""
    destinations = {"pacs": pacs.start()}
    node = RunningNode(tmp_path_factory.mktemp("node"), destinations, model="demo")  # long enough to be interrupted
    starting = Thread(target=node.start)
    starting.start()
    first = until("the start of a worker", lambda: next(iter(pids(node, "worker-cpu")), None))
    os.kill(first, signal.SIGKILL)
    starting.join()
    assert len(pids(node, "worker-cpu")) == 2
    yield node
    assert node.stop() == 0


def events(node: RunningNode, name: str) -> list[dict[str, Any]]:
    lines = node.log.read_text().splitlines() if node.log.exists() else []
    return [json.loads(line) for line in lines if f'"{name}"' in line]


def nth_event(node: RunningNode, name: str, number: int) -> dict[str, Any] | None:
    return next(iter(events(node, name)[number:]), None)


def time_of(node: RunningNode, name: str, number: int) -> datetime:
    return datetime.fromisoformat(events(node, name)[number]["timestamp"])


def pids(node: RunningNode, child: str) -> list[int]:
    """Of all processes of a child so far."""
    return [event["pid"] for event in events(node, "child.started") if event["child"] == child]


def test_a_node_outlives_a_worker_killed_at_its_start_and_a_database_that_is_locked(
    node: RunningNode, pacs: Pacs, thorax64_series: list[Path]
) -> None:
    workers = len(pids(node, "worker-cpu"))
    assert set(node.send(thorax64_series)) == {0}
    lock = sqlite3.connect(node.data_dir / "survnode.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    failing = {"assembly", "worker"}  # each waits 15 s for the database before it fails
    until("failures that are said", lambda: True if failing <= loops(node, "loop.failed") else None)
    lock.execute("ROLLBACK")
    lock.close()

    uid = str(dcmread(thorax64_series[0], stop_before_pixels=True).StudyInstanceUID)
    job = node.await_job(uid)
    assert (job["attempts"], job["kills"]) == (1, 0)
    node.await_delivered(job["job"], "pacs")
    assert len(pacs.of_study(uid)) == len(job["results"])
    said = [event["loop"] for event in events(node, "loop.failed")]
    assert len(said) == len(set(said))
    assert failing <= loops(node, "loop.recovered")
    assert len(pids(node, "worker-cpu")) == workers


def loops(node: RunningNode, event: str) -> set[str]:
    return {re.sub(r"-cpu/.*", "", it["loop"]) for it in events(node, event)}


def test_a_receiver_is_back_however_often_it_dies_and_a_killed_worker_sets_no_study_aside(
    node: RunningNode, tmp_path: Path
) -> None:
    before, died = len(pids(node, "receiver")), len(events(node, "child.died"))
    for deaths in range(5):
        pid = pids(node, "receiver")[-1]
        listened = len(events(node, "receiver.listening"))
        os.kill(pid, signal.SIGKILL)
        until("a receiver", partial(nth_event, node, "receiver.listening", listened))
        until("its port", lambda: node.port_file.exists() or None)
        assert len(pids(node, "receiver")) == before + deaths + 1
    assert time_of(node, "receiver.listening", before) - time_of(node, "child.died", died) < timedelta(seconds=1)
    os.kill(node.fork_server_pid(), signal.SIGKILL)
    until("a receiver of another fork server", partial(nth_event, node, "receiver.listening", before + 5))
    paths = write_dicom(make_phantom(7, shape=(60, 96, 96), spacing_mm=(5.0, 4.2, 4.2)), tmp_path / "ct")
    started = len(events(node, "job.started"))
    assert set(node.send(paths)) == {0}
    for kills in range(2):
        until("a job that runs", partial(nth_event, node, "job.started", started + kills))
        os.kill(node.worker_pid(), signal.SIGKILL)
    job = node.await_job(str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID))
    assert (job["attempts"], job["kills"]) == (3, 0)
