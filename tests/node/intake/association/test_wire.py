import socket
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from survnode.node.intake.association import wire as wire_module
from survnode.node.intake.association.wire import ConnectionEnded, PeerTooSlow, Wire


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_bytes_are_handed_out_in_any_pieces(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "BUFFER_BYTES", 64)
    content = bytes(range(256)) * 40
    sender = threading.Thread(target=pair[1].sendall, args=(content[5:],))
    sender.start()
    wire = Wire(pair[0], content[:5])
    wire.due_in(10)
    read = b""
    for size in (1, 6, 60, 64, 3, 33) * 100:
        if len(read) + size <= len(content):
            read += bytes(wire.exactly(size))
        if len(read) + size <= len(content):
            read += bytes(wire.up_to(size))
    assert len(read) > 9000
    assert read == content[: len(read)]
    sender.join(10)


def test_the_deadline_holds_for_all_bytes_together(pair: tuple[socket.socket, socket.socket]) -> None:
    """A peer that sends a byte a moment is as slow as one that sends none."""
    wire, stop = Wire(pair[0]), threading.Event()

    def trickle() -> None:
        while not stop.wait(0.05):
            pair[1].send(b"\0")

    thread = threading.Thread(target=trickle)
    thread.start()
    start = monotonic()
    wire.due_in(0.5)
    with pytest.raises(PeerTooSlow):
        wire.exactly(1000)
    assert monotonic() - start < 5
    stop.set()
    thread.join()


def test_a_peer_that_closes_is_noticed(pair: tuple[socket.socket, socket.socket]) -> None:
    wire = Wire(pair[0])
    pair[1].sendall(b"abc")
    pair[1].close()
    wire.due_in(10)
    assert bytes(wire.exactly(2)) == b"ab"
    with pytest.raises(ConnectionEnded):
        wire.exactly(2)
    with pytest.raises(ConnectionEnded):
        wire.send(bytes(1 << 20), 1.0)


def test_a_peer_that_takes_nothing_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(PeerTooSlow):
        Wire(pair[0]).send(bytes(64 << 20), 0.1)
