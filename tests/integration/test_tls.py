"""TLS, judged by OpenSSL's client and DCMTK's tools on either side."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from survnode.node.contexts import accepted_contexts
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import Outgoing, echo, send
from survnode.node.errors import DestinationUnreachable
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.state.records import Association, AssociationEnd
from survnode.node.tls import ClientTLS, ServerTLS

from .certificates import RSA_1024, Authority, Pair
from .nodes import FAST, dcmtk, free_port
from .scu import connected, request

TIMEOUT_S = 60


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pacs(authority: Authority) -> Pair:
    return authority.sign("pacs")


@pytest.fixture(scope="module")
def files(authority: Authority) -> ServerTLS:
    node = authority.sign("node")
    return ServerTLS(node.certificate, node.key, authority.certificate)


class Secured:
    """A receiver behind TLS that keeps what it gets."""

    def __init__(self, tls: ServerTLS, **listening: Any) -> None:
        self.received: list[Received] = []
        self.ended: list[Association] = []
        self._end = Event()
        settings = Listening("SURVNODE", tls=tls, **listening)
        self.receiver = Receiver(settings, accepted_contexts(), self.received.append, None, self._note)
        self.receiver.start()
        self.port = self.receiver.port

    def await_end(self) -> Association:
        assert self._end.wait(TIMEOUT_S)
        return self.ended[-1]

    def _note(self, association: Association) -> None:
        self.ended.append(association)
        self._end.set()


MakeSecured = Callable[..., Secured]


@pytest.fixture
def secured() -> Iterator[MakeSecured]:
    made: list[Secured] = []

    def make(tls: ServerTLS, **listening: Any) -> Secured:
        made.append(Secured(tls, **listening))
        return made[-1]

    yield make
    for node in made:
        node.receiver.stop(drain_s=0)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=FAST)


def echoscu(port: int, *options: str) -> subprocess.CompletedProcess[str]:
    return run(dcmtk("echoscu"), *options, "-aec", "SURVNODE", "-to", "20", "localhost", str(port))


def s_client(port: int, *options: str) -> str:
    """What OpenSSL's client says of a connection; in TLS 1.3 a refusal of its certificate comes when it reads."""
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("the judge openssl is absent")
    command = [tool, "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *options]
    done = subprocess.run(command, input=request(), capture_output=True, check=False, timeout=TIMEOUT_S)
    return (done.stdout + done.stderr).decode(errors="replace")


def trusting(authority: Authority, own: Pair | None = None) -> list[str]:
    shown = [] if own is None else ["-cert", str(own.certificate), "-key", str(own.key)]
    return ["-CAfile", str(authority.certificate), "-verify_return_error", *shown]


def test_dcmtk_sends_images_over_tls(secured: MakeSecured, files: ServerTLS, authority: Authority, pacs: Pair) -> None:
    node = secured(files)
    image = str(get_testdata_file("CT_small.dcm"))
    options = ["+tls", str(pacs.key), str(pacs.certificate), "+cf", str(authority.certificate)]
    assert echoscu(node.port, *options).returncode == 0
    sent = run(dcmtk("storescu"), *options, "-aec", "SURVNODE", "localhost", str(node.port), image)
    assert sent.returncode == 0, sent.stderr
    assert [it.sop_class_uid for it in node.received] == ["1.2.840.10008.5.1.4.1.1.2"]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_agrees_on_a_suite_of_bcp_195(
    version: str, secured: MakeSecured, files: ServerTLS, authority: Authority, pacs: Pair
) -> None:
    told = s_client(secured(files, idle_timeout_s=1.0).port, version, *trusting(authority, pacs))
    assert "Verify return code: 0 (ok)" in told
    assert "SURVNODE" in told  # the request for an association was accepted
    suite = next(line for line in told.splitlines() if "Cipher is" in line)
    assert "ECDHE" in suite or suite.startswith("New, TLSv1.3")
    assert any(kind in suite for kind in ("GCM", "CHACHA20"))


@pytest.mark.parametrize(
    "options",
    [
        ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "AES128-GCM-SHA256:AES256-SHA:@SECLEVEL=0"],  # no forward secrecy
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"],  # no AEAD
        ["-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"],
    ],
    ids=["TLS 1.0", "TLS 1.1", "RSA key exchange", "CBC", "no authentication"],
)
def test_old_versions_and_weak_suites_are_refused(
    options: list[str], secured: MakeSecured, files: ServerTLS, authority: Authority, pacs: Pair
) -> None:
    node = secured(files)
    told = s_client(node.port, *options, *trusting(authority, pacs))
    assert "SURVNODE" not in told.replace("CN = SURVNODE", "")
    assert "Cipher is (NONE)" in told
    assert node.await_end().end is AssociationEnd.TLS_REFUSED


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda own, _: own.sign("expired", days=-1), "certificate has expired"),
        (lambda _, folder: Authority.found(folder, "foreign").sign("stranger"), "unable to get local issuer"),
        (lambda _, folder: self_signed(folder), "self-signed certificate"),
        (lambda own, _: own.sign("weak", new_key=RSA_1024), "too small|too weak"),
        (lambda own, _: own.sign("web", usage="serverAuth"), "purpose"),
        (lambda *_: None, "peer did not return a certificate"),
    ],
    ids=["expired", "foreign", "self-signed", "weak", "for servers", "none"],
)
def test_clients_without_a_good_certificate_are_refused(
    make: Callable[[Authority, Path], Pair | None],
    why: str,
    secured: MakeSecured,
    files: ServerTLS,
    authority: Authority,
    tmp_path: Path,
) -> None:
    node = secured(files)
    shown = make(authority, tmp_path)
    own = [] if shown is None else ["-cert", str(shown.certificate), "-key", str(shown.key)]
    told = s_client(node.port, "-cipher", "DEFAULT:@SECLEVEL=0", *own)
    assert "alert" in told
    ended = node.await_end()
    assert ended.end is AssociationEnd.TLS_REFUSED
    assert any(it in ended.detail for it in why.split("|")), ended.detail
    assert node.received == []


def self_signed(folder: Path) -> Pair:
    made = Authority.found(folder, "alone")
    return Pair(made.certificate, made.key)


def test_without_a_client_authority_no_certificate_is_asked_for(
    secured: MakeSecured, files: ServerTLS, authority: Authority
) -> None:
    node = secured(ServerTLS(files.certificate, files.key))
    assert echoscu(node.port, "+tla", "+cf", str(authority.certificate)).returncode == 0


def test_a_sender_without_tls_is_told_so_and_aborted(secured: MakeSecured, files: ServerTLS) -> None:
    node = secured(files)
    with connected(node.port) as peer:
        peer.send(request())
        assert peer.read_pdu()[0] == 7
        assert peer.is_closed()
    ended = node.await_end()
    assert (ended.end, ended.detail) == (AssociationEnd.TLS_REFUSED, "The peer does not speak TLS.")


def test_two_hundred_silent_handshakes_keep_nobody_out(
    secured: MakeSecured, files: ServerTLS, authority: Authority, pacs: Pair
) -> None:
    node = secured(files, acse_timeout_s=5.0)
    options = ["+tls", str(pacs.key), str(pacs.certificate), "+cf", str(authority.certificate)]
    with ExitStack() as stack:
        peers = [stack.enter_context(connected(node.port)) for _ in range(200)]
        for peer in peers[::2]:
            peer.send(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        assert echoscu(node.port, *options).returncode == 0
        assert all(peer.is_closed() for peer in peers)


def test_a_renewed_certificate_is_shown_without_a_restart(
    secured: MakeSecured, files: ServerTLS, authority: Authority, tmp_path: Path
) -> None:
    own = ServerTLS(tmp_path / "node.crt", tmp_path / "node.key")
    copy(files.certificate, own.certificate)
    copy(files.key, own.key)
    node = secured(own)
    before = certificate_at(node.port)
    renewed = authority.sign("renewed")
    copy(renewed.certificate, own.certificate)
    assert certificate_at(node.port) == before  # its key has not come yet
    copy(renewed.key, own.key)
    assert certificate_at(node.port) == ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text())


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def certificate_at(port: int) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection, context.wrap_socket(connection) as end:
        return end.getpeercert(binary_form=True)


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """DCMTK's receiver behind TLS, ready when its port answers."""
    port = free_port()
    command = [dcmtk("storescp"), *options, "-od", str(folder), "-aet", "PACS", str(port)]
    process = subprocess.Popen(command, env=FAST, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                Event().wait(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def test_results_go_to_dcmtk_over_tls(tmp_path: Path, authority: Authority, pacs: Pair) -> None:
    ours = authority.sign("sender")
    tls = ClientTLS(authority.certificate, None, ours.certificate, ours.key)
    image = Path(str(get_testdata_file("CT_small.dcm")))
    with storescp(tmp_path, "+tls", str(pacs.key), str(pacs.certificate), "+cf", str(authority.certificate)) as port:
        destination = Destination("pacs", "PACS", "127.0.0.1", port, tls=tls)
        echo(destination)
        uids = "1.2.840.10008.5.1.4.1.1.2", "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
        assert [it.status for it in send(destination, [Outgoing(*uids, image)])] == [0]
    assert len(list(tmp_path.glob("CT*"))) == 1


def test_a_destination_with_another_certificate_is_not_sent_to(
    tmp_path: Path, authority: Authority, pacs: Pair
) -> None:
    foreign = Authority.found(tmp_path, "foreign")
    stranger = foreign.sign("stranger")
    ways = {
        "self-signed certificate in certificate chain": ClientTLS(foreign.certificate),
        "is not valid for 'other.example'": ClientTLS(authority.certificate, "other.example"),
        "alert": ClientTLS(authority.certificate, None, stranger.certificate, stranger.key),
        "cannot be used": ClientTLS(tmp_path / "absent.crt"),
    }
    with storescp(tmp_path, "+tls", str(pacs.key), str(pacs.certificate), "+cf", str(authority.certificate)) as port:
        for words, tls in ways.items():
            with pytest.raises(DestinationUnreachable, match=words):
                echo(Destination("pacs", "PACS", "127.0.0.1", port, tls=tls))


def test_an_association_over_tls_ends_as_one_without(
    secured: MakeSecured, files: ServerTLS, authority: Authority, pacs: Pair
) -> None:
    node = secured(files)
    tls = ClientTLS(authority.certificate, None, pacs.certificate, pacs.key)
    echo(Destination("node", "SURVNODE", "127.0.0.1", node.port, tls=tls))
    ended = node.await_end()
    assert (ended.end, ended.certificate) == (AssociationEnd.RELEASED, "CN=pacs")
