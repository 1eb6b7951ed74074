"""Associations: C-ECHO, C-STORE and answers to storage commitment, each handed to a callable that says the status.

It knows nothing of the store, so that a demonstration or a test can receive with it too; `service.receiving` joins
the two. What it accepts are the rules of `contexts.negotiated`, what it tells of an association is a `Tally`.
"""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from socketserver import BaseServer
from typing import Any

import structlog
from pydicom import Dataset
from pynetdicom import AE, _config, build_context, evt
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ, A_RELEASE_RP
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.transport import ThreadedAssociationServer

from survnode.node import errors
from survnode.node.contexts import (
    COMMITMENT,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    RESULT_TRANSFER_SYNTAXES,
    VERIFICATION,
    Contexts,
    EventStatus,
    StoreStatus,
    may_be_storage,
    negotiated,
    status_of,
)
from survnode.node.intake.associations import OnAssociation, Tally, rejection_of
from survnode.node.intake.instance import Received
from survnode.node.state.records import AssociationEnd

log = structlog.get_logger()

MAX_PDU_BYTES = 128 * 1024  # offered to senders
MAX_ANY_PDU_BYTES = 1 << 20  # an A-ASSOCIATE-RQ may be longer than that; nothing honest is longer than this
MAX_OBJECT_BYTES = 1 << 30  # of one data set; an enhanced CT of 1,500 slices is smaller
PDU_TIMEOUT_S = 10.0  # for the whole of a PDU, however slowly it trickles
STORAGE_SERVICE = "1.2.840.10008.4.2"  # PS3.4 B
BACKLOG = 128
POLL_S = 0.1  # how late the listening thread may notice that it is to stop

OnStore = Callable[[Received], object]
OnCommitment = Callable[[int, Dataset], EventStatus]


@dataclass(frozen=True)
class Listening:
    """Where to listen and to whom.

    Parameters
    ----------
    ae_title : what a sender must call, or one of ``also_called``
    port : 0 takes a free one, see `Receiver.port`
    calling_ae_titles : the senders that are taken; none means all
    networks : addresses or networks (``192.0.2.0/24``) of senders; none means all
    max_associations : at once; the next is rejected as a passing condition
    acse_timeout_s : from connection to association
    idle_timeout_s : without any PDU in an association
    """

    ae_title: str
    host: str = "127.0.0.1"
    port: int = 0
    calling_ae_titles: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    max_associations: int = 64
    acse_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0
    also_called: tuple[str, ...] = ()

    @property
    def ae_titles(self) -> tuple[str, ...]:
        """Every title that it answers to."""
        return (self.ae_title, *self.also_called)


class Receiver:
    """A storage and verification SCP.

    Parameters
    ----------
    contexts : SOP classes and transfer syntaxes that are accepted
    on_store : gets each instance in the thread of its association; the sender is told success when it returns, and
        what `contexts.status_of` says of the error when it raises
    on_commitment : gets event type and information of each answer to a request for storage commitment, and says what
        the peer is told; without it such associations are not taken
    on_association : gets the record of each association that has ended, and of each connection that did not become one
    """

    def __init__(
        self,
        listening: Listening,
        contexts: Contexts,
        on_store: OnStore,
        on_commitment: OnCommitment | None = None,
        on_association: OnAssociation | None = None,
    ) -> None:
        self._listening, self._on_store, self._on_commitment = listening, on_store, on_commitment
        self._contexts, self._on_association = contexts, on_association
        self._tallies: dict[Any, Tally] = {}  # by association, until it has ended
        self._networks = [ip_network(network, strict=False) for network in listening.networks]
        self._ae = _application_entity(listening)
        if on_commitment is not None:  # the peer calls as the SCP: role selection (PS3.7 D.3.3.4)
            self._ae.add_supported_context(COMMITMENT, list(RESULT_TRANSFER_SYNTAXES), scu_role=True, scp_role=True)
        self._server: Any = None  # pynetdicom is untyped

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ReceiverFailed
        """
        _config.LOG_HANDLER_LEVEL = "none"  # formatting each PDU for a log nobody reads costs a fifth of the time
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._on_connection),
            (evt.EVT_REQUESTED, self._on_request),
            (evt.EVT_ACCEPTED, _serve_any_storage),
            (evt.EVT_PDU_RECV, self._on_pdu),
            (evt.EVT_PDU_SENT, self._on_pdu),
            (evt.EVT_C_ECHO, self._on_c_echo),
            (evt.EVT_C_STORE, self._on_c_store),
            (evt.EVT_N_EVENT_REPORT, self._on_event_report),
        ]
        address = (self._listening.host, self._listening.port)
        try:
            self._server = self._ae.make_server(address, evt_handlers=handlers, server_class=ThreadedAssociationServer)
            self._server.service_actions = self._report_ended  # is called at least every `POLL_S`
            self._server.socket.listen(BACKLOG)
        except OSError as error:
            msg = f"Cannot listen at {self._listening.host}:{self._listening.port}: {error.strerror}."
            raise errors.ReceiverFailed(msg) from error
        threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="receiver", daemon=True).start()
        log.info("receiver.listening", ae_title=self._listening.ae_title, host=self._listening.host, port=self.port)

    @property
    def port(self) -> int:
        """The port at which it listens."""
        return int(self._server.server_address[1])

    def stop(self, drain_s: float = 10.0) -> None:
        """Take no more associations, let those that are open end, and abort them after ``drain_s``."""
        if self._server is None:
            return
        server, self._server = self._server, None
        BaseServer.shutdown(server)  # pynetdicom's own expects that its AE made the thread
        server.server_close()
        deadline = time.monotonic() + drain_s
        for assoc in server.active_associations:
            assoc.join(max(0.0, deadline - time.monotonic()))
        for assoc in server.active_associations:
            log.warning("receiver.aborted", calling_ae_title=assoc.requestor.ae_title)
            self._tallies[assoc].ends(AssociationEnd.ABORTED_BY_NODE, "The node stopped.")
            assoc.abort()
        self._report_ended(all_of_them=True)

    def _report_ended(self, *, all_of_them: bool = False) -> None:
        """Tell of each association whose thread has ended."""
        for assoc in list(self._tallies):
            if all_of_them or (assoc.ident is not None and not assoc.is_alive()):
                tally = self._tallies.pop(assoc)
                if self._on_association is not None:
                    self._on_association(tally.record())

    def _on_connection(self, event: Any) -> None:
        transport, address = event.assoc.dul.socket, event.address[0]
        tally = self._tallies[event.assoc] = Tally(address)
        if not self._is_welcome(address):
            tally.ends(AssociationEnd.ADDRESS_REFUSED)
            transport.close()
            return
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.recv = _BoundedReader(transport, tally).read

    def _on_request(self, event: Any) -> None:
        """Decide what is accepted, before pynetdicom negotiates within it."""
        assoc, tally = event.assoc, self._tallies[event.assoc]
        calling, called = (
            str(assoc.requestor.primitive.calling_ae_title),
            str(assoc.requestor.primitive.called_ae_title),
        )
        tally.requested(calling, called)
        if called in self._listening.ae_titles:
            assoc.acceptor.ae_title = called
        _propose(assoc, self._contexts, tally)

    def _on_pdu(self, event: Any) -> None:
        """See how an association ends; P-DATA, which is most of them, says nothing of that."""
        tally = self._tallies.get(event.assoc)
        if tally is None:
            return
        if isinstance(event.pdu, A_RELEASE_RP):
            tally.ends(AssociationEnd.RELEASED)
        elif isinstance(event.pdu, A_ABORT_RQ):
            by_peer = event.event is evt.EVT_PDU_RECV
            tally.ends(AssociationEnd.ABORTED_BY_PEER if by_peer else AssociationEnd.ABORTED_BY_NODE)
        elif isinstance(event.pdu, A_ASSOCIATE_RJ):
            reason = rejection_of(
                tally.called_ae_title,
                tally.calling_ae_title,
                ours=self._listening.ae_titles,
                allowed=self._listening.calling_ae_titles,
                full=True,
            )
            tally.ends(AssociationEnd.REJECTED, reason or "")

    def _on_c_echo(self, event: Any) -> int:
        self._tallies[event.assoc].echoed()
        return int(StoreStatus.SUCCESS)

    def _is_welcome(self, address: str) -> bool:
        return not self._networks or any(ip_address(address) in network for network in self._networks)

    def _on_c_store(self, event: Any) -> int:
        request = event.request
        received = Received(
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            calling_ae_title=str(event.assoc.requestor.ae_title),
            encoded=request.DataSet.getvalue() if request.DataSet else b"",
            called_ae_title=str(event.assoc.requestor.primitive.called_ae_title),
        )
        status = self._answer(received)
        self._tallies[event.assoc].stored(len(received.encoded), status)
        return int(status)

    def _answer(self, received: Received) -> StoreStatus:
        uids = {"sop_instance_uid": received.sop_instance_uid, "calling_ae_title": received.calling_ae_title}
        try:
            outcome = self._on_store(received)
        except errors.NodeError as error:
            status = status_of(error)
            log.warning("instance.refused", status=f"0x{status:04X}", error=str(error), **uids)
            return status
        except Exception as error:  # noqa: BLE001  the edge of a C-STORE: never success by accident
            log.error("instance.failed", trace=errors.trace_of(error), **uids)
            return StoreStatus.PROCESSING_FAILURE
        log.debug("instance.stored", outcome=str(outcome), **uids)
        return StoreStatus.SUCCESS

    def _on_event_report(self, event: Any) -> tuple[int, None]:
        try:
            if self._on_commitment is None:
                return int(EventStatus.PROCESSING_FAILURE), None
            return int(self._on_commitment(int(event.event_type), event.event_information)), None
        except Exception as error:  # noqa: BLE001  the edge of an N-EVENT-REPORT: what is not recorded is not answered
            log.error("commitment.not_recorded", trace=errors.trace_of(error))
            return int(EventStatus.PROCESSING_FAILURE), None


def _application_entity(listening: Listening) -> AE:
    ae = AE(ae_title=listening.ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.require_called_aet = True
    ae.require_calling_aet = list(listening.calling_ae_titles)
    ae.maximum_associations = listening.max_associations
    ae.maximum_pdu_size = MAX_PDU_BYTES
    ae.acse_timeout = listening.acse_timeout_s
    ae.dimse_timeout = ae.network_timeout = listening.idle_timeout_s
    ae.add_supported_context(VERIFICATION)  # pynetdicom does not listen without any; `_propose` says what is accepted
    return ae


def _propose(assoc: Any, contexts: Contexts, tally: Tally) -> None:
    """Make `contexts.negotiated` the outcome of pynetdicom's negotiation.

    pynetdicom knows one list of transfer syntaxes for a SOP class. So each proposal is cut down to the syntax that is
    its answer, and all of those are supported.
    """
    supported = {cx.abstract_syntax: cx for cx in assoc.acceptor.supported_contexts if cx.abstract_syntax == COMMITMENT}
    accepted: dict[str, list[str]] = {}
    for cx in assoc.requestor.primitive.presentation_context_definition_list:
        if cx.abstract_syntax in supported:
            tally.accepted += 1
            continue
        answer = negotiated(contexts, cx.abstract_syntax, cx.transfer_syntax)
        tally.answered(cx.abstract_syntax, answer)
        if answer.transfer_syntax:
            cx.transfer_syntax = [answer.transfer_syntax]
            accepted.setdefault(cx.abstract_syntax, []).append(answer.transfer_syntax)
        elif cx.abstract_syntax in contexts:
            accepted.setdefault(cx.abstract_syntax, []).extend(contexts[cx.abstract_syntax])
    assoc.acceptor.supported_contexts = [
        *supported.values(),
        *(build_context(sop_class, list(dict.fromkeys(syntaxes))) for sop_class, syntaxes in accepted.items()),
    ]


def _serve_any_storage(event: Any) -> None:
    """Tell pynetdicom, whose table ends with the standard, that what may be storage is served by its storage service.

    It asks this table of the association's extended negotiation (PS3.7 D.3.3.6) first.
    """
    for cx in event.assoc.accepted_contexts:
        if may_be_storage(cx.abstract_syntax):
            item = SOPClassCommonExtendedNegotiation()
            item.sop_class_uid, item.service_class_uid = cx.abstract_syntax, STORAGE_SERVICE
            event.assoc.acceptor._common_ext[cx.abstract_syntax] = item


class _BoundedReader:
    """Reads from a socket what pynetdicom asks for, within `PDU_TIMEOUT_S`, `MAX_ANY_PDU_BYTES`, `MAX_OBJECT_BYTES`.

    pynetdicom alone buffers whatever length a PDU claims and however many fragments come, waits for the rest of a PDU
    without end, and reads 4 KiB at a time.
    """

    def __init__(self, transport: Any, tally: Tally) -> None:
        self._transport = transport  # not its socket: that is closed when pynetdicom lets go of it
        self._tally = tally

    def read(self, count: int) -> bytearray:
        """``count`` bytes, fewer if the peer closed.

        Raises
        ------
        OSError
            The PDU or its object is too long, or its bytes did not come in time: the connection is closed.
        """
        message = self._transport.assoc.dimse.message
        object_bytes = 0 if message is None else message.data_set.tell() + message.encoded_command_set.tell()
        if count > MAX_ANY_PDU_BYTES or object_bytes + count > MAX_OBJECT_BYTES:
            msg = f"A PDU of {count} bytes after {object_bytes} of its object is too long."
            self._tally.ends(AssociationEnd.ABORTED_BY_NODE, msg)
            raise OSError(msg)
        content = bytearray(count)
        filled, deadline = 0, time.monotonic() + PDU_TIMEOUT_S
        with memoryview(content) as view:
            while filled < count:
                self._transport.socket.settimeout(max(deadline - time.monotonic(), 0.001))
                read = self._transport.socket.recv_into(view[filled:])
                if read == 0:
                    break
                filled += read
        del content[filled:]
        return content
