import socket
from collections.abc import Iterator

import pytest

from survnode.node.intake.association.proposal import MAX_REQUEST_BYTES
from survnode.node.intake.association.waiting import Stage, Waiting, end_writing, first_of_the_crowd

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    ("received", "length"),
    [(b"", None), (b"\1\0\0\0\0", None), (b"\1\0\0\0\0\4", 10), (b"\1\0\0\1\0\0more", 6 + 0x10000)],
)
def test_the_length_of_a_request_is_known_once_its_header_has_come(
    pair: Pair, received: bytes, length: int | None
) -> None:
    waiting = Waiting(pair[0], "192.0.2.7", 0.0, Stage.REQUEST, bytearray(received))
    assert waiting.request_bytes == length


@pytest.mark.parametrize(
    ("received", "wrong"),
    [
        (b"\1", False),
        (b"G", True),
        (b"\1" + bytes(5), False),
        (b"\1\0" + MAX_REQUEST_BYTES.to_bytes(4, "big"), True),  # the header counts too
        (b"\1\0" + (MAX_REQUEST_BYTES - 6).to_bytes(4, "big"), False),
    ],
)
def test_what_begins_otherwise_or_is_too_long_is_no_request(pair: Pair, received: bytes, wrong: bool) -> None:
    assert Waiting(pair[0], "", 0.0, Stage.REQUEST, bytearray(received)).is_no_request == wrong


def test_only_a_connection_that_waits_for_its_end_is_over(pair: Pair) -> None:
    assert [stage for stage in Stage if Waiting(pair[0], "", 0.0, stage).is_over] == [Stage.END]


def test_the_peer_sees_that_nothing_follows_and_may_still_send(pair: Pair) -> None:
    ours, theirs = pair
    end_writing(ours)
    assert theirs.recv(1) == b""
    theirs.send(b"late")
    assert Waiting(ours, "", 0.0, Stage.END).read() == b"late"


def test_who_crowds_the_others_gives_way_by_his_oldest_connection(pair: Pair) -> None:
    addresses = ["192.0.2.1", "192.0.2.7", "192.0.2.7", "192.0.2.2"]
    waiting = [Waiting(pair[0], address, float(number), Stage.REQUEST) for number, address in enumerate(addresses)]
    assert first_of_the_crowd(waiting) is waiting[1]
