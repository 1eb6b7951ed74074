"""The requests of an association without one: commands go in, statuses come out."""

from collections.abc import Callable

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from survnode.node import errors
from survnode.node.contexts import COMMITMENT, VERIFICATION, EventStatus, StoreStatus
from survnode.node.intake.association.dimse import Command, CommandField
from survnode.node.intake.association.log import Tally
from survnode.node.intake.association.negotiation import AgreedContext, Agreement
from survnode.node.intake.association.proposal import Titles
from survnode.node.intake.association.request_server import (
    SOP_CLASS_UNSUPPORTED,
    UNRECOGNISED_OPERATION,
    OnEvent,
    RequestServer,
)
from survnode.node.intake.instance import StoreRequest

CT = AgreedContext(CTImageStorage, ExplicitVRLittleEndian)
ECHO, ANSWERS = AgreedContext(VERIFICATION, "1.2.840.10008.1.2"), AgreedContext(COMMITMENT, "1.2.840.10008.1.2")
STORE = Command(CommandField.C_STORE, 1, True, CTImageStorage, "1.2.3")


class FakeSpool:
    """Keeps what is written, unless it is to fail at ``begin``, ``write`` or ``keep``."""

    def __init__(self) -> None:
        self.requests: list[StoreRequest] = []
        self.content, self.kept, self.discarded = bytearray(), False, 0
        self.failing: dict[str, Exception] = {}

    def has_room(self) -> bool:
        return True

    def begin(self, request: StoreRequest) -> "FakeSpool":
        self._fail("begin")
        self.requests.append(request)
        return self

    def write(self, fragment: memoryview) -> None:
        self._fail("write")
        self.content += fragment

    def keep(self) -> str:
        self._fail("keep")
        self.kept = True
        return "NEW"

    def discard(self) -> None:
        self.discarded += 1

    def _fail(self, step: str) -> None:
        if step in self.failing:
            raise self.failing[step]


Serve = Callable[..., tuple[int, str]]


@pytest.fixture
def spool() -> FakeSpool:
    return FakeSpool()


@pytest.fixture
def tally() -> Tally:
    return Tally("192.0.2.7")


@pytest.fixture
def serve(spool: FakeSpool, tally: Tally) -> Serve:
    agreement = Agreement(Titles("SURVNODE", "CT1", 1, b""), {1: CT, 3: ECHO, 5: ANSWERS}, 16384, b"", ())

    def answered(
        context: AgreedContext, command: Command, content: bytes = b"", on_event: OnEvent | None = None
    ) -> tuple[int, str]:
        request = RequestServer(agreement, tally, spool, on_event).begin(context, command)
        request.write(memoryview(content))
        return request.answer()

    return answered


def test_what_is_stored_is_told_who_sent_it_and_counted(serve: Serve, spool: FakeSpool, tally: Tally) -> None:
    assert serve(CT, STORE, b"pixels") == (StoreStatus.SUCCESS, "")
    (request,) = spool.requests
    assert (request.calling_ae_title, request.called_ae_title, request.peer) == ("CT1", "SURVNODE", "192.0.2.7")
    assert (bytes(spool.content), spool.kept) == (b"pixels", True)
    assert (tally.record().images, tally.record().size_bytes) == (1, 6)


@pytest.mark.parametrize("step", ["begin", "write", "keep"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.StorageFull("full"), StoreStatus.OUT_OF_RESOURCES),
        (ZeroDivisionError("Doe^Jane"), StoreStatus.PROCESSING_FAILURE),
    ],
)
def test_whatever_fails_is_answered_and_nothing_of_it_stays(
    serve: Serve, spool: FakeSpool, tally: Tally, step: str, error: Exception, status: StoreStatus
) -> None:
    spool.failing[step] = error
    answer, comment = serve(CT, STORE, b"pixels")
    assert answer == status
    assert "Doe" not in comment
    assert not spool.kept
    assert spool.discarded == (step != "begin")
    assert (tally.record().images, tally.record().refused) == (0, 1)


@pytest.mark.parametrize(
    "command",
    [
        Command(CommandField.C_STORE, 1, False, CTImageStorage, "1.2.3"),
        Command(CommandField.C_STORE, 1, True, CTImageStorage, "1.2.x"),
        Command(CommandField.C_STORE, 1, True, CTImageStorage, ""),
    ],
)
def test_a_request_without_data_or_with_no_valid_uid_is_refused(
    serve: Serve, spool: FakeSpool, command: Command
) -> None:
    status, comment = serve(CT, command)
    assert status != StoreStatus.SUCCESS
    assert comment
    assert spool.requests == []


def test_an_echo_is_answered_and_counted(serve: Serve, tally: Tally) -> None:
    assert serve(ECHO, Command(CommandField.C_ECHO, 1, False)) == (StoreStatus.SUCCESS, "")
    assert tally.record().echoes == 1


@pytest.mark.parametrize(
    ("context", "command", "status"),
    [
        (ECHO, STORE, SOP_CLASS_UNSUPPORTED),
        (CT, Command(CommandField.N_EVENT_REPORT, 1, True), SOP_CLASS_UNSUPPORTED),
        (ANSWERS, Command(CommandField.N_EVENT_REPORT, 1, True), SOP_CLASS_UNSUPPORTED),  # none is expected
        (CT, Command(0x0020, 1, True), UNRECOGNISED_OPERATION),  # C-FIND
    ],
)
def test_what_is_not_served_there_says_so(serve: Serve, context: AgreedContext, command: Command, status: int) -> None:
    assert serve(context, command)[0] == status


def test_an_answer_to_a_commitment_is_recorded_or_said_not_to_be(serve: Serve) -> None:
    heard: list[tuple[bytes, str]] = []

    def record(_: Command, content: bytes, transfer_syntax: str) -> EventStatus:
        heard.append((content, transfer_syntax))
        return EventStatus.SUCCESS

    def fail(*_: object) -> EventStatus:
        raise ZeroDivisionError

    event = Command(CommandField.N_EVENT_REPORT, 1, True, COMMITMENT)
    assert serve(ANSWERS, event, b"answer", record) == (EventStatus.SUCCESS, "")
    assert heard == [(b"answer", ANSWERS.transfer_syntax)]
    assert serve(ANSWERS, event, b"answer", fail) == (EventStatus.PROCESSING_FAILURE, "")
