import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from survnode.node.errors import TLSUnusable
from survnode.node.tls import ClientTLS, RenewedTLS, ServerTLS, client_context, server_context, valid_until

from ..integration.certificates import RSA_1024, Authority, Pair, openssl


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Pair:
    return authority.sign("node")


def meet(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """The protocol that the two agree on."""
    here, there = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(here, server_side=True) as taken:
                taken.sendall(b"x")
        except OSError:
            here.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(there, server_hostname=name) as made:
            assert made.recv(1) == b"x"
            return str(made.version())
    finally:
        there.close()
        thread.join()


def test_both_sides_meet_in_the_newest_protocol(authority: Authority, node: Pair) -> None:
    server = server_context(ServerTLS(node.certificate, node.key, authority.certificate))
    client = client_context(ClientTLS(authority.certificate, None, node.certificate, node.key))
    assert meet(server, client, "127.0.0.1") == "TLSv1.3"


def test_every_suite_has_forward_secrecy_and_authenticated_encryption(node: Pair) -> None:
    suites = server_context(ServerTLS(node.certificate, node.key)).get_ciphers()
    assert suites
    for suite in suites:
        assert suite["aead"]
        assert suite["protocol"] == "TLSv1.3" or suite["name"].startswith("ECDHE-")


def test_a_server_of_another_name_or_authority_is_refused(tmp_path: Path, authority: Authority, node: Pair) -> None:
    server = server_context(ServerTLS(node.certificate, node.key))
    foreign = Authority.found(tmp_path, "foreign")
    with pytest.raises(ssl.SSLCertVerificationError):
        meet(server, client_context(ClientTLS(authority.certificate)), "other.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        meet(server, client_context(ClientTLS(foreign.certificate)), "localhost")


def test_a_certificate_tells_until_when_it_is_valid(node: Pair) -> None:
    for of_server in (True, False):
        left = valid_until(node.certificate, node.key, of_server=of_server) - datetime.now(UTC)
        assert timedelta(days=364) < left < timedelta(days=366)


@pytest.mark.parametrize(
    ("how", "words"),
    [({"days": -1}, "certificate has expired"), ({"new_key": RSA_1024}, "ee key too small")],
    ids=["expired", "weak"],
)
def test_a_certificate_that_peers_would_refuse_cannot_be_used(
    authority: Authority, how: dict[str, object], words: str
) -> None:
    made = authority.sign("bad", **how)  # type: ignore[arg-type]
    with pytest.raises(TLSUnusable, match=words):
        valid_until(made.certificate, made.key, of_server=True)


def test_a_certificate_for_another_use_cannot_be_used(authority: Authority) -> None:
    made = authority.sign("client", usage="clientAuth")
    with pytest.raises(TLSUnusable, match="purpose"):
        valid_until(made.certificate, made.key, of_server=True)
    valid_until(made.certificate, made.key, of_server=False)


def test_files_that_cannot_be_used_are_named(tmp_path: Path, authority: Authority, node: Pair) -> None:
    other = authority.sign("other")
    locked = tmp_path / "locked.key"
    openssl("pkey", "-in", str(node.key), "-aes256", "-passout", "pass:secret", "-out", str(locked))
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("")
    faults = [
        (ServerTLS(node.certificate, other.key), str(other.key)),
        (ServerTLS(node.certificate, locked), str(locked)),
        (ServerTLS(tmp_path / "absent.crt", node.key), "absent.crt"),
        (ServerTLS(node.certificate, node.key, nothing), str(nothing)),
    ]
    for tls, named in faults:
        with pytest.raises(TLSUnusable) as refused:
            server_context(tls)
        assert named in str(refused.value)


def test_a_renewed_certificate_holds_from_the_next_connection(tmp_path: Path, authority: Authority, node: Pair) -> None:
    files = Pair(tmp_path / "node.crt", tmp_path / "node.key")
    for target, source in ((files.certificate, node.certificate), (files.key, node.key)):
        target.write_bytes(source.read_bytes())
    renewed = RenewedTLS(ServerTLS(files.certificate, files.key))
    first = renewed.context()
    assert renewed.context() is first
    new = authority.sign("renewed")
    files.certificate.write_bytes(new.certificate.read_bytes())
    assert renewed.context() is first  # the key is still the old one
    files.key.write_bytes(new.key.read_bytes())
    assert renewed.context() is not first
