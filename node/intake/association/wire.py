"""Bytes to and from a peer, none of them waited for without end."""

import socket
from contextlib import suppress
from mmap import mmap
from time import monotonic

BUFFER_BYTES = 256 * 1024  # of one read: more than the PDU that is offered, so that most come whole


class ConnectionEnded(Exception):
    """The peer closed or reset the connection."""


class PeerTooSlow(Exception):
    """What was due did not come, or was not taken, in time."""


class Wire:
    """A connected socket, read in large pieces and handed out in pieces of any size.

    A deadline holds for all reads until the next: it is of a whole PDU, however slowly its bytes trickle in.

    Parameters
    ----------
    received : what was read from the socket before
    """

    def __init__(self, connection: socket.socket, received: bytes = b"") -> None:
        self.socket = connection
        # Pages that are never touched cost nothing, and an idle peer touches one; a bytearray would touch them all.
        self._buffer = memoryview(mmap(-1, BUFFER_BYTES))
        self._start, self._end = 0, len(received)
        self._buffer[: self._end] = received
        self._deadline = 0.0

    def due_in(self, seconds: float) -> None:
        """Set the deadline of the reads that follow."""
        self._deadline = monotonic() + seconds

    def exactly(self, count: int) -> memoryview:
        """The next ``count`` bytes, at most `BUFFER_BYTES`; valid until the next read.

        Raises
        ------
        ConnectionEnded, PeerTooSlow
        """
        if self._end - self._start < count:
            if self._start + count > BUFFER_BYTES:
                self._make_room()
            while self._end - self._start < count:
                self._fill()
        self._start += count
        return self._buffer[self._start - count : self._start]

    def up_to(self, count: int) -> memoryview:
        """One or more of the next ``count`` bytes, as they come; valid until the next read.

        Raises
        ------
        ConnectionEnded, PeerTooSlow
        """
        if self._start == self._end:
            self._start = self._end = 0
            self._fill()
        start, self._start = self._start, min(self._start + count, self._end)
        return self._buffer[start : self._start]

    def end_reading(self) -> None:
        """Let the next read find the end of the connection; from any thread.

        Not `ssl.SSLSocket.shutdown`, after which whatever is still sent goes out in the clear.
        """
        with suppress(OSError):  # it has ended already
            socket.socket.shutdown(self.socket, socket.SHUT_RD)

    def send(self, content: bytes, timeout_s: float) -> None:
        """Hand ``content`` to the peer.

        Raises
        ------
        ConnectionEnded, PeerTooSlow
        """
        try:
            self.socket.settimeout(timeout_s)
            self.socket.sendall(content)
        except TimeoutError as error:
            raise PeerTooSlow from error
        except OSError as error:
            raise ConnectionEnded from error

    def _make_room(self) -> None:
        rest = bytes(self._buffer[self._start : self._end])
        self._start, self._end = 0, len(rest)
        self._buffer[: self._end] = rest

    def _fill(self) -> None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise PeerTooSlow
        try:
            self.socket.settimeout(left)
            count = self.socket.recv_into(self._buffer[self._end :])
        except TimeoutError as error:
            raise PeerTooSlow from error
        except OSError as error:
            raise ConnectionEnded from error
        if count == 0:
            raise ConnectionEnded
        self._end += count
