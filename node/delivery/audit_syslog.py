"""The audit trail on its way to a server for audit messages: syslog over TLS (RFC 5424, RFC 5425; PS3.15 A.6).

Syslog has no answers. A batch has a connection of its own, and counts as sent when the server has read it to its end
and closes: until then it is sent again, so that the server may have an entry twice, but none is lost. What waits lies
in the trail itself; nobody waits for the server.
"""

import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from survnode.node.delivery.audit_messages import is_failure, message_of
from survnode.node.errors import AuditNotSent
from survnode.node.state.audit import entries_after, last_sent, note_sent
from survnode.node.state.database import Database
from survnode.node.state.records import AuditEntry
from survnode.node.tls import ClientTLS, client_context, reason_of

log = structlog.get_logger()

SECURITY = 10  # the facility (PS3.15 A.6)
NOTICE, WARNING = 5, 4  # severities
MESSAGE_ID = "DICOM+RFC3881"
BATCH = 500
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # that the message is UTF-8 (RFC 5424 6.4)


@dataclass(frozen=True)
class SyslogServer:
    """Where audit messages go.

    Parameters
    ----------
    timeout_s : to connect, and to take a batch
    """

    host: str
    port: int
    tls: ClientTLS
    timeout_s: float = 30.0

    @property
    def name(self) -> str:
        """What the trail knows it by."""
        return f"{self.host}:{self.port}"


class AuditSyslog:
    """Sends what the trail holds; for one thread.

    Parameters
    ----------
    source : the node's AE title
    """

    def __init__(self, database: Database, server: SyslogServer, source: str) -> None:
        self._database, self._server, self._source = database, server, source

    def send_due(self) -> int:
        """Send the next entries that have not been sent; how many those were.

        Raises
        ------
        AuditNotSent, TLSUnusable, DatabaseFailed
        """
        entries = entries_after(self._database, last_sent(self._database, self._server.name), BATCH)
        if entries:
            self._send(entries)
            note_sent(self._database, self._server.name, entries[-1].id)
            log.info("audit.sent", server=self._server.name, entries=len(entries), last=entries[-1].id)
        return len(entries)

    def _send(self, entries: Sequence[AuditEntry]) -> None:
        server = self._server
        context = client_context(server.tls)
        address = server.host, server.port
        try:
            with socket.create_connection(address, server.timeout_s) as plain:
                name = server.tls.server_name or server.host
                with context.wrap_socket(plain, server_hostname=name) as connection:
                    connection.sendall(b"".join(framed(entry, self._source) for entry in entries))
                    _await_end(connection)
        except OSError as error:
            raise AuditNotSent(f"The audit server {server.name} did not take it: {reason_of(error)}.") from error


def _await_end(connection: ssl.SSLSocket) -> None:
    """Close, and wait until the server has closed too, having read everything.

    A server that goes with something unread resets the connection; one that ends it without TLS's own farewell, as
    some do, has read all of it.
    """
    with suppress(ssl.SSLEOFError):
        connection.unwrap()


def framed(entry: AuditEntry, source: str) -> bytes:
    """One entry as a frame of syslog over TLS: its length, a space, the message (RFC 5425 4.3)."""
    at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    priority = SECURITY * 8 + (WARNING if is_failure(entry) else NOTICE)
    header = f"<{priority}>1 {at} {_printable(socket.gethostname())} survnode {os.getpid()} {MESSAGE_ID} - "
    message = header.encode() + BYTE_ORDER_MARK + message_of(entry, source).encode()
    return b"%d %b" % (len(message), message)


def _printable(name: str) -> str:
    """A host name as the header may say it (RFC 5424 6.2.4); "-" is none."""
    return "".join(it for it in name if "!" <= it <= "~")[:255] or "-"
