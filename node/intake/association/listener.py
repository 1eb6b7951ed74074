"""The listening socket, and every connection that is not, or no longer, an association.

One thread holds them all: a peer that says nothing costs a descriptor, and a refused address not even that. Only who
was accepted takes a place, and gets a thread.
"""

import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from time import monotonic

import structlog

from survnode.node import errors
from survnode.node.contexts import WATCHDOG_AE_TITLE
from survnode.node.intake.association.acceptor import AbortReason
from survnode.node.intake.association.no_request import NoRequestReports, OnNoRequest
from survnode.node.intake.association.waiting import READ_BYTES, Stage, Waiting, end_writing, first_of_the_crowd
from survnode.node.state.records import AssociationEnd
from survnode.node.tls import RenewedTLS, ServerTLS, reason_of

log = structlog.get_logger()

BACKLOG = 128
MAX_WAITING = 512  # connections without an association; of more, one is closed: an honest one waits milliseconds
LINGER_S = 2.0  # for the peer to take the last PDU and to close (ARTIM, PS3.8 9.1.5)

NOT_ACCEPTED_S = 0.1  # before the next try

_TLS_HANDSHAKE = 0x16  # the first byte of a ClientHello's record (RFC 8446 5.1)

OnRequest = Callable[[socket.socket, str, bytes, bytes], None]  # connection, address, the request, what came after it


class Listener:
    """Accepts connections and reads their requests for an association.

    Parameters
    ----------
    networks : addresses or networks of senders; none means all
    timeout_s : from connection to request
    on_request : gets each request, in the listening thread; the connection is its own from then on
    on_no_request : gets the connections that asked for no association, see `NoRequestReports`
    tls : what connections must begin with, within the same ``timeout_s``; None: nothing
    """

    def __init__(
        self,
        networks: tuple[str, ...],
        timeout_s: float,
        on_request: OnRequest,
        on_no_request: OnNoRequest,
        tls: ServerTLS | None = None,
    ) -> None:
        self.admit(networks)
        self._tls = None if tls is None else RenewedTLS(tls)
        self._timeout_s, self._on_request = timeout_s, on_request
        self._report = NoRequestReports(on_no_request).report
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[socket.socket, Waiting] = {}  # the oldest first
        self._over: list[socket.socket] = []  # handed back by other threads
        self._listening: socket.socket | None = None
        self._waker, self._wakened = socket.socketpair()
        self._closing, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)

    def start(self, host: str, port: int) -> int:
        """Listen; the port.

        Raises
        ------
        ReceiverFailed
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise errors.ReceiverFailed(f"Cannot listen at {host}:{port}: {error.strerror}.") from error
        self._listening.setblocking(False)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._wakened, selectors.EVENT_READ)
        self._thread.start()
        return int(self._listening.getsockname()[1])

    def close(self) -> None:
        """Listen no more, and close every connection that has not asked for an association."""
        self._closing.set()
        self._wake()

    def stop(self) -> None:
        """Listen no more, and close every connection that is no association."""
        self._stopping.set()
        self._wake()
        self._thread.join()

    def admit(self, networks: tuple[str, ...]) -> None:
        """Take connections from these networks from now on; none means all."""
        self._networks = [ip_network(network, strict=False) for network in networks]

    def let_end(self, connection: socket.socket) -> None:
        """Let the peer of an association that is over close the connection; from any thread."""
        self._over.append(connection)
        if not self._wake():  # nobody else closes it
            connection.close()

    def _wake(self) -> bool:
        """Have the thread look at what it was told; whether it has not ended meanwhile."""
        try:
            self._waker.send(b"\0")
        except OSError:
            return False
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(self._time_to_wait()):
                self._serve_whatever_comes(key.fileobj)
            self._close_late()
            if self._closing.is_set() and self._listening is not None:
                self._stop_listening(self._listening)
        if self._listening is not None:
            self._stop_listening(self._listening)
        self._linger_all()
        for waiting in list(self._waiting.values()):
            self._close(waiting)
        self._wakened.close()
        self._waker.close()
        self._selector.close()

    def _stop_listening(self, listening: socket.socket) -> None:
        self._listening = None
        self._selector.unregister(listening)
        listening.close()
        for waiting in [waiting for waiting in self._waiting.values() if not waiting.is_over]:
            self._close(waiting)

    def _serve_whatever_comes(self, ready: object) -> None:
        """Serve one connection; whatever is wrong with it, the others are served on."""
        try:
            self._serve(ready)
        except Exception as error:  # noqa: BLE001  the edge of a connection: all others hang on this thread
            log.error("receiver.failed", trace=errors.trace_of(error))
            if isinstance(ready, socket.socket) and ready in self._waiting:
                self._close(self._waiting[ready])

    def _serve(self, ready: object) -> None:
        if self._listening is not None and ready is self._listening:
            self._accept(self._listening)
        elif ready is self._wakened:
            self._wakened.recv(READ_BYTES)
            self._linger_all()
        elif isinstance(ready, socket.socket) and ready in self._waiting:  # else it was closed just now
            self._go_on(self._waiting[ready])

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, peer = listening.accept()
        except OSError as error:  # the peer has gone again, or there is no descriptor left
            log.warning("receiver.not_accepted", error=type(error).__name__, errno=error.errno)
            self._make_room(0)
            self._stopping.wait(NOT_ACCEPTED_S)
            return
        address = str(peer[0])
        if not self._is_welcome(address):
            connection.close()
            self._report(address, AssociationEnd.ADDRESS_REFUSED)
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._make_room(MAX_WAITING - 1)
        self._await_request(connection, address)

    def _await_request(self, connection: socket.socket, address: str) -> None:
        deadline = monotonic() + self._timeout_s
        if self._tls is None:
            self._wait(Waiting(connection, address, deadline, Stage.REQUEST))
            return
        context = self._tls.context()
        try:
            secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except OSError:  # the peer has gone again
            connection.close()
            return
        self._wait(Waiting(secured, address, deadline, Stage.FIRST_BYTES))

    def _speaks_tls(self, waiting: Waiting) -> bool:
        """Whether the first byte is of TLS; a peer that speaks plain DICOM is told so in its own words."""
        with suppress(OSError):  # it has gone, which the handshake finds too
            first = socket.socket.recv(waiting.connection, READ_BYTES, socket.MSG_PEEK)  # it is not read yet
            if first and first[0] != _TLS_HANDSHAKE:
                if WATCHDOG_AE_TITLE.encode() not in first:  # of this node's own service: that it is answered will do
                    self._report(waiting.address, AssociationEnd.TLS_REFUSED, "The peer does not speak TLS.")
                self._forget(waiting)
                socket.socket.send(waiting.connection, AbortReason.NOT_SPECIFIED.pdu)
                self._linger(waiting.connection)
                return False
        waiting.stage = Stage.HANDSHAKE
        return True

    def _shake_hands(self, connection: ssl.SSLSocket, waiting: Waiting) -> None:
        """Go on with a handshake as far as the peer's bytes reach; our part fits into a new socket's buffer."""
        try:
            connection.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._report(waiting.address, AssociationEnd.TLS_REFUSED, f"The TLS handshake failed: {reason_of(error)}.")
            self._forget(waiting)
            self._linger(connection)
            return
        waiting.stage = Stage.REQUEST
        self._read(waiting)

    def _is_welcome(self, address: str) -> bool:
        return not self._networks or any(ip_address(address) in network for network in self._networks)

    def _wait(self, waiting: Waiting) -> None:
        self._waiting[waiting.connection] = waiting
        self._selector.register(waiting.connection, selectors.EVENT_READ)

    def _linger_all(self) -> None:
        while self._over:
            self._linger(self._over.pop())

    def _linger(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            end_writing(connection)
        except OSError:  # it is closed already
            connection.close()
            return
        self._make_room(MAX_WAITING - 1)
        self._wait(Waiting(connection, "", monotonic() + LINGER_S, Stage.END))

    def _go_on(self, waiting: Waiting) -> None:
        if waiting.stage is Stage.FIRST_BYTES and not self._speaks_tls(waiting):
            return
        if waiting.stage is Stage.HANDSHAKE and isinstance(waiting.connection, ssl.SSLSocket):
            self._shake_hands(waiting.connection, waiting)
        else:
            self._read(waiting)

    def _read(self, waiting: Waiting) -> None:
        """Read what has come; of TLS no more than a record is read at once, so that none stays behind unseen."""
        try:
            content = waiting.read()
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            content = b""
        if not content:
            self._close(waiting, "The peer closed the connection.")
        elif not waiting.is_over:  # what comes after the end is not looked at
            waiting.received += content
            self._read_request(waiting)

    def _read_request(self, waiting: Waiting) -> None:
        length = waiting.request_bytes
        if waiting.is_no_request:
            words = "What came is not a request for an association, or is too long."
            self._report(waiting.address, AssociationEnd.NO_REQUEST, words)
            self._abort(waiting)
        elif length is not None and len(waiting.received) >= length:
            self._forget(waiting)
            received = bytes(waiting.received)
            self._on_request(waiting.connection, waiting.address, received[:length], received[length:])

    def _abort(self, waiting: Waiting) -> None:
        """Answer what is no request for an association, or too long a one (PS3.8 9.2, AA-1)."""
        self._forget(waiting)
        with suppress(OSError):  # it need not be told
            waiting.connection.send(AbortReason.UNEXPECTED_PDU.pdu)
        self._linger(waiting.connection)

    def _time_to_wait(self) -> float | None:
        if not self._waiting:
            return None
        return max(min(waiting.deadline for waiting in self._waiting.values()) - monotonic(), 0.0)

    def _close_late(self) -> None:
        now = monotonic()
        for waiting in [waiting for waiting in self._waiting.values() if waiting.deadline <= now]:
            self._close(waiting, "No whole request came in time.")

    def _make_room(self, keep: int) -> None:
        """If more than ``keep`` connections wait, close the oldest of the address that has most of them."""
        if len(self._waiting) > keep:
            self._close(first_of_the_crowd(self._waiting.values()), "Too many connections wait.")

    def _forget(self, waiting: Waiting) -> None:
        del self._waiting[waiting.connection]
        self._selector.unregister(waiting.connection)

    def _close(self, waiting: Waiting, why: str = "") -> None:
        self._forget(waiting)
        waiting.connection.close()
        if why and not waiting.is_over:
            self._report(waiting.address, AssociationEnd.NO_REQUEST, why)
