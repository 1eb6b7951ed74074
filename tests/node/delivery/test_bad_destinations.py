"""Destinations that never answer, or die in the middle of an object, on a real line to a real receiver.

In the end each object has arrived: once, or again with the same bytes if the answer to it was lost.
"""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import select

from survnode.node.contexts import result_contexts
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.retry import RetryPolicy
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import DeliveryState, Job, RecordedObject
from survnode.node.state.tables import results

FinishJob = Callable[..., Job]

OBJECT_BYTES = 300_000
NEVER = 1 << 62
RETRY = RetryPolicy(first_delay_s=10, jitter=0)


@dataclass
class Line:
    """Connections to a port that fail as the destination behind it would.

    Parameters
    ----------
    dies_after : bytes of the sender: then both sides are cut off
    silent_after : PDUs of the destination: what it says then gets lost
    """

    port: int
    dies_after: int = NEVER
    silent_after: int = NEVER

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Its own port."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=self._accept, args=(server,), daemon=True)
            thread.start()
            yield server.getsockname()[1]
            server.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                sender, _ = server.accept()
                destination = socket.create_connection(("127.0.0.1", self.port))
                threading.Thread(target=self._pass_on, args=(sender, destination), daemon=True).start()
                threading.Thread(target=self._answer, args=(destination, sender), daemon=True).start()

    def _pass_on(self, sender: socket.socket, destination: socket.socket) -> None:
        left = self.dies_after
        with suppress(OSError):
            while content := sender.recv(min(4096, left)):
                destination.sendall(content)
                left -= len(content)
                if left <= 0:
                    _reset(sender)
                    break
        _reset(destination)

    def _answer(self, destination: socket.socket, sender: socket.socket) -> None:
        said = 0
        with suppress(OSError), destination.makefile("rb") as stream:
            while head := stream.read(6):
                body = stream.read(int.from_bytes(head[2:], "big"))
                said += 1
                if said <= self.silent_after:
                    sender.sendall(head + body)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()


@pytest.fixture
def arrived() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def pacs(arrived: list[tuple[str, str]]) -> Iterator[Destination]:
    receiver = Receiver(
        Listening("PACS"), result_contexts(), lambda it: arrived.append((it.sop_instance_uid, it.sha256))
    )
    receiver.start()
    yield Destination("pacs", "PACS", "127.0.0.1", receiver.port, retry=RETRY)
    receiver.stop(drain_s=0.1)


@pytest.fixture
def times() -> list[float]:
    return [10.0]


@pytest.fixture
def outbox(database: Database, finish_job: FinishJob, tmp_path: Path, times: list[float]) -> Outbox:
    """Five objects of a job, each in many PDUs."""
    finish_job("1.2", "pacs")
    with database.reading() as connection:
        made = fetch(connection, RecordedObject, select(results))
    for item in made:
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID, ds.EncapsulatedDocument = (
            item.sop_class_uid, item.sop_instance_uid, bytes(OBJECT_BYTES)
        )  # fmt: skip
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        (tmp_path / item.path).parent.mkdir(exist_ok=True)
        ds.save_as(tmp_path / item.path, enforce_file_format=True)
    return Outbox(database, tmp_path, clock=lambda: times[-1], random=lambda: 0.0)


@pytest.mark.parametrize(
    ("line", "stored", "twice"),
    [
        ({"silent_after": 0}, 0, 0),
        ({"silent_after": 1}, 0, 1),
        ({"silent_after": 3}, 2, 1),
        ({"dies_after": 100}, 0, 0),
        ({"dies_after": OBJECT_BYTES // 2}, 0, 0),
        ({"dies_after": OBJECT_BYTES * 2 + OBJECT_BYTES // 2}, 2, 0),
    ],
    ids=["never answers", "answers the association alone", "answers two objects", "dies in the request",
         "dies in the first object", "dies in the third object"],
)  # fmt: skip
def test_what_a_destination_did_not_answer_arrives_when_it_is_back(
    outbox: Outbox,
    pacs: Destination,
    times: list[float],
    arrived: list[tuple[str, str]],
    line: dict[str, int],
    stored: int,
    twice: int,
) -> None:
    with Line(pacs.port, **line).opened() as port:
        bad = replace(pacs, port=port, acse_timeout_s=1.0, dimse_timeout_s=2.0)
        assert outbox.deliver_due(bad) == stored
    counts = outbox.counts()["pacs"]
    assert (counts[DeliveryState.SENT], counts[DeliveryState.WAITING]) == (stored, 5 - stored)
    times.append(20.0)
    assert outbox.deliver_due(pacs) == 5 - stored
    assert outbox.counts()["pacs"][DeliveryState.SENT] == 5
    copies = Counter(uid for uid, _ in arrived)
    assert sorted(copies.values()) == [1] * (5 - twice) + [2] * twice
    assert len(set(arrived)) == 5  # what came again was the same, byte for byte
