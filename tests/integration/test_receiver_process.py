"""The receiver as a process of its own: killed in mid-association, told to stop, left by its parent."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random
from threading import Thread
from time import monotonic

from pydicom import dcmread
from pydicom.uid import CTImageStorage
from sqlalchemy import select

from survnode.node import errors
from survnode.node.contexts import Answer
from survnode.node.delivery import sender
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import Outgoing
from survnode.node.service.lock import is_locked
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Instance
from survnode.node.state.tables import instances

from .nodes import until
from .scu import associated, connected, request

START_S = 60.0
ACCEPTED, REJECTED = 2, 3  # types of PDUs

RECEIVE = """
import sys
from pathlib import Path
from survnode.node.intake.receiver import Listening
from survnode.node.intake.rules import Routes
from survnode.node.service.receiving import Storage, run_receiver

folder = Path(sys.argv[1])
storage = Storage(folder / "store", folder / "node.sqlite", Routes(), False, 1000, 2000)
run_receiver(
    Listening("SURVNODE"),
    storage,
    lambda port: print("port", port, flush=True),
    reread=lambda: Listening("OTHER", calling_ae_titles=("SENDER",)),
    drain_s=5.0,
)
"""


@dataclass
class Running:
    process: subprocess.Popen[str]
    port: int

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(START_S)


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:  # its log goes before
        if line.startswith("port "):
            return int(line.split()[1])
    raise AssertionError(process.wait())


@contextmanager
def receiving(folder: Path) -> Iterator[Running]:
    with subprocess.Popen([sys.executable, "-c", RECEIVE, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process, port_of(process))
        finally:
            process.kill()


def outgoing(paths: list[Path]) -> list[Outgoing]:
    return [
        Outgoing(CTImageStorage, str(dcmread(path, stop_before_pixels=True).SOPInstanceUID), path) for path in paths
    ]


def destination(port: int) -> Destination:
    return Destination("node", "SURVNODE", "127.0.0.1", port, dimse_timeout_s=10.0)


def rows_of(folder: Path) -> dict[str, Instance]:
    database = Database(folder / "node.sqlite")
    with database.reading() as connection:
        rows = fetch(connection, Instance, select(instances))
    database.close()
    return {row.sop_instance_uid: row for row in rows}


def send_until_killed(running: Running, objects: list[Outgoing], acknowledged: set[str], kill_after: int) -> None:
    """Send, and kill the receiver when ``kill_after`` objects were acknowledged."""
    try:
        for item, outcome in zip(objects, sender.send(destination(running.port), objects), strict=False):
            if outcome.answer is not Answer.STORED:
                return
            acknowledged.add(item.sop_instance_uid)
            if len(acknowledged) >= kill_after:
                running.process.send_signal(signal.SIGKILL)
    except errors.DeliveryFailed:
        return  # it was killed before the association was made


def test_what_was_acknowledged_survives_kill_9_at_any_moment(tmp_path: Path, thorax64_series: list[Path]) -> None:
    random = Random(64)
    objects = outgoing(thorax64_series)
    halves = [
        objects[::2],
        objects[1::2],
    ]  # two senders, so that one is in the middle of something when the other ends it
    acknowledged: set[str] = set()
    while len(acknowledged) < len(objects):
        kill_after = len(acknowledged) + random.randint(1, 30)
        with receiving(tmp_path) as running:
            left = [[item for item in half if item.sop_instance_uid not in acknowledged] for half in halves]
            arguments = [(running, part, acknowledged, kill_after) for part in left if part]
            threads = [Thread(target=send_until_killed, args=each) for each in arguments]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(START_S)
            running.kill()
        rows = rows_of(tmp_path)
        assert acknowledged <= set(rows)
        for item in objects:
            if item.sop_instance_uid in rows:  # acknowledged or not: what can be seen is whole
                stored = (tmp_path / "store" / rows[item.sop_instance_uid].path).read_bytes()
                assert dcmread(BytesIO(stored)) == dcmread(item.path)
    with receiving(tmp_path):  # nothing unfinished is left, and what is whole gets its row
        until("a row for every file", lambda: set(stored_files(tmp_path)) == set(row_files(tmp_path)) or None)
    assert {path.name for path in (tmp_path / "store").rglob("*") if path.is_file()} - {"receiver.lock"} == set(
        row_files(tmp_path)
    )


def stored_files(folder: Path) -> list[str]:
    return [path.name for path in (folder / "store/studies").rglob("*") if path.is_file()]


def row_files(folder: Path) -> list[str]:
    return [Path(row.path).name for row in rows_of(folder).values()]


def test_sigterm_lets_an_association_end_and_then_stops(tmp_path: Path, thorax64_series: list[Path]) -> None:
    objects = outgoing(thorax64_series[:6])
    with receiving(tmp_path) as running:
        outcomes = []
        for outcome in sender.send(destination(running.port), objects):
            outcomes.append(outcome.status)
            if len(outcomes) == 3:
                running.process.terminate()
        assert outcomes == [0x0000] * 6
        assert running.process.wait(START_S) == 0
    assert len(rows_of(tmp_path)) == 6


def test_a_second_receiver_waits_for_the_first_to_let_go(tmp_path: Path) -> None:
    with receiving(tmp_path) as first:
        second = subprocess.Popen([sys.executable, "-c", RECEIVE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        with second:
            first.process.terminate()
            assert port_of(second) > 0
            second.kill()


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
child.wait()
"""


def test_a_receiver_whose_parent_is_gone_stops(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, RECEIVE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        port_of(parent)
        parent.send_signal(signal.SIGKILL)
        start = monotonic()
        reader = Thread(target=parent.stdout.read if parent.stdout else None)
        reader.start()
        reader.join(START_S)  # the pipe ends with the last process that holds it: the receiver
        assert not reader.is_alive()
        assert monotonic() - start < 20


FORKING = """
import pickle, signal, sys
from pathlib import Path
from survnode.node.config import NodeConfig
from survnode.node.service import light_receiver, receiver_preload
from survnode.node.service.child_process import FORK_SERVER

if __name__ == "__main__":
    FORK_SERVER.set_forkserver_preload([receiver_preload.__name__])
    config = NodeConfig.model_validate({"data_dir": sys.argv[1], "receiver": {"host": "127.0.0.1", "port": 0}})
    config.received_dir.mkdir()
    ready, theirs = FORK_SERVER.Pipe(duplex=False)
    FORK_SERVER.Process(target=light_receiver.receive, args=(pickle.dumps(config), Path("absent.toml"), theirs)).start()
    ready.recv()
    print("port", config.port_file.read_text(), flush=True)
    signal.pause()
"""


def test_a_receiver_that_was_forked_stops_when_who_asked_for_it_is_gone(tmp_path: Path) -> None:
    """Its parent is the fork server, which lives as long as it does."""
    (tmp_path / "forking.py").write_text(FORKING)
    command = [sys.executable, str(tmp_path / "forking.py"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        port_of(service)
        service.send_signal(signal.SIGKILL)
        lock = tmp_path / "received/receiver.lock"
        until("the end of the receiver", lambda: None if is_locked(lock) else True, 20.0)


def test_after_sighup_only_those_are_taken_who_are_listed_then(tmp_path: Path) -> None:
    with receiving(tmp_path) as running, associated(running.port, request(calling="OPEN")) as before:
        running.process.send_signal(signal.SIGHUP)
        until("the new list", lambda: True if answer_to(running.port, "OPEN") == REJECTED else None)
        assert answer_to(running.port, "SENDER") == ACCEPTED
        before.release()


def answer_to(port: int, calling: str) -> int:
    """The type of the PDU that answers a request of this sender for an association."""
    with connected(port) as peer:
        peer.send(request(calling=calling))
        return peer.read_pdu()[0]
