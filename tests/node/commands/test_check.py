"""What `check` says of destinations; the command itself is tested with the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.uid import EnhancedSRStorage, KeyObjectSelectionDocumentStorage, SecondaryCaptureImageStorage

from survnode.node.commands.check import Finding, _check_destination, _check_source, _check_tls
from survnode.node.config import (
    DestinationConfig,
    DestinationTLSConfig,
    NodeConfig,
    ReceiverConfig,
    ReceiverTLSConfig,
    SourceConfig,
)
from survnode.node.contexts import FIND, MOVE, RESULT_TRANSFER_SYNTAXES, VERIFICATION, Contexts
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.roles import ResultRole
from survnode.node.tls import ServerTLS

from ...integration.certificates import Authority, Pair

ENHANCED, CAPTURES, KEY_OBJECTS = (
    str(uid) for uid in (EnhancedSRStorage, SecondaryCaptureImageStorage, KeyObjectSelectionDocumentStorage)
)


@contextmanager
def destination(*sop_classes: str, tls: ServerTLS | None = None, **settings: object) -> Iterator[DestinationConfig]:
    contexts: Contexts = dict.fromkeys((*sop_classes, VERIFICATION), RESULT_TRANSFER_SYNTAXES)
    receiver = Receiver(Listening("PACS", tls=tls), contexts, lambda _: None)
    receiver.start()
    try:
        where = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": receiver.port}
        yield DestinationConfig.model_validate(where | settings)
    finally:
        receiver.stop(drain_s=1)


def findings(settings: DestinationConfig, receiver: ReceiverConfig | None = None) -> dict[str, Finding]:
    return {found.what: found for found in _check_destination(settings, receiver or ReceiverConfig())}


def test_the_class_that_a_destination_accepts_is_named() -> None:
    with destination(ENHANCED, CAPTURES, KEY_OBJECTS) as settings:
        found = findings(settings)
    assert [it.ok for it in found.values()] == [True, True]
    assert found["destination pacs: classes"].detail.endswith("reports go as Enhanced SR")


def test_a_class_that_is_to_be_sent_and_is_not_accepted_is_a_fault() -> None:
    with destination(CAPTURES) as settings:
        (_, classes) = findings(settings).values()
    assert not classes.ok
    assert "does not accept Comprehensive 3D SR, Key Object Selection Document" in classes.detail


def test_a_class_that_was_set_and_is_not_accepted_is_a_fault() -> None:
    with destination(ENHANCED, objects=(ResultRole.REPORT,), report_class="comprehensive") as settings:
        (_, classes) = findings(settings).values()
    assert (classes.ok, "does not accept Comprehensive SR" in classes.detail) == (False, True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.found(tmp_path)


def tls_finding(folder: Path, own: Pair, client_ca: Path | None = None) -> Finding:
    tls = ReceiverTLSConfig(certificate=own.certificate, key=own.key, client_ca=client_ca)
    (found,) = _check_tls(NodeConfig(data_dir=folder, receiver=ReceiverConfig(tls=tls)))
    return found


def test_a_certificate_is_good_until_thirty_days_before_its_end(tmp_path: Path, authority: Authority) -> None:
    found = tls_finding(tmp_path, authority.sign("node", days=40), authority.certificate)
    assert found.ok
    assert "39 days; senders need a certificate by" in found.detail
    found = tls_finding(tmp_path, authority.sign("node", days=29))
    assert not found.ok
    assert "28 days; senders need no certificate" in found.detail
    found = tls_finding(tmp_path, authority.sign("node", days=-1))
    assert not found.ok
    assert "certificate has expired" in found.detail


def test_the_files_for_destinations_and_sources_are_looked_at(tmp_path: Path, authority: Authority) -> None:
    where = {"ae_title": "PACS", "host": "pacs.example", "port": 104, "tls": {"ca": authority.certificate}}
    absent = where | {"tls": {"ca": tmp_path / "absent.crt"}}
    peers = {"destinations": [where | {"name": "pacs"}], "sources": [absent | {"name": "archive"}]}
    found = list(_check_tls(NodeConfig.model_validate({"data_dir": tmp_path} | peers)))
    assert [(it.what, it.ok) for it in found] == [("destination pacs: TLS", True), ("source archive: TLS", False)]
    assert "by " + str(authority.certificate) + " for pacs.example" in found[0].detail
    assert "absent.crt" in found[1].detail


def test_a_key_that_others_can_read_is_a_fault(tmp_path: Path, authority: Authority) -> None:
    own = authority.sign("node")
    own.key.chmod(0o640)
    found = tls_finding(tmp_path, own)
    assert not found.ok
    assert f"{own.key} can be read by others" in found.detail


def test_a_destination_that_fails_the_handshake_says_why(tmp_path: Path, authority: Authority) -> None:
    foreign = Authority.found(tmp_path, "foreign")
    own = authority.sign("pacs")
    with destination(tls=ServerTLS(own.certificate, own.key)) as settings:
        for ca, words in ((authority.certificate, "answers C-ECHO"), (foreign.certificate, "TLS handshake failed")):
            secured = settings.model_copy(update={"tls": DestinationTLSConfig(ca=ca)})
            assert words in findings(secured)["destination pacs"].detail


def test_a_destination_that_is_to_commit_must_be_able_to_and_be_let_in() -> None:
    receiver = ReceiverConfig(calling_ae_titles=("CT1",))
    with destination(ENHANCED, objects=(ResultRole.REPORT,), commitment=True) as settings:
        found = findings(settings, receiver)
    assert [name for name, it in found.items() if not it.ok] == [
        "destination pacs: commitment",
        "destination pacs: classes",
    ]
    assert "Storage Commitment" in found["destination pacs: classes"].detail


def source_findings(*sop_classes: str, receiver: ReceiverConfig | None = None, **settings: object) -> list[Finding]:
    with destination(*sop_classes) as where:
        peer = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": where.port}
        source = SourceConfig.model_validate(peer | settings)
        return list(_check_source(source, receiver or ReceiverConfig()))


def test_a_source_that_can_be_asked_and_may_send_is_in_order() -> None:
    (found,) = source_findings(FIND, MOVE)
    assert (found.ok, found.detail.endswith("can be asked by C-FIND and C-MOVE")) == (True, True)


def test_a_source_that_cannot_send_as_configured_is_a_fault() -> None:
    (found,) = source_findings(FIND, MOVE, method="get")
    assert (found.ok, "does not accept Study Root" in found.detail) == (False, True)


def test_a_source_that_may_not_call_the_node_is_a_fault() -> None:
    receiver = ReceiverConfig(calling_ae_titles=("OTHER",))
    refused, found = source_findings(FIND, MOVE, receiver=receiver)
    assert (refused.ok, "calling_ae_titles must hold PACS" in refused.detail, found.ok) == (False, True, True)
