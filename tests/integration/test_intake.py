"""The receiver between real associations: DCMTK as sender, a full disk, hostile peers."""

import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom import uid as uids
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    MRImageStorage,
)
from pynetdicom import AE, _config
from pynetdicom.sop_class import _STORAGE_CLASSES
from sqlalchemy import select

from survnode.node.contexts import accepted_contexts
from survnode.node.intake.association import request_server
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.intake.store import Store
from survnode.node.intake.watermark import DiskWatermark
from survnode.node.service.receiving import StoreWithRoom
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Association, AssociationEnd, Instance, Keeping, OtherSeries
from survnode.node.state.tables import instances, other_series

from .nodes import until
from .scu import associated, context, request

DCMSEND, ECHOSCU = Path("/usr/bin/dcmsend"), Path("/usr/bin/echoscu")
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}  # else DCMTK waits 50 ms an image on loopback
ROOM = 10**9
UID = "1.2.3.1.11111111111"

needs_dcmtk = pytest.mark.skipif(not (DCMSEND.exists() and ECHOSCU.exists()), reason="DCMTK is not in /usr/bin")


@dataclass
class Node:
    folder: Path
    database: Database
    receiver: Receiver
    free_bytes: list[int] = field(default_factory=lambda: [ROOM])
    ended: list[Association] = field(default_factory=list)

    def rows(self) -> list[Instance]:
        with self.database.reading() as connection:
            return fetch(connection, Instance, select(instances))

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


MakeNode = Callable[..., Node]
SendRaw = Callable[..., int | None]


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    made: list[Node] = []

    def make(**listening: Any) -> Node:
        node = Node(tmp_path / "store", Database(tmp_path / "node.sqlite"), None)  # type: ignore[arg-type]  # set below
        store = Store(node.folder, node.database, quiet_period_s=60)
        watermark = DiskWatermark(1000, 2000, lambda: node.free_bytes[-1])
        node.receiver = Receiver(
            Listening("SURVNODE", **listening),
            accepted_contexts(),
            StoreWithRoom(store, watermark),
            on_association=node.ended.append,
        )
        node.receiver.start()
        made.append(node)
        return node

    yield make
    for node in made:
        node.receiver.stop(drain_s=0)
        node.database.close()


@pytest.fixture
def send_raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int | None]:
    """Sends bytes as a CT image under any UID, past all that pynetdicom would check; its status."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)

    def send(assoc: Any, content: bytes, command_uid: str = UID) -> int | None:
        part10 = Received(CTImageStorage, "1" * len(command_uid), ExplicitVRLittleEndian, "", content).part10
        path = tmp_path / "raw.dcm"
        element = b"\x02\x00\x03\x00UI" + struct.pack("<H", len(command_uid) + len(command_uid) % 2)
        assert element in part10
        path.write_bytes(part10.replace(element + b"1" * len(command_uid), element + command_uid.encode()))
        status = assoc.send_c_store(path).get("Status")
        return None if status is None else int(status)

    return send


@contextmanager
def association(node: Node, called: str = "SURVNODE", calling: str = "SENDER") -> Iterator[Any]:
    ae = AE(ae_title=calling)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    ae.add_requested_context("1.2.840.10008.1.1")
    assoc = ae.associate("127.0.0.1", node.receiver.port, ae_title=called)
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def ct(**attributes: object) -> bytes:
    """An encoded data set with as much of a CT as the receiver looks at."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, UID
    ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "P1", "1.2.3", "1.2.3.1"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, ds)
    return bytes(file.getvalue())


def data_set_of(path: Path) -> bytes:
    """The bytes after the file meta information."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 140)  # of (0002,0000), the first element (PS3.10 7.1)
    return content[144 + length :]


def dcmtk(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], env=ENVIRONMENT, capture_output=True, text=True, check=False)


@needs_dcmtk
def test_a_series_sent_by_dcmtk_is_stored_byte_for_byte(make_node: MakeNode, lung1_series: list[Path]) -> None:
    node = make_node()
    sent = dcmtk(DCMSEND, "-aec", "SURVNODE", "127.0.0.1", str(node.receiver.port), *lung1_series)
    assert sent.returncode == 0, sent.stderr
    rows = {row.sop_instance_uid: row for row in node.rows()}
    assert len(rows) == len(lung1_series) == len(node.files())
    for source in lung1_series:
        ds = dcmread(source, stop_before_pixels=True)
        stored = node.folder / rows[str(ds.SOPInstanceUID)].path
        assert data_set_of(stored) == data_set_of(source)
        assert dcmread(stored, stop_before_pixels=True) == ds


@needs_dcmtk
def test_dcmtk_gets_an_echo(make_node: MakeNode) -> None:
    node = make_node()
    assert dcmtk(ECHOSCU, "-aec", "SURVNODE", "127.0.0.1", str(node.receiver.port)).returncode == 0


@needs_dcmtk
def test_ct_is_taken_in_every_transfer_syntax(make_node: MakeNode, shared_data: Path) -> None:
    node = make_node()
    sent = sorted((shared_data / "ct-transfer-syntaxes").rglob("*.dcm"))
    for path in sent:
        ds = dcmread(path)
        sent_as = dcmtk(DCMSEND, "--no-uid-checks", "-aec", "SURVNODE", "127.0.0.1", str(node.receiver.port), path)
        assert sent_as.returncode == 0, (path, ds.file_meta.TransferSyntaxUID, sent_as.stderr)
    kept = [node.folder / row.path for row in node.rows()] + list((node.folder / "quarantine").iterdir())
    compressed = {_syntax_of(path) for path in sent if uids.UID(_syntax_of(path)).is_compressed}
    assert len(compressed) > 8
    assert {_syntax_of(path) for path in kept} >= compressed  # DCMTK itself sends what is not as Explicit VR


def _syntax_of(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)


def test_a_wrong_called_ae_title_is_rejected(make_node: MakeNode) -> None:
    node = make_node()
    with association(node, called="OTHER") as assoc:
        assert not assoc.is_established


@needs_dcmtk
def test_a_rejection_says_what_was_wrong(make_node: MakeNode) -> None:
    answer = dcmtk(ECHOSCU, "-aec", "OTHER", "127.0.0.1", str(make_node().receiver.port))
    assert answer.returncode != 0
    assert "Called AE Title Not Recognized" in answer.stdout + answer.stderr


def test_only_listed_calling_ae_titles_are_taken(make_node: MakeNode) -> None:
    node = make_node(calling_ae_titles=("PACS",))
    with association(node, calling="STRANGER") as assoc:
        assert not assoc.is_established
    with association(node, calling="PACS") as assoc:
        assert assoc.is_established


def test_only_listed_addresses_are_taken(make_node: MakeNode) -> None:
    with association(make_node(networks=("192.0.2.0/24",))) as assoc:
        assert not assoc.is_established


def test_a_listed_network_is_taken(make_node: MakeNode) -> None:
    with association(make_node(networks=("127.0.0.0/8",))) as assoc:
        assert assoc.is_established


def test_one_association_too_many_is_rejected_for_the_moment(make_node: MakeNode) -> None:
    node = make_node(max_associations=1)
    with association(node) as first, association(node) as second:
        assert first.is_established
        assert not second.is_established


def test_128_contexts_of_any_class_and_syntax_are_taken_as_they_come(make_node: MakeNode) -> None:
    """Two of them are no storage; the peer proposes one class twice, in another order."""
    node = make_node()
    storage = [str(uid) for uid in list(_STORAGE_CLASSES.values())[:122]]
    ae = AE(ae_title="SENDER")
    for uid in [*storage, "1.2.3.4.5"]:
        ae.add_requested_context(uid, [JPEGLosslessSV1, ExplicitVRLittleEndian])
    ae.add_requested_context(MRImageStorage, [ExplicitVRLittleEndian, JPEGLosslessSV1])
    for uid in ("1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.31"):
        ae.add_requested_context(uid)
    ae.add_requested_context("1.3.12.2.1107.5.9.1", ImplicitVRLittleEndian)
    assert len(ae.requested_contexts) == 128
    assoc = ae.associate("127.0.0.1", node.receiver.port, ae_title="SURVNODE")
    accepted = [(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in assoc.accepted_contexts]
    assoc.release()
    assert len(accepted) == 126
    assert (MRImageStorage, ExplicitVRLittleEndian) in accepted
    assert ("1.2.3.4.5", JPEGLosslessSV1) in accepted


def test_a_private_class_is_received(make_node: MakeNode) -> None:
    node = make_node()
    ae = AE(ae_title="SENDER")
    ae.add_requested_context("1.2.3.4.5", ExplicitVRLittleEndian)
    assoc = ae.associate("127.0.0.1", node.receiver.port, ae_title="SURVNODE")
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.3.4.5", UID
    ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "P1", "1.2.3", "1.2.3.1"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    assert assoc.send_c_store(ds).Status == 0x0000
    assoc.release()
    assert node.rows() == []
    with node.database.reading() as connection:
        (other,) = fetch(connection, OtherSeries, select(other_series))
    assert (other.sop_class_uid, other.instances, other.keeping) == ("1.2.3.4.5", 1, Keeping.DROPPED)


def ended(node: Node, number: int) -> list[Association]:
    """The records of associations that have ended, when there are ``number`` of them."""
    until("their ends", lambda: len(node.ended) >= number or None, 20)
    return node.ended


def test_each_association_leaves_one_record(make_node: MakeNode, send_raw: SendRaw) -> None:
    node = make_node(calling_ae_titles=("SENDER",), also_called=("CHEST",))
    with association(node, called="OTHER"):
        pass
    with association(node, calling="STRANGER"):
        pass
    with association(node, called="CHEST") as assoc:
        assert assoc.send_c_echo().Status == 0x0000
        assert send_raw(assoc, ct()) == 0x0000
        assert send_raw(assoc, ct(), "1.2.3.4") == 0xA900
    with association(node) as assoc:
        assoc.abort()
    with socket.create_connection(("127.0.0.1", node.receiver.port), timeout=10):
        pass
    wrong, stranger, good, aborted, silent = ended(node, 5)
    assert (wrong.end, wrong.called_ae_title) == (AssociationEnd.REJECTED, "OTHER")
    assert wrong.detail == "It called OTHER; this node is SURVNODE, CHEST."
    assert (stranger.end, "STRANGER" in stranger.detail) == (AssociationEnd.REJECTED, True)
    assert (good.end, good.calling_ae_title, good.called_ae_title) == (AssociationEnd.RELEASED, "SENDER", "CHEST")
    assert (good.echoes, good.images, good.refused) == (1, 1, 1)
    assert good.size_bytes == 2 * len(ct())
    assert good.peer == "127.0.0.1"
    assert good.ended_at >= good.began_at
    assert aborted.end is AssociationEnd.ABORTED_BY_PEER
    assert silent.end is AssociationEnd.NO_REQUEST


def test_an_unsupported_context_and_a_refused_address_are_recorded(make_node: MakeNode) -> None:
    node = make_node()
    ae = AE(ae_title="SENDER")
    ae.add_requested_context("1.2.840.10008.5.1.4.1.2.2.1")
    ae.add_requested_context("1.2.840.10008.1.1")
    ae.associate("127.0.0.1", node.receiver.port, ae_title="SURVNODE").release()
    (record,) = ended(node, 1)
    assert (record.contexts_accepted, record.contexts_rejected) == (1, 1)
    (rejected,) = record.rejected
    assert rejected.endswith("- FIND: this SOP class is not accepted")
    closed = make_node(networks=("192.0.2.0/24",))
    with association(closed) as assoc:
        assert not assoc.is_established
    assert ended(closed, 1)[0].end is AssociationEnd.ADDRESS_REFUSED


def test_a_peer_that_vanishes_is_recorded_as_lost(make_node: MakeNode) -> None:
    node = make_node()
    with association(node) as assoc:
        assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    assert ended(node, 1)[0].end in (AssociationEnd.CONNECTION_LOST, AssociationEnd.ABORTED_BY_PEER)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pynetdicom's own about the UIDs below
@pytest.mark.parametrize("uid", ["../../../../tmp/x1", "..", ".", "1.2.3/../../4", "1..2", "1.2.a"])
def test_a_uid_that_climbs_folders_is_refused_and_nothing_is_written(
    make_node: MakeNode, send_raw: SendRaw, tmp_path: Path, uid: str
) -> None:
    node = make_node()
    before = sorted(path for path in tmp_path.rglob("*") if path.suffix != ".dcm")
    with association(node) as assoc:
        for content in (ct(), ct().replace(UID.encode() + b"\0", uid.encode().ljust(len(UID) + 1, b"\0"))):
            assert send_raw(assoc, content, uid) in (0x0117, 0xA900)
        assert send_raw(assoc, ct()) == 0x0000
    assert len(node.files()) == 1
    assert [path for path in before if not path.exists()] == []


def test_an_instance_that_is_not_what_its_command_says_is_refused(make_node: MakeNode, send_raw: SendRaw) -> None:
    node = make_node()
    with association(node) as assoc:
        assert send_raw(assoc, ct(), "1.2.3.4") == 0xA900
    assert node.files() == []


def test_a_known_uid_in_another_study_is_refused(make_node: MakeNode, send_raw: SendRaw) -> None:
    with association(make_node()) as assoc:
        assert send_raw(assoc, ct()) == 0x0000
        assert send_raw(assoc, ct(StudyInstanceUID="9.9")) == 0xA900


def test_bytes_that_are_no_data_set_are_not_understood(make_node: MakeNode, send_raw: SendRaw) -> None:
    node = make_node()
    with association(node) as assoc:
        assert send_raw(assoc, b"\x08\x00\x16\x00UI\xff\xff1.2") in (0xC000, 0xA900)
        assert send_raw(assoc, b"\x08\x00\x16\x00ZZ" + bytes(100)) in (0xC000, 0xA900, 0x0117)
        assert send_raw(assoc, ct()) == 0x0000
    assert len(node.files()) == 1


def test_a_duplicate_is_stored_once_and_other_bytes_go_to_quarantine(make_node: MakeNode, send_raw: SendRaw) -> None:
    node = make_node()
    with association(node) as assoc:
        contents = [ct(), ct(), ct(InstanceNumber=7)]
        assert [send_raw(assoc, content) for content in contents] == [0x0000] * 3
    (row,) = node.rows()
    assert data_set_of(node.folder / row.path) == contents[0]
    assert [data_set_of(path) for path in (node.folder / "quarantine").iterdir()] == [contents[2]]


def test_a_full_disk_asks_for_a_later_try_and_takes_it(make_node: MakeNode, send_raw: SendRaw) -> None:
    node = make_node()
    with association(node) as assoc:
        node.free_bytes.append(999)
        assert send_raw(assoc, ct()) == 0xA700
        node.free_bytes.append(1999)
        assert send_raw(assoc, ct()) == 0xA700
        assert node.files() == []
        node.free_bytes.append(2000)
        assert send_raw(assoc, ct()) == 0x0000
    assert len(node.rows()) == 1


def test_a_full_disk_takes_no_new_association_for_images_but_answers_echoes(
    make_node: MakeNode, send_raw: SendRaw
) -> None:
    node = make_node()
    node.free_bytes.append(999)
    with association(node) as assoc:
        assert assoc.is_rejected
    with associated(
        node.receiver.port, request(contexts=[context(1, "1.2.840.10008.1.1", "1.2.840.10008.1.2")])
    ) as scu:
        scu.release()
    node.free_bytes.append(2000)
    with association(node) as assoc:
        assert send_raw(assoc, ct()) == 0x0000


def test_a_fault_of_ours_is_told_as_ours_and_the_association_goes_on(send_raw: SendRaw, tmp_path: Path) -> None:
    received: list[Received] = []

    def fail_once(instance: Received) -> None:
        received.append(instance)
        if len(received) == 1:
            raise ZeroDivisionError

    receiver = Receiver(Listening("SURVNODE"), accepted_contexts(), fail_once)
    receiver.start()
    with association(Node(tmp_path, None, receiver)) as assoc:  # type: ignore[arg-type]  # it has no database
        assert [send_raw(assoc, ct()) for _ in range(2)] == [0x0110, 0x0000]
    receiver.stop()
    assert received[1] == Received(
        CTImageStorage, UID, ExplicitVRLittleEndian, "SENDER", ct(), called_ae_title="SURVNODE"
    )


def test_a_pdu_that_claims_four_gigabytes_is_cut_off(make_node: MakeNode) -> None:
    node = make_node()
    with socket.create_connection(("127.0.0.1", node.receiver.port), timeout=10) as peer:
        peer.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(1000))
        assert _is_closed(peer)
    with association(node) as assoc:
        assert assoc.send_c_echo().Status == 0x0000


def test_fragments_without_end_are_cut_off(
    make_node: MakeNode, send_raw: SendRaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_server, "MAX_OBJECT_BYTES", 300_000)
    node = make_node()
    with association(node) as assoc:
        assert send_raw(assoc, ct(EncapsulatedDocument=bytes(1_000_000))) is None
    with association(node) as assoc:
        assert send_raw(assoc, ct(EncapsulatedDocument=bytes(100_000))) == 0x0000
    assert [row.size_bytes < 300_000 for row in node.rows()] == [True]


def test_half_a_request_is_not_waited_for(make_node: MakeNode) -> None:
    with socket.create_connection(("127.0.0.1", make_node(acse_timeout_s=0.2).receiver.port), timeout=10) as peer:
        start = monotonic()
        peer.sendall(b"\x01\x00\x00")
        assert _is_closed(peer)
        assert monotonic() - start < 5


def test_a_silent_peer_is_cut_off(make_node: MakeNode) -> None:
    node = make_node(acse_timeout_s=0.2)
    with socket.create_connection(("127.0.0.1", node.receiver.port), timeout=10) as peer:
        assert _is_closed(peer)


def test_silent_peers_do_not_keep_others_out(make_node: MakeNode) -> None:
    node = make_node()
    peers = [socket.create_connection(("127.0.0.1", node.receiver.port)) for _ in range(30)]
    with association(node) as assoc:
        assert assoc.send_c_echo().Status == 0x0000
    for peer in peers:
        peer.close()


def _is_closed(peer: socket.socket) -> bool:
    """Whether the other side closed, by whatever answer, before the socket's time-out."""
    try:
        while peer.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True
