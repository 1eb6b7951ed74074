import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from survnode.node.delivery.audit_syslog import AuditSyslog, SyslogServer, framed
from survnode.node.errors import AuditNotSent
from survnode.node.state.audit import read_entries
from survnode.node.state.database import Database
from survnode.node.state.records import Job
from survnode.node.tls import ClientTLS, ServerTLS, server_context

from ...integration.certificates import Authority

FinishJob = Callable[..., Job]
HEADER = re.compile(
    rb"<(8[45])>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [!-~]{1,255} survnode \d+ DICOM\+RFC3881 - \xef\xbb\xbf(<.*>)",
    re.DOTALL,
)
TIMEOUT_S = 20.0


class Collector:
    """A syslog server behind TLS that takes one connection after the other.

    Parameters
    ----------
    reads_whole : False: it goes in the middle of what is sent, as one that is ended
    farewell : whether it ends as TLS wants it, or just closes
    """

    def __init__(self, tls: ServerTLS) -> None:
        self.reads_whole, self.farewell = True, True
        self.messages: list[bytes] = []
        self._context = server_context(tls)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            with plain:
                plain.settimeout(TIMEOUT_S)
                try:
                    self._take(self._context.wrap_socket(plain, server_side=True))
                except OSError:
                    continue

    def _take(self, connection: ssl.SSLSocket) -> None:
        with connection:
            if not self.reads_whole:
                connection.recv(100)
                return
            content = b""
            while more := connection.recv(65536):
                content += more
            self.messages += frames(content)
            if self.farewell:
                connection.unwrap()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(TIMEOUT_S)


def frames(content: bytes) -> list[bytes]:
    """Octet counting (RFC 5425 4.3): a length in digits, a space, the message."""
    found = []
    while content:
        length, _, content = content.partition(b" ")
        assert length.isdigit()
        assert not length.startswith(b"0")
        found.append(content[: int(length)])
        assert len(found[-1]) == int(length)
        content = content[int(length) :]
    return found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def server_tls(authority: Authority) -> ServerTLS:
    own = authority.sign("logs")
    return ServerTLS(own.certificate, own.key)


@pytest.fixture
def collector(server_tls: ServerTLS) -> Iterator[Collector]:
    collector = Collector(server_tls)
    yield collector
    collector.close()


@pytest.fixture
def syslog(collector: Collector, database: Database, authority: Authority) -> AuditSyslog:
    tls = ClientTLS(authority.certificate)
    return AuditSyslog(database, SyslogServer("localhost", collector.port, tls, TIMEOUT_S), "SURVNODE")


def test_each_entry_arrives_once_as_a_message_of_syslog(
    syslog: AuditSyslog, collector: Collector, database: Database, finish_job: FinishJob
) -> None:
    finish_job("1.2.3", "pacs")
    entries = list(read_entries(database))
    assert syslog.send_due() == len(entries)
    assert syslog.send_due() == 0
    finish_job("1.2.4")
    syslog.send_due()
    assert len(collector.messages) == len(list(read_entries(database)))
    for message in collector.messages:
        header = HEADER.fullmatch(message)
        assert header is not None, message[:120]
        assert ET.fromstring(header[2].decode()).tag == "AuditMessage"


def test_a_server_that_just_closes_has_read_everything(
    syslog: AuditSyslog, collector: Collector, finish_job: FinishJob
) -> None:
    collector.farewell = False
    finish_job()
    assert syslog.send_due() == len(collector.messages) > 0
    assert syslog.send_due() == 0


def test_what_a_server_did_not_read_to_the_end_is_sent_again(
    syslog: AuditSyslog, collector: Collector, database: Database, finish_job: FinishJob
) -> None:
    for number in range(40):  # more than a socket's buffers make disappear
        finish_job(f"1.2.{number}", "pacs")
    collector.reads_whole = False
    with pytest.raises(AuditNotSent, match="did not take it"):
        syslog.send_due()
    collector.reads_whole = True
    while syslog.send_due():
        pass
    uids = [uid for message in collector.messages for uid in re.findall(rb'ParticipantObjectID="(1\.2\.\d+)"', message)]
    assert len(collector.messages) == len(list(read_entries(database)))
    assert len(set(uids)) == 40


@pytest.mark.parametrize("trusted", [True, False])
def test_a_server_that_is_away_or_of_another_authority_gets_nothing_and_loses_nothing(
    collector: Collector, database: Database, authority: Authority, finish_job: FinishJob, tmp_path: Path, trusted: bool
) -> None:
    finish_job()
    ca = authority.certificate if trusted else Authority.found(tmp_path, "foreign").certificate
    port = 1 if trusted else collector.port
    with pytest.raises(AuditNotSent):
        AuditSyslog(database, SyslogServer("localhost", port, ClientTLS(ca), 5.0), "SURVNODE").send_due()
    assert collector.messages == []


def test_what_went_wrong_is_a_warning(database: Database, finish_job: FinishJob) -> None:
    finish_job()
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'FAILED'")
    *_, before, last = (framed(entry, "SURVNODE") for entry in read_entries(database))
    assert last.partition(b" ")[2].startswith(b"<84>1 ")
    assert before.partition(b" ")[2].startswith(b"<85>1 ")
