"""What is done with the requests of an association: C-STORE, C-ECHO and N-EVENT-REPORT (PS3.7 9.3, 10.3).

It knows nothing of PDUs: an `Acceptor` brings commands and fragments of data sets, and takes the answers back.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import structlog

from survnode.node import errors
from survnode.node.contexts import COMMITMENT, VERIFICATION, EventStatus, StoreStatus, loggable_uid, status_of
from survnode.node.intake.association.dimse import Command, CommandField
from survnode.node.intake.association.log import Tally
from survnode.node.intake.association.negotiation import AgreedContext, Agreement
from survnode.node.intake.instance import StoreRequest

log = structlog.get_logger()

MAX_OBJECT_BYTES = 1 << 30  # of one data set; an enhanced CT of 1,500 slices is smaller
MAX_EVENT_BYTES = 16 << 20  # of an answer on a storage commitment: 100,000 instances

UNRECOGNISED_OPERATION = 0x0211  # PS3.7 C.5.24
SOP_CLASS_UNSUPPORTED = 0x0122  # PS3.7 C.5.21

Answered = tuple[int, str]  # status and Error Comment


class Sink(Protocol):
    """What takes the data set of one C-STORE request."""

    def write(self, fragment: memoryview) -> object:
        """Take the next bytes, which are valid until it returns."""

    def keep(self) -> object:
        """Keep what was written, durably, and say what became of it."""

    def discard(self) -> None:
        """Forget what was written, if it was not kept."""


@runtime_checkable
class Spool(Protocol):
    """Where the data sets of C-STORE requests go; whatever it raises is answered with a status."""

    def has_room(self) -> bool:
        """Whether an association that brings images makes sense now."""

    def begin(self, request: StoreRequest) -> Sink:
        """Take the data set of a request from now on."""


OnEvent = Callable[[Command, bytes, str], EventStatus]  # request, data set, transfer syntax


class Request(Protocol):
    """A request whose data set, if it has one, comes in pieces."""

    max_bytes: int  # of its data set

    def write(self, fragment: memoryview) -> None:
        """Take the next bytes of the data set, which are valid until it returns."""

    def answer(self) -> Answered:
        """Do what is asked, now that all of it has come."""

    def discard(self) -> None:
        """Forget what was written, if nothing was done with it."""


class RequestServer:
    """Serves the requests of one association.

    Parameters
    ----------
    tally : counts what is done
    on_event : gets each N-EVENT-REPORT on a storage commitment; None: none is expected
    """

    def __init__(self, agreement: Agreement, tally: Tally, spool: Spool, on_event: OnEvent | None) -> None:
        self._agreement, self._tally, self._spool, self._on_event = agreement, tally, spool, on_event

    def begin(self, context: AgreedContext, command: Command) -> Request:
        """Take up a request."""
        is_storage = context.abstract_syntax not in (VERIFICATION, COMMITMENT)
        if command.field == CommandField.C_STORE and is_storage:
            return _Store(command, self._agreement.titles.calling, self._tally, lambda: self._sink(context, command))
        if command.field == CommandField.C_ECHO:
            return _Small(self._echo)
        if command.field == CommandField.N_EVENT_REPORT and context.abstract_syntax == COMMITMENT and self._on_event:
            on_event = self._on_event
            return _Small(lambda content: (_recorded(on_event, command, content, context.transfer_syntax), ""))
        if command.field in (CommandField.C_STORE, CommandField.N_EVENT_REPORT):
            return _Small(lambda _: (SOP_CLASS_UNSUPPORTED, "Not in this presentation context."))
        return _Small(lambda _: (UNRECOGNISED_OPERATION, "This node takes C-STORE and C-ECHO alone."))

    def _echo(self, _content: bytes) -> Answered:
        self._tally.echoed()
        return StoreStatus.SUCCESS, ""

    def _sink(self, context: AgreedContext, command: Command) -> Sink:
        if not command.has_data_set:
            raise errors.InstanceUnparsable("The request has no data set.")
        titles = self._agreement.titles
        request = StoreRequest(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=context.transfer_syntax,
            calling_ae_title=titles.calling,
            called_ae_title=titles.called,
            peer=self._tally.peer,
        )
        request.check_uids()
        return self._spool.begin(request)


class _Small:
    """A request that is answered from memory."""

    max_bytes = MAX_EVENT_BYTES

    def __init__(self, serve: Callable[[bytes], Answered]) -> None:
        self._serve, self._content = serve, bytearray()

    def write(self, fragment: memoryview) -> None:
        self._content += fragment

    def answer(self) -> Answered:
        return self._serve(bytes(self._content))

    def discard(self) -> None:
        self._content.clear()


class _Store:
    """A C-STORE whose data set goes into its sink; a fault is kept until all of it was read, then answered."""

    def __init__(self, command: Command, calling_ae_title: str, tally: Tally, begin: Callable[[], Sink]) -> None:
        self.max_bytes = MAX_OBJECT_BYTES
        self._uids = {"sop_instance_uid": loggable_uid(command.sop_instance_uid), "calling_ae_title": calling_ae_title}
        self._tally, self._size_bytes = tally, 0
        self._sink: Sink | None = None
        self._error: Exception | None = None
        try:
            self._sink = begin()
        except Exception as error:  # noqa: BLE001  the edge of a C-STORE
            self._error = error

    def write(self, fragment: memoryview) -> None:
        self._size_bytes += len(fragment)
        if self._sink is None:
            return
        try:
            self._sink.write(fragment)
        except Exception as error:  # noqa: BLE001  the edge of a C-STORE
            self.discard()
            self._sink, self._error = None, error

    def answer(self) -> Answered:
        status, comment = self._kept()
        self._tally.stored(self._size_bytes, status)
        return status, comment

    def discard(self) -> None:
        if self._sink is not None:
            self._sink.discard()

    def _kept(self) -> tuple[StoreStatus, str]:
        try:
            outcome = self._keep()
        except errors.NodeError as error:
            status = status_of(error)
            log.warning("instance.refused", status=f"0x{status:04X}", error=str(error), **self._uids)
            return status, str(error)
        except Exception as error:  # noqa: BLE001  the edge of a C-STORE: never success by accident
            log.error("instance.failed", trace=errors.trace_of(error), **self._uids)
            return StoreStatus.PROCESSING_FAILURE, "This node failed; see its log."
        log.debug("instance.stored", outcome=str(outcome), **self._uids)
        return StoreStatus.SUCCESS, ""

    def _keep(self) -> object:
        if self._sink is None:
            raise self._error or AssertionError
        try:
            return self._sink.keep()
        finally:
            self._sink.discard()


def _recorded(on_event: OnEvent, command: Command, content: bytes, transfer_syntax: str) -> int:
    try:
        return on_event(command, content, transfer_syntax)
    except Exception as error:  # noqa: BLE001  the edge of an N-EVENT-REPORT: what is not recorded is not answered
        log.error("commitment.not_recorded", trace=errors.trace_of(error))
        return EventStatus.PROCESSING_FAILURE
