"""One association over loopback; what is done about its outcomes is in test_outbox.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, MRImageStorage

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node import errors
from survnode.node.contexts import ANY_STORAGE, Answer, accepted_contexts
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import UNREADABLE, Outgoing, echo, probe, send
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver


class Peer:
    """A PACS that takes CT alone; ``refusal`` is raised instead if it is set."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.refusal: Exception | None = None
        contexts = {uid: syntaxes for uid, syntaxes in accepted_contexts().items() if uid != ANY_STORAGE}
        self.receiver = Receiver(Listening("PEER"), contexts, self._keep)
        self.receiver.start()

    @property
    def destination(self) -> Destination:
        return Destination("peer", "PEER", "127.0.0.1", self.receiver.port)

    def _keep(self, received: Received) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.received.append(received)


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.receiver.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    phantom = make_phantom(1, shape=(3, 16, 16), spacing_mm=(3.0, 16.0, 16.0))
    return write_dicom(phantom, tmp_path_factory.mktemp("ct"))


def outgoing(files: list[Path], sop_class: str = CTImageStorage) -> list[Outgoing]:
    return [Outgoing(sop_class, f"1.2.3.{number}", path) for number, path in enumerate(files)]


def test_objects_go_out_in_their_order_as_they_lie_on_disk(peer: Peer, files: list[Path]) -> None:
    outcomes = list(send(peer.destination, outgoing(files)))
    assert [(outcome.answer, outcome.status) for outcome in outcomes] == [(Answer.STORED, 0x0000)] * 3
    assert [path.read_bytes().endswith(it.encoded) for path, it in zip(files, peer.received, strict=True)] == [True] * 3


def test_one_that_is_refused_holds_up_no_other(peer: Peer, files: list[Path], tmp_path: Path) -> None:
    objects = outgoing(files)
    objects[0] = Outgoing(MRImageStorage, "1.2.3.0", files[0])  # of a class that the peer does not take
    objects[1] = Outgoing(CTImageStorage, "1.2.3.1", tmp_path / "absent.dcm")
    outcomes = list(send(peer.destination, objects))
    assert [outcome.answer for outcome in outcomes] == [Answer.REFUSED, Answer.REFUSED, Answer.STORED]
    assert [outcome.detail for outcome in outcomes[:2]] == [
        "It accepts no MR Image Storage in our transfer syntaxes.", UNREADABLE,
    ]  # fmt: skip


def test_a_peer_that_takes_none_of_them_refuses_each(peer: Peer, files: list[Path]) -> None:
    outcomes = list(send(peer.destination, outgoing(files, MRImageStorage)))
    assert [(outcome.answer, outcome.perhaps_there) for outcome in outcomes] == [(Answer.REFUSED, False)] * 3


def test_a_peer_without_room_is_asked_for_no_more(peer: Peer, files: list[Path]) -> None:
    peer.refusal = errors.StorageFull("full")
    (outcome,) = send(peer.destination, outgoing(files))
    assert (outcome.answer, outcome.status) == (Answer.TRY_AGAIN, 0xA700)


def test_nobody_there_and_the_wrong_title_are_two_errors(peer: Peer, files: list[Path]) -> None:
    with pytest.raises(errors.AssociationRejected):
        list(send(Destination("peer", "OTHER", "127.0.0.1", peer.receiver.port), outgoing(files)))
    with pytest.raises(errors.DestinationUnreachable):
        list(send(Destination("peer", "PEER", "127.0.0.1", 1), outgoing(files)))


def test_a_sign_of_life_and_what_is_accepted_are_asked_without_sending(peer: Peer) -> None:
    echo(peer.destination)
    assert probe(peer.destination, (CTImageStorage, MRImageStorage)) == (CTImageStorage,)
    assert peer.received == []
