"""The association as a state machine, between real sockets; what is stored is kept in memory."""

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest
from pydicom.uid import CTImageStorage

from survnode.node import errors
from survnode.node.contexts import accepted_contexts
from survnode.node.intake.association import acceptor, request_server
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.state.records import Association, AssociationEnd

from ....integration.scu import (
    ABORT,
    C_CANCEL,
    C_ECHO,
    CT,
    ECHO,
    RELEASE_RQ,
    Scu,
    associated,
    command,
    ct,
    p_data,
    pdu,
    request,
    store,
    value,
)

UNEXPECTED, UNRECOGNISED, INVALID = b"\0\0\2\2", b"\0\0\2\1", b"\0\0\2\6"  # the body of an A-ABORT


class Inbox:
    """A receiver that keeps what it gets; ``refusal`` is raised instead if it is set."""

    def __init__(self, **listening: Any) -> None:
        self.received: list[Received] = []
        self.ended: list[Association] = []
        self.refusal: Exception | None = None
        self._end = Event()
        self.receiver = Receiver(
            Listening("SURVNODE", **listening), accepted_contexts(), self._keep, None, self._note_end
        )
        self.receiver.start()

    @property
    def port(self) -> int:
        return self.receiver.port

    def await_end(self) -> Association:
        assert self._end.wait(20)
        return self.ended[-1]

    def _keep(self, received: Received) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.received.append(received)

    def _note_end(self, association: Association) -> None:
        self.ended.append(association)
        self._end.set()


MakeInbox = Callable[..., Inbox]


@pytest.fixture
def make_inbox() -> Iterator[MakeInbox]:
    made: list[Inbox] = []

    def make(**listening: Any) -> Inbox:
        made.append(Inbox(**listening))
        return made[-1]

    yield make
    for inbox in made:
        inbox.receiver.stop(drain_s=0)


@pytest.fixture
def inbox(make_inbox: MakeInbox) -> Inbox:
    return make_inbox()


def whole(content: bytes, *, is_command: bool) -> bytes:
    return p_data(value(CT, content, command=is_command, last=True))


def aborts(scu: Scu) -> bytes:
    """Why the other side aborts."""
    kind, body = scu.read_pdu()
    assert kind == 7
    assert scu.is_closed()
    return body


def test_a_store_is_answered_with_what_it_asked(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        scu.send(whole(store("1.2.3.1.1", 513), is_command=True), whole(ct(), is_command=False))
        answer = scu.read_answer()
        scu.release()
        assert scu.is_closed()
    assert (answer.CommandField, answer.MessageIDBeingRespondedTo, answer.Status) == (0x8001, 513, 0)
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (CTImageStorage, "1.2.3.1.1")
    assert [received.encoded for received in inbox.received] == [ct()]
    end = inbox.await_end()
    assert (end.end, end.images, end.size_bytes) == (AssociationEnd.RELEASED, 1, len(ct()))


@pytest.mark.parametrize("size", [1, 7, 100, 4090, 65536])
def test_fragments_of_any_size_make_one_object(inbox: Inbox, size: int) -> None:
    content = ct(size=10_000)
    asked = store("1.2.3.1.1")
    cut = [content[start : start + size] for start in range(0, len(content), size)]
    commands = [asked[start : start + size] for start in range(0, len(asked), size)]
    with associated(inbox.port) as scu:
        for number, part in enumerate(commands, start=1):
            scu.send(p_data(value(CT, part, command=True, last=number == len(commands))))
        scu.send(*(p_data(value(CT, part, command=False, last=n == len(cut))) for n, part in enumerate(cut, start=1)))
        assert scu.status() == 0
    assert inbox.received[0].encoded == content


def test_command_and_data_set_may_share_a_pdu_and_end_with_an_empty_fragment(inbox: Inbox) -> None:
    content = ct(size=1000)
    with associated(inbox.port) as scu:
        scu.send(
            p_data(
                value(CT, store("1.2.3.1.1"), command=True, last=True),
                value(CT, content[:300], command=False, last=False),
                value(CT, content[300:], command=False, last=False),
                value(CT, b"", command=False, last=True),
            )
        )
        assert scu.status() == 0
    assert inbox.received[0].encoded == content


def test_a_pdu_longer_than_what_was_offered_is_taken(inbox: Inbox) -> None:
    content = ct(size=3_000_000)
    with associated(inbox.port) as scu:
        assert scu.store(content=content) == 0
    assert inbox.received[0].encoded == content


def test_requests_may_be_sent_before_the_last_is_answered(inbox: Inbox) -> None:
    """And a release with them: every request gets its answer, in its order, and then the release."""
    with associated(inbox.port) as scu:
        both = [
            whole(store(f"1.2.3.1.{n}", n), is_command=True) + whole(ct(f"1.2.3.1.{n}"), is_command=False)
            for n in (1, 2)
        ]
        scu.send(*both, RELEASE_RQ)
        assert [scu.read_answer().MessageIDBeingRespondedTo for _ in both] == [1, 2]
        assert scu.read_pdu()[0] == 6


def test_an_echo_between_images_and_a_cancel_of_nothing_change_nothing(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        assert scu.store("1.2.3.1.1") == 0
        scu.send(p_data(value(ECHO, command(C_ECHO, 9), command=True, last=True)))
        echo = scu.read_answer()
        scu.send(whole(command(C_CANCEL), is_command=True))
        assert scu.store("1.2.3.1.2") == 0
        scu.release()
    assert (echo.CommandField, echo.Status, echo.MessageIDBeingRespondedTo) == (0x8030, 0, 9)
    assert inbox.await_end().echoes == 1


def test_a_store_without_a_data_set_is_answered_at_once_and_with_words(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        scu.send(whole(store("1.2.3.1.1", data_set=False), is_command=True))
        answer = scu.read_answer()
        assert (answer.Status, answer.ErrorComment) == (0xC000, "The request has no data set.")
        assert scu.store() == 0


@pytest.mark.parametrize("uid", ["", "1.02.3", "../1", "1" * 64 + ".2", "1..2", "1.a"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's own about the UIDs
def test_a_uid_that_breaks_the_rules_is_answered_and_the_next_is_stored(inbox: Inbox, uid: str) -> None:
    with associated(inbox.port) as scu:
        scu.send(whole(store(uid), is_command=True), whole(ct(), is_command=False))
        answer = scu.read_answer()
        assert answer.Status == 0x0117
        assert "UID" in answer.ErrorComment
        assert scu.store() == 0
    assert len(inbox.received) == 1


def test_what_keeps_an_instance_from_being_stored_is_told_in_status_and_words(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        inbox.refusal = errors.StorageFull("The disk is nearly full.")
        scu.send(whole(store("1.2.3.1.1"), is_command=True), whole(ct(), is_command=False))
        answer = scu.read_answer()
        assert (answer.Status, answer.ErrorComment) == (0xA700, "The disk is nearly full.")
        inbox.refusal = ZeroDivisionError("PATIENT^NAME")
        scu.send(whole(store("1.2.3.1.1"), is_command=True), whole(ct(), is_command=False))
        answer = scu.read_answer()
        assert answer.Status == 0x0110
        assert "PATIENT" not in answer.ErrorComment
        scu.release()
    assert inbox.await_end().refused == 2


def test_a_store_in_the_context_of_an_echo_is_refused(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        scu.send(p_data(value(ECHO, store("1.2.3"), command=True, last=True)))
        scu.send(p_data(value(ECHO, ct(), command=False, last=True)))
        assert scu.status() == 0x0122


def test_an_operation_that_the_node_does_not_know_is_told_so(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        scu.send(whole(command(0x0020, data_set=True), is_command=True), whole(ct(), is_command=False))  # C-FIND
        answer = scu.read_answer()
        assert (answer.CommandField, answer.Status) == (0x8020, 0x0211)
        assert scu.store() == 0


def test_a_peer_that_takes_small_pdus_gets_its_answer_in_pieces(inbox: Inbox) -> None:
    with associated(inbox.port, request(max_pdu=64)) as scu:
        scu.send(whole(store("1.2.3.1.1"), is_command=True), whole(ct(), is_command=False))
        kind, body = scu.read_pdu()
        assert (kind, len(body) <= 64, body[5]) == (4, True, 1)
        rest = scu.read_answer_after(body)
        assert rest.Status == 0


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (request(), UNEXPECTED),
        (pdu(2, bytes(68)), UNEXPECTED),
        (pdu(3, bytes(4)), UNEXPECTED),
        (pdu(6, bytes(4)), UNEXPECTED),  # a release that was not asked for
        (pdu(9, bytes(4)), UNRECOGNISED),
        (b"GET / HTTP/1.1\r\n\r\n", UNRECOGNISED),
        (p_data(value(99, store("1.2"), command=True, last=True)), INVALID),  # a context that was not accepted
        (p_data(value(CT, ct(), command=False, last=True)), b"\0\0\2\5"),  # a data set without a command
        (p_data(value(CT, b"nonsense", command=True, last=True)), INVALID),
        (p_data(value(CT, bytes(20_000), command=True, last=False)), INVALID),
        (pdu(4, b"\0\0\0\1\1\3"), INVALID),  # a value of one byte
        (pdu(4, b"\0\0\0\xff\1\3\0"), INVALID),  # a value longer than its PDU
        (pdu(4, b"\0\0"), INVALID),
        (b"\4\0\xff\xff\xff\xff", INVALID),  # 4 GiB
        (p_data(value(CT, command(0x8001), command=True, last=True)), INVALID),  # an answer
    ],
)
def test_what_has_no_place_in_an_association_aborts_it_with_its_reason(
    inbox: Inbox, sent: bytes, reason: bytes
) -> None:
    with associated(inbox.port) as scu:
        scu.send(sent)
        assert aborts(scu) == reason
    assert inbox.await_end().end is AssociationEnd.ABORTED_BY_NODE
    with associated(inbox.port) as scu:
        assert scu.store() == 0


def test_a_command_in_the_middle_of_a_data_set_aborts(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        scu.send(whole(store("1.2.3.1.1"), is_command=True))
        scu.send(p_data(value(CT, ct()[:20], command=False, last=False)))
        scu.send(whole(store("1.2.3.1.2"), is_command=True))
        assert aborts(scu) == b"\0\0\2\5"
    assert inbox.received == []


def test_another_context_in_the_middle_of_a_request_aborts(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        scu.send(whole(store("1.2.3.1.1"), is_command=True))
        scu.send(p_data(value(ECHO, ct(), command=False, last=True)))
        assert aborts(scu) == b"\0\0\2\5"


def test_an_abort_in_mid_object_keeps_nothing_of_it(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        assert scu.store("1.2.3.1.1") == 0
        scu.send(whole(store("1.2.3.1.2"), is_command=True))
        scu.send(p_data(value(CT, ct()[:20], command=False, last=False)), ABORT)
        assert scu.is_closed()
    assert inbox.await_end().end is AssociationEnd.ABORTED_BY_PEER
    assert len(inbox.received) == 1


def test_a_connection_that_ends_in_mid_object_is_told_as_lost(inbox: Inbox) -> None:
    with associated(inbox.port) as scu:
        scu.send(p_data(value(CT, store("1.2.3.1.2"), command=True, last=True))[:-5])
    assert inbox.await_end().end is AssociationEnd.CONNECTION_LOST


def test_a_silent_association_is_ended(make_inbox: MakeInbox) -> None:
    inbox = make_inbox(idle_timeout_s=0.2)
    with associated(inbox.port) as scu:
        assert aborts(scu) == b"\0\0\2\0"
    assert inbox.await_end().detail == "The peer was silent or too slow."


def test_half_a_pdu_is_not_waited_for(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "PDU_TIMEOUT_S", 0.2)
    with associated(inbox.port) as scu:
        scu.send(whole(store("1.2.3.1.1"), is_command=True)[:-1])
        assert aborts(scu) == b"\0\0\2\0"


def test_an_object_in_ever_smaller_pieces_is_not_waited_for(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "MESSAGE_TIMEOUT_S", 0.0)
    with associated(inbox.port) as scu:
        scu.send(whole(store("1.2.3.1.1"), is_command=True))
        scu.send(p_data(value(CT, b"1", command=False, last=False)))
        assert aborts(scu) == b"\0\0\2\0"


def test_an_object_without_end_is_cut_off(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_server, "MAX_OBJECT_BYTES", 10_000)
    with associated(inbox.port) as scu:
        scu.send(whole(store("1.2.3.1.1"), is_command=True))
        for _ in range(3):
            scu.send(p_data(value(CT, bytes(4000), command=False, last=False)))
        assert aborts(scu) == b"\0\0\2\0"


def test_a_node_that_stops_aborts_what_does_not_end(make_inbox: MakeInbox) -> None:
    inbox = make_inbox()
    with associated(inbox.port) as scu:
        inbox.receiver.stop(drain_s=0)
        assert aborts(scu) == b"\0\0\2\0"
    assert inbox.await_end().detail == "The node stopped."
