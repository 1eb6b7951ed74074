"""A connection that is not, or no longer, an association; the `listener` holds them all."""

import socket
import ssl
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from survnode.node.intake.association.proposal import MAX_REQUEST_BYTES

READ_BYTES = 64 * 1024

_HEADER_BYTES = 6
_ASSOCIATE_RQ = 0x01


class Stage(Enum):
    """What a connection waits for."""

    FIRST_BYTES = "of TLS"
    HANDSHAKE = "the rest of it"
    REQUEST = "for an association"
    END = "of the connection, since the last PDU was sent"


@dataclass
class Waiting:
    """A connection whose request has not come, or whose last PDU was sent."""

    connection: socket.socket
    address: str
    deadline: float
    stage: Stage
    received: bytearray = field(default_factory=bytearray)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.stage is Stage.END

    def read(self) -> bytes:
        """What has come; after the end it is not looked at, so it need not be decrypted, which might fail."""
        if self.is_over:
            return socket.socket.recv(self.connection, READ_BYTES)
        return self.connection.recv(READ_BYTES)

    @property
    def is_no_request(self) -> bool:
        """Whether what has come, a byte at least, begins something else, or too long a request."""
        return self.received[0] != _ASSOCIATE_RQ or (self.request_bytes or 0) > MAX_REQUEST_BYTES

    @property
    def request_bytes(self) -> int | None:
        """The length of the request; None while its header has not come."""
        if len(self.received) < _HEADER_BYTES:
            return None
        return _HEADER_BYTES + int.from_bytes(self.received[2:_HEADER_BYTES], "big")


def end_writing(connection: socket.socket) -> None:
    """Tell the peer that nothing follows, in TLS too; its answer is not waited for."""
    if isinstance(connection, ssl.SSLSocket):
        with suppress(OSError, ValueError):  # it has nothing to end, or waits for the answer
            connection.unwrap()
    socket.socket.shutdown(connection, socket.SHUT_WR)


def first_of_the_crowd(waiting: Collection[Waiting]) -> Waiting:
    """Of connections in the order in which they came, the first from the address that has most of them."""
    crowd = Counter(connection.address for connection in waiting).most_common(1)[0][0]
    return next(connection for connection in waiting if connection.address == crowd)
