"""Associations: C-ECHO, C-STORE and answers to storage commitment, each handed to a callable that says the status.

It knows nothing of the store, so that a demonstration or a test can receive with it too; `service.receiving` joins
the two. `Listener` holds connections until they ask for an association, an `Acceptor` serves one that was accepted.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO

import structlog
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from survnode.node import errors
from survnode.node.contexts import COMMITMENT, RESULT_TRANSFER_SYNTAXES, Contexts, EventStatus
from survnode.node.intake.association.acceptor import AbortReason, Acceptor
from survnode.node.intake.association.dimse import Command
from survnode.node.intake.association.limit import AssociationLimit
from survnode.node.intake.association.listener import Listener
from survnode.node.intake.association.log import OnAssociation, Tally, rejection_of
from survnode.node.intake.association.negotiation import Agreement, Rejection, agree
from survnode.node.intake.association.proposal import (
    APPLICATION_CONTEXT,
    RequestInvalid,
    read_proposal,
    read_titles,
)
from survnode.node.intake.association.request_server import RequestServer, Sink, Spool
from survnode.node.intake.association.wire import ConnectionEnded, PeerTooSlow, Wire
from survnode.node.intake.instance import Received, StoreRequest
from survnode.node.state.records import AssociationEnd
from survnode.node.tls import ServerTLS, subject_of

log = structlog.get_logger()

ANSWER_TIMEOUT_S = 1.0  # for a new peer to take the answer to its request, which waits in its buffers

OnStore = Callable[[Received], object]
OnCommitment = Callable[[int, Dataset], EventStatus]


@dataclass(frozen=True)
class Listening:
    """Where to listen and to whom.

    Parameters
    ----------
    ae_title : what a sender must call, or one of ``also_called``
    port : 0 takes a free one, see `Receiver.port`
    calling_ae_titles : the senders that are taken; none means all. Each has a place that the others cannot take
    networks : addresses or networks (``192.0.2.0/24``) of senders; none means all
    max_associations : at once; the next is rejected as a passing condition; see `AssociationLimit` for the shares
    acse_timeout_s : from connection to the request for an association
    idle_timeout_s : without any PDU in an association
    tls : what a connection must begin with, within ``acse_timeout_s``; None: nothing
    """

    ae_title: str
    host: str = "127.0.0.1"
    port: int = 0
    calling_ae_titles: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    max_associations: int = 128
    acse_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0
    also_called: tuple[str, ...] = ()
    tls: ServerTLS | None = None

    @property
    def ae_titles(self) -> tuple[str, ...]:
        """Every title that it answers to."""
        return (self.ae_title, *self.also_called)


class InMemory:
    """A spool that hands each instance over as a whole."""

    def __init__(self, on_store: OnStore) -> None:
        self._on_store = on_store

    def has_room(self) -> bool:
        """Whether images may come: always."""
        return True

    def begin(self, request: StoreRequest) -> Sink:
        """Take the data set of a request from now on."""
        return _Memory(request, self._on_store)


class _Memory:
    def __init__(self, request: StoreRequest, on_store: OnStore) -> None:
        self._request, self._on_store, self._content = request, on_store, bytearray()

    def write(self, fragment: memoryview) -> None:
        self._content += fragment

    def keep(self) -> object:
        request = self._request
        received = Received(
            request.sop_class_uid,
            request.sop_instance_uid,
            request.transfer_syntax_uid,
            request.calling_ae_title,
            bytes(self._content),
            called_ae_title=request.called_ae_title,
            peer=request.peer,
        )
        return self._on_store(received)

    def discard(self) -> None:
        self._content = bytearray()


class Receiver:
    """A storage and verification SCP.

    Parameters
    ----------
    contexts : SOP classes and transfer syntaxes that are accepted
    spool : takes each instance as it comes; or a callable that gets each as a whole. It is called in the thread of its
        association; the sender is told success when it returns, and what `contexts.status_of` says of the error when
        it raises
    on_commitment : gets event type and information of each answer to a request for storage commitment, and says what
        the peer is told; without it such associations are not taken
    on_association : gets the record of each association that has ended, and of each connection that did not become one

    Raises
    ------
    TLSUnusable
    """

    def __init__(
        self,
        listening: Listening,
        contexts: Contexts,
        spool: Spool | OnStore,
        on_commitment: OnCommitment | None = None,
        on_association: OnAssociation | None = None,
    ) -> None:
        self._listening, self._on_commitment, self._on_association = listening, on_commitment, on_association
        self._spool = spool if isinstance(spool, Spool) else InMemory(spool)
        self._contexts = contexts if on_commitment is None else {**contexts, COMMITMENT: RESULT_TRANSFER_SYNTAXES}
        self._places = AssociationLimit(listening.max_associations, listening.calling_ae_titles)
        self._threads: dict[threading.Thread, Acceptor] = {}
        self._listener = Listener(
            listening.networks, listening.acse_timeout_s, self._on_request, self._on_no_request, listening.tls
        )
        self._port: int | None = None

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ReceiverFailed
        """
        host = self._listening.host
        self._port = self._listener.start(host, self._listening.port)
        log.info("receiver.listening", ae_title=self._listening.ae_title, host=host, port=self._port)

    @property
    def port(self) -> int:
        """The port at which it listens."""
        assert self._port is not None  # noqa: S101  it has none before it was started
        return self._port

    def admit(self, listening: Listening) -> None:
        """Take from now on whom ``listening`` lists; associations that are open go on, and nothing else of it holds."""
        titles, networks = listening.calling_ae_titles, listening.networks
        self._listening = replace(self._listening, calling_ae_titles=titles, networks=networks)
        self._places.keep_for(titles)
        self._listener.admit(networks)
        log.info("receiver.admits", calling_ae_titles=list(titles), networks=list(networks))

    def stop(self, drain_s: float = 10.0) -> None:
        """Take no more associations, let those that are open end, and abort them after ``drain_s``."""
        if self._port is None:
            return
        self._port = None
        self._listener.close()
        deadline = time.monotonic() + drain_s
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))
        while left := list(self._threads.items()):
            for thread, acceptor in left:
                acceptor.stop()
                thread.join()
        self._listener.stop()

    def _on_request(self, connection: socket.socket, address: str, request: bytes, rest: bytes) -> None:
        """Accept an association or reject it; in the listening thread, which must not wait long."""
        tally = Tally(address, certificate=subject_of(connection))
        wire = Wire(connection, rest)
        try:
            titles = read_titles(request)
            tally.requested(titles.calling, titles.called)
            agreed = self._decide(request, address)
        except RequestInvalid as error:
            tally.ends(AssociationEnd.ABORTED_BY_NODE, str(error))
            self._turn_away(wire, tally, AbortReason.INVALID_PARAMETER.pdu)
            return
        except Exception as error:  # noqa: BLE001  the edge of a request: nobody else must suffer from it
            log.error("association.failed", trace=errors.trace_of(error))
            tally.ends(AssociationEnd.ABORTED_BY_NODE, "This node failed; see its log.")
            self._turn_away(wire, tally, AbortReason.NOT_SPECIFIED.pdu)
            return
        if isinstance(agreed, Rejection):
            tally.ends(AssociationEnd.REJECTED, self._why(agreed, tally))
            self._turn_away(wire, tally, agreed.pdu)
            return
        for abstract_syntax, answer in agreed.answers:
            tally.answered(abstract_syntax, answer)
        self._serve(wire, agreed, tally)

    def _decide(self, request: bytes, address: str) -> Agreement | Rejection:
        """The association, with its place, or why there is none; what a stranger asks for is not read."""
        titles, listening = read_titles(request), self._listening
        if titles.protocol_version & 1 == 0:
            return Rejection.PROTOCOL_UNKNOWN
        if titles.called not in listening.ae_titles:
            return Rejection.CALLED_UNKNOWN
        if listening.calling_ae_titles and titles.calling not in listening.calling_ae_titles:
            return Rejection.CALLING_UNKNOWN
        proposal = read_proposal(request)
        if proposal.application_context != APPLICATION_CONTEXT:
            return Rejection.APPLICATION_UNKNOWN
        agreement = agree(proposal, self._contexts)
        if agreement.brings_images and not self._spool.has_room():
            return Rejection.DISK_LOW
        return agreement if self._places.take(titles.calling, address) else Rejection.PLACES_TAKEN

    def _why(self, rejection: Rejection, tally: Tally) -> str:
        """Why there is no association, in words for a person."""
        ours, allowed = self._listening.ae_titles, self._listening.calling_ae_titles
        full = rejection is Rejection.PLACES_TAKEN
        why = rejection_of(tally.called_ae_title, tally.calling_ae_title, ours=ours, allowed=allowed, full=full)
        return why or rejection.words

    def _serve(self, wire: Wire, agreement: Agreement, tally: Tally) -> None:
        on_event = self._on_event if self._on_commitment else None
        server = RequestServer(agreement, tally, self._spool, on_event)
        acceptor = Acceptor(wire, agreement, tally, server, self._listening.idle_timeout_s)
        thread = threading.Thread(target=self._run, args=(acceptor, wire, tally), name="association", daemon=True)
        self._threads[thread] = acceptor
        thread.start()

    def _run(self, acceptor: Acceptor, wire: Wire, tally: Tally) -> None:
        """One association, in its own thread."""
        try:
            acceptor.run()
        finally:
            self._places.give_back(acceptor.agreement.titles.calling, tally.peer)
            try:
                self._end(wire, tally)
            finally:  # last: who stops the receiver waits for this
                del self._threads[threading.current_thread()]

    def _turn_away(self, wire: Wire, tally: Tally, answer: bytes) -> None:
        with suppress(ConnectionEnded, PeerTooSlow):  # it need not be told
            wire.send(answer, ANSWER_TIMEOUT_S)
        self._end(wire, tally)

    def _end(self, wire: Wire, tally: Tally) -> None:
        self._listener.let_end(wire.socket)
        if self._on_association is not None:
            self._on_association(tally.record())

    def _on_no_request(self, address: str, end: AssociationEnd, detail: str) -> None:
        if self._on_association is not None:
            tally = Tally(address)
            tally.ends(end, detail)
            self._on_association(tally.record())

    def _on_event(self, command: Command, encoded: bytes, transfer_syntax: str) -> EventStatus:
        syntax = UID(transfer_syntax)
        information = read_dataset(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian)
        assert self._on_commitment is not None  # noqa: S101  else this was not handed on
        return self._on_commitment(command.event_type_id, information)
