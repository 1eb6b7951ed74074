"""Connections before and after their association; floods and TLS are in tests/integration."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from queue import Queue

import pytest

from survnode.node.intake.association.listener import Listener
from survnode.node.state.records import AssociationEnd

from ....integration.scu import Scu, connected, request

ABORTED = (7, struct.pack(">xxBB", 2, 2))  # by the service provider: unexpected PDU
Ends = Queue[tuple[AssociationEnd, str]]
Requests = Queue[tuple[socket.socket, bytes, bytes]]


class Desk:
    """A listener, and what it hands on."""

    def __init__(self, networks: tuple[str, ...] = (), timeout_s: float = 20.0) -> None:
        self.requests, self.ends = Requests(), Ends()
        self.listener = Listener(
            networks,
            timeout_s,
            lambda connection, _, asked, rest: self.requests.put((connection, asked, rest)),
            lambda _, end, why: self.ends.put((end, why)),
        )
        self.port = self.listener.start("127.0.0.1", 0)


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk() -> Iterator[MakeDesk]:
    made: list[Desk] = []

    def make(networks: tuple[str, ...] = (), timeout_s: float = 20.0) -> Desk:
        made.append(Desk(networks, timeout_s))
        return made[-1]

    yield make
    for desk in made:
        desk.listener.stop()


def test_a_request_in_pieces_is_handed_on_whole_with_what_came_after_it(make_desk: MakeDesk) -> None:
    desk, asked = make_desk(), request()
    with connected(desk.port) as peer:
        for part in (asked[:3], asked[3:100], asked[100:] + b"more"):
            peer.send(part)
        connection, handed, rest = desk.requests.get(timeout=20)
    with closing(connection):
        assert (handed, rest) == (asked, b"more")


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", struct.pack(">BxL", 1, 1 << 30)])
def test_what_is_no_request_or_too_long_a_one_is_aborted(make_desk: MakeDesk, sent: bytes) -> None:
    desk = make_desk()
    with connected(desk.port) as peer:
        peer.send(sent)
        assert peer.read_pdu() == ABORTED
        assert peer.is_closed()
    assert desk.ends.get(timeout=20)[0] is AssociationEnd.NO_REQUEST


def test_an_address_that_is_not_welcome_is_closed_before_it_says_anything(make_desk: MakeDesk) -> None:
    desk = make_desk(networks=("192.0.2.0/24",))
    with connected(desk.port) as peer:
        assert peer.is_closed()
    assert desk.ends.get(timeout=20) == (AssociationEnd.ADDRESS_REFUSED, "")


def test_who_asks_for_nothing_in_time_is_let_go(make_desk: MakeDesk) -> None:
    desk = make_desk(timeout_s=0.1)
    with connected(desk.port) as peer:
        assert peer.is_closed()
    assert desk.ends.get(timeout=20) == (AssociationEnd.NO_REQUEST, "No whole request came in time.")


def handed_on(desk: Desk, peer: Scu) -> socket.socket:
    peer.send(request())
    return desk.requests.get(timeout=20)[0]


def test_the_peer_of_an_association_that_is_over_has_the_time_to_read_the_last_answer(make_desk: MakeDesk) -> None:
    desk = make_desk()
    with connected(desk.port) as peer:
        connection = handed_on(desk, peer)
        connection.sendall(b"the last answer")
        desk.listener.let_end(connection)
        assert peer.socket.recv(100) == b"the last answer"
        assert peer.is_closed()
    assert desk.ends.empty()  # it had an association


def test_a_stop_closes_even_whose_peer_does_not() -> None:
    desk = Desk()
    with connected(desk.port) as peer:
        connection = handed_on(desk, peer)
        desk.listener.let_end(connection)
        assert peer.is_closed()
        desk.listener.stop()
        assert connection.fileno() == -1


def test_an_association_that_ends_after_the_stop_is_closed_at_once() -> None:
    desk = Desk()
    desk.listener.stop()
    desk.listener.stop()  # a second time does nothing
    ours, peer = socket.socketpair()
    desk.listener.let_end(ours)
    with closing(peer):
        assert peer.recv(1) == b""


def test_who_closes_takes_no_more_connections_and_ends_those_that_wait(make_desk: MakeDesk) -> None:
    desk = make_desk()
    with connected(desk.port) as peer:
        desk.listener.close()
        assert peer.is_closed()
        with pytest.raises(ConnectionRefusedError), connected(desk.port):
            pass
