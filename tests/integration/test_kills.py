"""The processes of a node are killed at random moments while studies come in; what was acknowledged is never lost.

Three rounds by default. A longer run: ``SURVNODE_KILL_ROUNDS=200 pytest -s tests/integration/test_kills.py``, with
``SURVNODE_KILL_SEED`` for other moments; it prints what it counted. The seed draws who is killed and when; what each
process does at that moment is its own, so that two runs of one seed need not find the same.
"""

import json
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Thread

import pytest
from sqlalchemy import select

from survnode.node.errors import DeliveryFailed
from survnode.node.intake.instance import Received
from survnode.node.state.database import fetch
from survnode.node.state.files import is_as_received
from survnode.node.state.records import DeliveryState, Instance, InstanceState
from survnode.node.state.tables import instances, results

from .nodes import Pacs, RunningNode, ended, study_of, until

ROUNDS = int(os.environ.get("SURVNODE_KILL_ROUNDS", "3"))
SEED = int(os.environ.get("SURVNODE_KILL_SEED", "64"))
IMAGES = 24  # of a study: some of a chest, so that most end with a report that says so
LATEST_KILL_S = 2.0  # after its study began to be sent: it takes about so long to be received and judged
END_S = 600.0
TARGETS = ("receiver", "worker-cpu", "judge", "fork server", "service", "node")

pytestmark = pytest.mark.timeout(600 + 60 * ROUNDS)


class ExactPacs(Pacs):
    """A destination that remembers what it got, byte for byte."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[tuple[str, str]] = []

    def _keep(self, received: Received) -> None:
        self.copies.append((received.sop_instance_uid, received.sha256))


def send_whole(node: RunningNode, paths: list[Path], acknowledged: set[str]) -> None:
    """Send images again and again until each was acknowledged."""

    def attempt() -> bool | None:
        left = [path for path in paths if uid_of(path) not in acknowledged]
        with suppress(DeliveryFailed, OSError, ValueError):  # nobody listens, or the file that names the port is gone
            statuses = node.send(left)
            acknowledged.update(uid_of(path) for path, status in zip(left, statuses, strict=True) if status == 0)
        return True if all(uid_of(path) in acknowledged for path in paths) else None

    until("the acknowledgement of a whole study", attempt, END_S)


def uid_of(path: Path) -> str:
    return f"{path.parent.name}.1.{path.stem}"


def kill(node: RunningNode, target: str) -> None:
    """Kill a process as a machine does that runs out of memory; who has no parent left to start it is started again."""
    assert node.process is not None
    if target in ("service", "node"):
        os.kill(node.process.pid, signal.SIGKILL) if target == "service" else node.kill()
        node.process.wait()
        node.start()
        return
    started = [json.loads(line) for line in node.log.read_text().splitlines() if '"child.started"' in line]
    pids = [event["pid"] for event in started if event["child"] == target]
    with suppress(ProcessLookupError):  # it died of itself a moment before
        if target == "fork server":
            os.kill(node.fork_server_pid(), signal.SIGKILL)
        elif pids:
            os.kill(pids[-1], signal.SIGKILL)


def test_what_was_acknowledged_is_in_a_result_or_in_the_open_whoever_is_killed(
    tmp_path: Path, thorax64_series: list[Path]
) -> None:
    random, pacs, acknowledged = Random(SEED), ExactPacs(), set[str]()
    node = RunningNode(tmp_path, {"pacs": pacs.start()})
    killed = Counter[str]()
    uids = [f"1.2.3.9{number:04d}" for number in range(ROUNDS)]
    try:
        node.start()
        for uid in uids:
            paths = study_of(thorax64_series[:IMAGES], tmp_path / uid, uid)
            sending = Thread(target=send_whole, args=(node, paths, acknowledged))
            sending.start()
            target = random.choice(TARGETS)
            Event().wait(random.uniform(0.0, LATEST_KILL_S))  # the moment itself is what is tried
            kill(node, target)
            killed[target] += 1
            sending.join(END_S)
            assert not sending.is_alive()
        database = node.status.database
        studies = [until(f"the end of {uid}", partial(ended, database, uid), END_S) for uid in uids]
    finally:
        node.stop()
        pacs.stop()

    with database.reading() as connection:
        rows = fetch(connection, Instance, select(instances))
        made = set(connection.execute(select(results.c.sop_instance_uid)).scalars())
    kept = {it.sop_instance_uid for it in rows if it.state is InstanceState.STORED}
    assert acknowledged == kept == {f"{uid}.1.{number}" for uid in uids for number in range(1, IMAGES + 1)}
    assert all(is_as_received(node.data_dir / "received" / it.path, it.sha256) for it in rows)

    told = Counter(job.state for study in studies for job in study.jobs)
    assert all(study.jobs for study in studies)
    assert {it.state for study in studies for it in study.deliveries} == {DeliveryState.SENT}
    arrived = Counter(uid for uid, _ in pacs.copies)
    assert set(arrived) == made
    assert len(set(pacs.copies)) == len(arrived)  # what came again was the same, byte for byte
    again = sum(arrived.values()) - len(arrived)
    assert again <= killed["service"] + killed["node"]
    counts = {"rounds": ROUNDS, "seed": SEED, "acknowledged": len(acknowledged), "results": len(arrived)}
    sys.stdout.write(json.dumps(counts | {"again": again, "killed": killed, "jobs": told}) + "\n")
