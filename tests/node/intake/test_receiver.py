"""Who gets an association and what is recorded of it; what goes on within one is in association/test_acceptor.py."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event

import pytest

from survnode.node import errors
from survnode.node.contexts import accepted_contexts
from survnode.node.intake.instance import Received, StoreRequest
from survnode.node.intake.receiver import InMemory, Listening, Receiver
from survnode.node.state.records import Association, AssociationEnd

from ...integration.scu import associated, connected, request

HERE = Listening("SURVNODE", also_called=("RESEARCH",), calling_ae_titles=("CT1", "CT2"), max_associations=3)


class Full(InMemory):
    """A spool whose disk is full."""

    def has_room(self) -> bool:
        return False


class Recorded:
    """A receiver and the records of what ended."""

    def __init__(self, listening: Listening, spool: InMemory | None = None) -> None:
        self._ended = Event()
        self.records: list[Association] = []
        self.receiver = Receiver(
            listening, accepted_contexts(), spool or InMemory(lambda _: None), on_association=self._record
        )
        self.receiver.start()

    def last(self) -> Association:
        assert self._ended.wait(20)
        return self.records[-1]

    def _record(self, association: Association) -> None:
        self.records.append(association)
        self._ended.set()


MakeReceiver = Callable[..., Recorded]


@pytest.fixture
def make_receiver() -> Iterator[MakeReceiver]:
    made: list[Recorded] = []

    def make(listening: Listening = HERE, spool: InMemory | None = None) -> Recorded:
        made.append(Recorded(listening, spool))
        return made[-1]

    yield make
    for recorded in made:
        recorded.receiver.stop(0.0)


@pytest.mark.parametrize(
    ("asked", "spool", "answer", "words"),
    [
        (request(called="NODE", calling="CT1"), None, (1, 1, 7), "NODE"),
        (request(calling="CT9"), None, (1, 1, 3), "CT9"),
        (request(calling="CT1", application="1.2.3"), None, (1, 1, 2), "application context"),
        (request(calling="CT1"), Full(lambda _: None), (2, 3, 1), "disk"),
    ],
)
def test_who_is_turned_away_is_told_why_and_so_is_the_administrator(
    make_receiver: MakeReceiver, asked: bytes, spool: InMemory | None, answer: tuple[int, int, int], words: str
) -> None:
    recorded = make_receiver(spool=spool)
    with connected(recorded.receiver.port) as peer:
        peer.send(asked)
        kind, body = peer.read_pdu()
    assert (kind, tuple(body[1:4])) == (3, answer)
    assert recorded.last().end is AssociationEnd.REJECTED
    assert words in recorded.last().detail


@pytest.mark.parametrize("called", ["SURVNODE", "RESEARCH"])
def test_a_listed_sender_is_taken_at_each_of_the_node_s_titles(make_receiver: MakeReceiver, called: str) -> None:
    recorded = make_receiver()
    with associated(recorded.receiver.port, request(called=called, calling="CT2")) as peer:
        peer.release()
    assert (recorded.last().called_ae_title, recorded.last().end) == (called, AssociationEnd.RELEASED)


def test_a_port_that_is_taken_is_refused_in_words(make_receiver: MakeReceiver) -> None:
    taken = make_receiver().receiver.port
    second = Receiver(replace(HERE, port=taken), accepted_contexts(), lambda _: None)
    with pytest.raises(errors.ReceiverFailed, match=f"Cannot listen at 127.0.0.1:{taken}: Address already in use"):
        second.start()


def test_a_stop_ends_whoever_does_not_end_himself(make_receiver: MakeReceiver) -> None:
    recorded = make_receiver()
    with associated(recorded.receiver.port, request(calling="CT1")):
        recorded.receiver.stop(0.0)
        assert recorded.last().end is AssociationEnd.ABORTED_BY_NODE
    recorded.receiver.stop()  # once more is nothing


def test_what_is_kept_in_memory_comes_whole_and_what_is_discarded_never() -> None:
    got: list[Received] = []
    spool = InMemory(got.append)
    wanted = StoreRequest("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", "CT1", peer="192.0.2.7")
    kept, forgotten = spool.begin(wanted), spool.begin(wanted)
    for fragment in (b"ab", b"c"):
        kept.write(memoryview(fragment))
        forgotten.write(memoryview(fragment))
    forgotten.discard()
    kept.keep()
    (received,) = got
    assert (received.encoded, received.calling_ae_title, received.peer) == (b"abc", "CT1", "192.0.2.7")
