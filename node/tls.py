"""TLS as BCP 195 wants it (RFC 9325): 1.2 or newer, forward secrecy, authenticated encryption; none of it is optional.

One side is a `ServerTLS`, the other a `ClientTLS`: files, as they lie on disk. They are read when they are needed, so
that a certificate that is renewed holds from the next connection on.
"""

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from survnode.node.errors import TLSUnusable

log = structlog.get_logger()

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"  # of TLS 1.2; those of 1.3 are all of this kind
NO_PASSPHRASE = ""  # a key that needs one is refused, where OpenSSL would ask for it at the terminal
_SHORT_NAMES = {  # RFC 4514 3
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
}
MAX_FLIGHTS = 10  # of a handshake; it takes three


@dataclass(frozen=True)
class ServerTLS:
    """The side that listens.

    Parameters
    ----------
    certificate : its own, with the chain below the root, PEM
    client_ca : who may have signed the certificates of its clients; None: clients need none
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True)
class ClientTLS:
    """The side that connects.

    Parameters
    ----------
    ca : who may have signed the server's certificate
    server_name : what that certificate must be for; None: the host that is connected to
    certificate, key : its own, if the server wants one
    """

    ca: Path
    server_name: str | None = None
    certificate: Path | None = None
    key: Path | None = None


def server_context(tls: ServerTLS) -> ssl.SSLContext:
    """What takes connections.

    Raises
    ------
    TLSUnusable
    """
    context = _restricted(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # whoever comes again shows its certificate again
    _load_own(context, tls.certificate, tls.key)
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_trusted(context, tls.client_ca)
    return context


def client_context(tls: ClientTLS) -> ssl.SSLContext:
    """What makes connections; it checks the server's certificate and its name.

    Raises
    ------
    TLSUnusable
    """
    context = _restricted(ssl.PROTOCOL_TLS_CLIENT)
    _load_trusted(context, tls.ca)
    if tls.certificate is not None and tls.key is not None:
        _load_own(context, tls.certificate, tls.key)
    return context


class RenewedTLS:
    """A server's context, made anew when one of its files has changed.

    Files that do not fit together, as in the middle of a renewal, leave the context as it was.

    Raises
    ------
    TLSUnusable
        The files cannot be used at all.
    """

    def __init__(self, tls: ServerTLS) -> None:
        self._tls, self._seen = tls, self._stamps(tls)
        self._context = server_context(tls)

    def context(self) -> ssl.SSLContext:
        """The context for the next connection."""
        seen = self._stamps(self._tls)
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = server_context(self._tls)
                log.info("tls.renewed", certificate=str(self._tls.certificate))
            except TLSUnusable as error:
                log.error("tls.not_renewed", error=str(error))
        return self._context

    @staticmethod
    def _stamps(tls: ServerTLS) -> list[tuple[int, int, int]]:
        stamps = []
        for path in (tls.certificate, tls.key, tls.client_ca):
            with suppress(OSError):
                if path is not None:
                    status = path.stat()
                    stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return stamps


def valid_until(certificate: Path, key: Path, *, of_server: bool) -> datetime:
    """The end of a certificate's time, found in a handshake with itself.

    Raises
    ------
    TLSUnusable
        It has expired, does not belong to the key, is not for this use, or is weaker than is taken.
    """
    server, client = _restricted(ssl.PROTOCOL_TLS_SERVER), _restricted(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    server.verify_mode = client.verify_mode = ssl.CERT_NONE
    for context in (server, client):
        _load_own(context, certificate, key)
    judge = client if of_server else server
    judge.verify_mode = ssl.CERT_REQUIRED
    judge.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it is trusted itself, whoever signed it
    _load_trusted(judge, certificate)
    try:
        presented = _shake_hands(server, client)[of_server].getpeercert()
    except ssl.SSLError as error:
        raise TLSUnusable(f"The certificate {certificate} cannot be used: {reason_of(error)}.") from error
    assert presented is not None  # noqa: S101  it was verified
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(presented["notAfter"])), UTC)


def subject_of(connection: socket.socket) -> str:
    """Whose the certificate is that a client showed, as ``CN=CT1, O=Hospital``; empty if it showed none."""
    shown: Any = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    names = [part for parts in (shown or {}).get("subject", ()) for part in parts]
    return ", ".join(f"{_SHORT_NAMES.get(name, name)}={value}" for name, value in reversed(names))


def reason_of(error: OSError) -> str:
    """Why a handshake failed, in OpenSSL's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return str(reason).replace("_", " ").lower()


def _restricted(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key, NO_PASSPHRASE)
    except OSError as error:  # ssl.SSLError is one
        msg = f"The certificate {certificate} with the key {key} cannot be used: {reason_of(error)}."
        raise TLSUnusable(msg) from error


def _load_trusted(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(ca)
    except OSError as error:
        raise TLSUnusable(f"The certificates in {ca} cannot be used: {reason_of(error)}.") from error


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a connection within this process, the server's first."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_side=False),
    )
    for _ in range(MAX_FLIGHTS):
        for end in reversed(ends):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends
