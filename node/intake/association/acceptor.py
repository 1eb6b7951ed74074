"""One association from its acceptance to its end: requests are read as they come and answered one by one.

The state machine is that of an acceptor who never asks for a release himself (PS3.8 9.2.3). Before it stands Sta2,
awaiting the request, which the `listener` reads; after it Sta13, awaiting the end of the connection, to which the
listener sees as well. What is left is Sta6, data transfer:

====================  ================================================================
A-ASSOCIATE-RQ/AC/RJ  AA-8: A-ABORT, unexpected PDU
P-DATA-TF             DT-2: the data goes to its request; a whole request is answered
A-RELEASE-RQ          AR-2, AR-4: A-RELEASE-RP, the end
A-RELEASE-RP          AA-8
A-ABORT               AA-3: the end
anything else         AA-8: A-ABORT, unrecognised PDU
time-out              AA-8: A-ABORT, no reason given
====================  ================================================================

A release that comes while a request is worked on waits in the socket until that is answered.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from time import monotonic

from survnode.node.intake.association.dimse import (
    ANSWER,
    MAX_COMMAND_BYTES,
    Command,
    CommandField,
    CommandUnreadable,
    answer_to,
    read_command,
)
from survnode.node.intake.association.log import Tally
from survnode.node.intake.association.negotiation import Agreement
from survnode.node.intake.association.request_server import Request, RequestServer
from survnode.node.intake.association.wire import ConnectionEnded, PeerTooSlow, Wire
from survnode.node.state.records import AssociationEnd

PDU_TIMEOUT_S = 10.0  # for the whole of a PDU, however slowly it trickles
MESSAGE_TIMEOUT_S = 60.0  # for the whole of a request, and ...
MIN_BYTES_PER_S = 16 * 1024  # ... a second more for each so many bytes of it: the slowest line in use is far faster
MAX_PDU_BYTES_TAKEN = (
    64 << 20
)  # some senders ignore the length that is offered; its data is streamed, so it costs nothing


class PDUType(IntEnum):
    """PS3.8 9.3.1."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class AbortReason(IntEnum):
    """Why this side aborts, as its provider (PS3.8 9.3.8)."""

    NOT_SPECIFIED = 0
    UNRECOGNISED_PDU = 1
    UNEXPECTED_PDU = 2
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6

    @property
    def pdu(self) -> bytes:
        """The A-ABORT."""
        return struct.pack(">BxLxxBB", PDUType.ABORT, 4, 2, self)


RELEASE_RP = struct.pack(">BxLxxxx", PDUType.RELEASE_RP, 4)


class _Abort(Exception):
    """The association must be ended by this side; the message says why."""

    def __init__(self, reason: AbortReason, words: str) -> None:
        self.reason = reason
        super().__init__(words)


class _Over(Exception):
    """The peer ended the association."""

    def __init__(self, end: AssociationEnd) -> None:
        self.end = end
        super().__init__(end.sentence)


@dataclass
class _Message:
    """A request of which not all has come; its command, then its data set."""

    context_id: int
    began: float
    encoded_command: bytearray = field(default_factory=bytearray)
    command: Command | None = None
    request: Request | None = None
    size_bytes: int = 0


class Acceptor:
    """The accepting side of one association."""

    def __init__(
        self, wire: Wire, agreement: Agreement, tally: Tally, server: RequestServer, idle_timeout_s: float
    ) -> None:
        self.agreement, self._tally = agreement, tally
        self._wire, self._server, self._idle_timeout_s = wire, server, idle_timeout_s
        self._message: _Message | None = None
        self._is_stopping = False

    def run(self) -> None:
        """Serve until the end, and tell the tally which it was."""
        try:
            self._send(self.agreement.pdu)
            while True:
                self._serve_pdu()
        except _Over as over:
            self._tally.ends(over.end)
        except _Abort as abort:
            self._abort(abort.reason, str(abort))
        except PeerTooSlow:
            self._abort(AbortReason.NOT_SPECIFIED, "The peer was silent or too slow.")
        except ConnectionEnded:
            if self._is_stopping:
                self._abort(AbortReason.NOT_SPECIFIED, "The node stopped.")
        finally:
            if self._message is not None and self._message.request is not None:
                self._message.request.discard()

    def stop(self) -> None:
        """End it at its next read; from another thread."""
        self._is_stopping = True
        self._wire.end_reading()

    def _serve_pdu(self) -> None:
        if self._is_stopping:  # a fast sender's bytes come after the end of the connection too
            raise ConnectionEnded
        self._wire.due_in(self._idle_timeout_s)
        kind = self._wire.exactly(1)[0]
        self._wire.due_in(PDU_TIMEOUT_S)
        (length,) = struct.unpack(">xL", self._wire.exactly(5))
        if kind == PDUType.P_DATA_TF:
            self._take_data(length)
        elif kind == PDUType.RELEASE_RQ:
            self._send(RELEASE_RP)
            raise _Over(AssociationEnd.RELEASED)
        elif kind == PDUType.ABORT:
            raise _Over(AssociationEnd.ABORTED_BY_PEER)
        elif kind in tuple(PDUType):
            raise _Abort(AbortReason.UNEXPECTED_PDU, f"A PDU of type {kind} came in mid-association.")
        else:
            raise _Abort(AbortReason.UNRECOGNISED_PDU, "What came is not a PDU.")

    def _take_data(self, length: int) -> None:
        """Read the presentation data values of a P-DATA-TF (PS3.8 9.3.5)."""
        if length > MAX_PDU_BYTES_TAKEN:
            raise _Abort(AbortReason.INVALID_PARAMETER, f"A PDU of {length} bytes is too long.")
        while length:
            if length < 6:
                raise _Abort(AbortReason.INVALID_PARAMETER, "A PDU claims more bytes than it holds.")
            item, context_id, control = struct.unpack(">LBB", self._wire.exactly(6))
            if not 2 <= item <= length - 4:
                raise _Abort(AbortReason.INVALID_PARAMETER, "A data value is not as long as its PDU allows.")
            length -= item + 4
            self._take_value(context_id, control, item - 2)

    def _take_value(self, context_id: int, control: int, size: int) -> None:
        """Read one fragment of a command or of a data set (PS3.8 E.2)."""
        message = self._message_of(context_id)
        is_command, is_last = bool(control & 1), bool(control & 2)
        if is_command is not (message.command is None):
            raise _Abort(AbortReason.UNEXPECTED_PARAMETER, "A command came where a data set was due, or the reverse.")
        if is_command:
            self._take_command(message, size, is_last)
        else:
            self._take_data_set(message, size, is_last)

    def _message_of(self, context_id: int) -> _Message:
        if context_id not in self.agreement.contexts:
            raise _Abort(AbortReason.INVALID_PARAMETER, "Data came in a presentation context that was not accepted.")
        if self._message is None:
            self._message = _Message(context_id, monotonic())
        message = self._message
        if message.context_id != context_id:
            raise _Abort(AbortReason.UNEXPECTED_PARAMETER, "A request began before the last one had ended.")
        if monotonic() > message.began + MESSAGE_TIMEOUT_S + message.size_bytes / MIN_BYTES_PER_S:
            raise PeerTooSlow
        return message

    def _take_command(self, message: _Message, size: int, is_last: bool) -> None:
        if len(message.encoded_command) + size > MAX_COMMAND_BYTES:
            raise _Abort(AbortReason.INVALID_PARAMETER, "A command set is too long.")
        message.encoded_command += self._wire.exactly(size)
        if not is_last:
            return
        try:
            message.command = read_command(bytes(message.encoded_command))
        except CommandUnreadable as error:
            raise _Abort(AbortReason.INVALID_PARAMETER, f"A command set cannot be read: {error}") from error
        self._begin(message, message.command)

    def _begin(self, message: _Message, command: Command) -> None:
        if command.field & ANSWER:
            raise _Abort(AbortReason.INVALID_PARAMETER, "A response came to no request.")
        if command.field == CommandField.C_CANCEL:  # what it would cancel is answered: requests come one by one
            self._message = None
            return
        message.request = self._server.begin(self.agreement.contexts[message.context_id], command)
        if not command.has_data_set:
            self._answer(message, command, message.request)

    def _take_data_set(self, message: _Message, size: int, is_last: bool) -> None:
        command, request = message.command, message.request
        assert command is not None  # noqa: S101  it came before its data set, and with it the request
        assert request is not None  # noqa: S101
        message.size_bytes += size
        if message.size_bytes > request.max_bytes:
            raise _Abort(AbortReason.NOT_SPECIFIED, f"An object of more than {request.max_bytes} bytes is not taken.")
        while size:
            fragment = self._wire.up_to(size)
            size -= len(fragment)
            request.write(fragment)
        if is_last:
            self._answer(message, command, request)

    def _answer(self, message: _Message, command: Command, request: Request) -> None:
        status, comment = request.answer()
        self._message = None
        self._send_command(message.context_id, answer_to(command, status, comment))

    def _send_command(self, context_id: int, content: bytes) -> None:
        """Send a command set in as many PDUs as the peer's length asks for."""
        most = max(self.agreement.max_pdu_bytes - 6, 1) if self.agreement.max_pdu_bytes else len(content)
        for start in range(0, len(content), most):
            part = content[start : start + most]
            is_last = start + most >= len(content)
            header = struct.pack(
                ">BxLLBB", PDUType.P_DATA_TF, len(part) + 6, len(part) + 2, context_id, 3 if is_last else 1
            )
            self._send(header + part)

    def _send(self, content: bytes) -> None:
        self._wire.send(content, PDU_TIMEOUT_S)

    def _abort(self, reason: AbortReason, words: str) -> None:
        self._tally.ends(AssociationEnd.ABORTED_BY_NODE, words)
        with suppress(ConnectionEnded, PeerTooSlow):  # it need not be told what it knows
            self._send(reason.pdu)
