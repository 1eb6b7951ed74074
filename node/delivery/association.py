"""An association that this node asks for: established or refused with its reason, in the clear or over TLS."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, _config
from pynetdicom.presentation import PresentationContext

from survnode.node import errors
from survnode.node.contexts import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from survnode.node.delivery.destination import Destination
from survnode.node.tls import client_context, reason_of

MAX_PDU_BYTES = 128 * 1024
REFUSAL_S = 2.0  # for a refusal of our certificate to come


@contextmanager
def association(
    destination: Destination,
    contexts: list[PresentationContext],
    handlers: Sequence[Any] = (),
    roles: Sequence[Any] = (),
) -> Iterator[Any]:
    """An established association, released at the end, or aborted if the block failed.

    Parameters
    ----------
    roles : SCP/SCU role selections (PS3.7 D.3.3.4) that go with the contexts

    Raises
    ------
    DestinationUnreachable, AssociationRejected, ContextsRejected
    """
    secured = _tls_of(destination)
    _config.STORE_SEND_CHUNKED_DATASET = True  # a path is sent byte for byte and never decoded
    ae = AE(ae_title=destination.calling_ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = destination.connection_timeout_s
    ae.acse_timeout = destination.acse_timeout_s
    ae.dimse_timeout = ae.network_timeout = destination.dimse_timeout_s
    assoc = ae.associate(
        destination.host,
        destination.port,
        contexts,
        ae_title=destination.ae_title,
        max_pdu=MAX_PDU_BYTES,
        evt_handlers=list(handlers),
        tls_args=secured,
        ext_neg=list(roles),
    )
    if not assoc.is_established:
        raise _why_not(destination, assoc)
    _leave_answers(assoc)
    try:
        yield assoc
    except BaseException:
        assoc.abort()
        raise
    if assoc.is_established:
        assoc.release()


def _leave_answers(assoc: Any) -> None:
    """Let pynetdicom's own thread take requests alone, and leave answers to those who wait for them.

    That thread is paused while a request is out, but on a busy machine it may be past the pause before it stands still.
    It then takes the answer, and who asked waits for the time-out (pynetdicom 3.0.4, ``Association._run_reactor``).
    """
    take, peek = assoc.dimse.get_msg, assoc.dimse.peek_msg

    def get_msg(block: bool = False) -> Any:
        _, message = peek()
        is_request = message is not None and message.MessageIDBeingRespondedTo is None
        return take(block) if block or is_request else (None, None)

    assoc.dimse.get_msg = get_msg


def _why_not(destination: Destination, assoc: Any) -> errors.DeliveryFailed:
    where = f"{destination.name} ({destination.ae_title} at {destination.host}:{destination.port})"
    if assoc.is_rejected:
        answer = assoc.acceptor.primitive
        return errors.AssociationRejected(f"{where} rejected the association: {answer.reason_str}.")
    if assoc.acceptor.primitive is not None:
        return errors.ContextsRejected(f"{where} accepted none of the proposed presentation contexts.")
    if destination.tls is not None and (why := why_no_handshake(destination)) is not None:
        return errors.DestinationUnreachable(f"{where} cannot be reached: {why}")
    return errors.DestinationUnreachable(f"{where} cannot be reached.")


def _tls_of(destination: Destination) -> tuple[ssl.SSLContext, str] | None:
    """Read the files anew for each association: a certificate that is renewed holds from the next one on.

    Raises
    ------
    DestinationUnreachable
    """
    if destination.tls is None:
        return None
    try:
        return client_context(destination.tls), destination.tls.server_name or destination.host
    except errors.TLSUnusable as error:
        raise errors.DestinationUnreachable(f"{destination.name} cannot be reached: {error}") from error


def why_no_handshake(destination: Destination) -> str | None:
    """Why TLS with the destination fails, tried once more, since pynetdicom does not say; None if it does not."""
    secured = _tls_of(destination)
    if secured is None:
        return None
    context, name = secured
    address = (destination.host, destination.port)
    try:
        with (
            socket.create_connection(address, destination.connection_timeout_s) as connection,
            context.wrap_socket(connection, server_hostname=name) as answered,
        ):
            answered.settimeout(REFUSAL_S)
            answered.recv(1)  # in TLS 1.3 our certificate is refused only after our part of the handshake
    except TimeoutError:
        return None
    except OSError as error:
        return f"the TLS handshake failed: {reason_of(error)}."
    return None
