"""The outbox and the sender between real associations."""

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)
from sqlalchemy import insert

from survnode.node import errors
from survnode.node.contexts import RESULT_TRANSFER_SYNTAXES, VERIFICATION, Answer, Contexts
from survnode.node.delivery import sender
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.sender import Outgoing
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.retry import RetryPolicy
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, row_of
from survnode.node.state.records import DeliveryState, Job, JobState, PlannedDelivery, StoredObject, Study, StudyState
from survnode.node.state.tables import jobs, studies
from survnode.node.work import jobs as queue

STORESCP = Path("/usr/bin/storescp")
RESULTS: Contexts = dict.fromkeys(
    (
        Comprehensive3DSRStorage,
        SecondaryCaptureImageStorage,
        KeyObjectSelectionDocumentStorage,
        CTImageStorage,
        VERIFICATION,
    ),
    RESULT_TRANSFER_SYNTAXES,
)


@contextmanager
def peer(on_store: Callable[[Received], object], contexts: Contexts = RESULTS, port: int = 0) -> Iterator[Destination]:
    receiver = Receiver(Listening("PACS", port=port), contexts, on_store)
    receiver.start()
    try:
        yield Destination("pacs", "PACS", "127.0.0.1", receiver.port, retry=RetryPolicy(first_delay_s=10, jitter=0))
    finally:
        receiver.stop(drain_s=1)


def write_object(path: Path, sop_class: str, uid: str, transfer_syntax: str = ExplicitVRLittleEndian) -> Outgoing:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2", "1.3"
    ds.PatientName, ds.PatientID, ds.Modality = "Phantom", "P1", "OT"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    ds.save_as(path, enforce_file_format=True)
    return Outgoing(sop_class, uid, path)


@pytest.fixture
def objects(tmp_path: Path) -> list[Outgoing]:
    """A report, two captures and their key objects."""
    classes = [
        Comprehensive3DSRStorage,
        SecondaryCaptureImageStorage,
        SecondaryCaptureImageStorage,
        KeyObjectSelectionDocumentStorage,
    ]
    return [write_object(tmp_path / f"{i}.dcm", sop_class, f"1.2.{i}") for i, sop_class in enumerate(classes)]


def test_files_arrive_byte_for_byte_and_in_order(objects: list[Outgoing]) -> None:
    received: list[Received] = []
    with peer(received.append) as destination:
        outcomes = list(sender.send(destination, objects))
    assert [(outcome.answer, outcome.status) for outcome in outcomes] == [(Answer.STORED, 0x0000)] * 4
    assert [item.sop_instance_uid for item in received] == [item.sop_instance_uid for item in objects]
    for sent, got in zip(objects, received, strict=True):
        assert sent.path.read_bytes().endswith(got.encoded)
        assert got.calling_ae_title == "SURVNODE"


def test_a_peer_that_knows_only_implicit_vr_gets_that(objects: list[Outgoing], tmp_path: Path) -> None:
    received: list[Received] = []
    with peer(received.append, dict.fromkeys(RESULTS, (ImplicitVRLittleEndian,))) as destination:
        assert all(outcome.answer is Answer.STORED for outcome in sender.send(destination, objects))
    assert {item.transfer_syntax_uid for item in received} == {ImplicitVRLittleEndian}
    (tmp_path / "got.dcm").write_bytes(received[0].part10)
    assert dcmread(tmp_path / "got.dcm").PatientName == "Phantom"


def test_an_object_whose_class_is_not_accepted_is_refused_and_the_others_go(objects: list[Outgoing]) -> None:
    received: list[Received] = []
    contexts = {uid: syntaxes for uid, syntaxes in RESULTS.items() if uid != Comprehensive3DSRStorage}
    with peer(received.append, contexts) as destination:
        outcomes = list(sender.send(destination, objects))
    assert [outcome.answer for outcome in outcomes] == [Answer.REFUSED, *[Answer.STORED] * 3]
    assert "Comprehensive 3D SR" in outcomes[0].detail


def test_a_destination_that_takes_no_class_of_a_batch_refuses_that_batch_alone(outbox: Outbox, tmp_path: Path) -> None:
    received: list[Received] = []
    (tmp_path / "3.dcm").unlink()
    with peer(received.append, {VERIFICATION: RESULT_TRANSFER_SYNTAXES}) as destination:
        assert outbox.deliver_due(destination) == 0
    assert outbox.counts()["pacs"][DeliveryState.REFUSED] == 4
    with peer(received.append) as destination:
        assert outbox.deliver_due(replace(destination, name="archive")) == 3


def test_an_unreadable_file_is_refused_and_the_others_go(objects: list[Outgoing]) -> None:
    objects[0].path.unlink()
    objects[3].path.write_bytes(b"no DICOM")
    with peer(lambda _: None) as destination:
        outcomes = list(sender.send(destination, objects))
    answers = [Answer.REFUSED, Answer.STORED, Answer.STORED, Answer.REFUSED]
    assert [outcome.answer for outcome in outcomes] == answers


@pytest.mark.parametrize(
    ("error", "status", "sent"),
    [
        (errors.StorageFull("full"), 0xA700, 2),  # the rest is not tried now
        (errors.InstanceMismatch("no"), 0xA900, 4),
        (errors.InstanceUnparsable("no"), 0xC000, 4),
    ],
)
def test_the_answer_of_a_destination_is_kept(
    objects: list[Outgoing], error: errors.NodeError, status: int, sent: int
) -> None:
    def refuse_the_second(received: Received) -> None:
        if received.sop_instance_uid == "1.2.1":
            raise error

    with peer(refuse_the_second) as destination:
        outcomes = list(sender.send(destination, objects))
    assert [outcome.status for outcome in outcomes][:2] == [0x0000, status]
    assert len(outcomes) == sent


def test_a_destination_that_vanishes_in_the_middle_leaves_the_outcome_unknown(objects: list[Outgoing]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        destination = Destination("pacs", "PACS", "127.0.0.1", deaf.getsockname()[1], acse_timeout_s=0.2)
        with pytest.raises(errors.DeliveryFailed):
            list(sender.send(destination, objects))


def test_a_closed_port_is_unreachable(objects: list[Outgoing]) -> None:
    with peer(lambda _: None) as destination:
        pass
    with pytest.raises(errors.DestinationUnreachable, match="pacs"):
        list(sender.send(destination, objects))
    with pytest.raises(errors.DestinationUnreachable):
        sender.echo(destination)


def test_a_wrong_title_is_rejected_with_its_reason() -> None:
    with peer(lambda _: None) as destination:
        sender.echo(destination)
        with pytest.raises(errors.DeliveryFailed, match="OTHER"):
            sender.echo(replace(destination, ae_title="OTHER"))


def test_a_ct_series_is_sent_in_its_own_transfer_syntax(thorax64_series: list[Path]) -> None:
    received: list[Received] = []
    headers = [dcmread(path, stop_before_pixels=True) for path in thorax64_series[:3]]
    files = [
        Outgoing(str(ds.SOPClassUID), str(ds.SOPInstanceUID), path)
        for ds, path in zip(headers, thorax64_series, strict=False)
    ]
    with peer(received.append) as destination:
        assert [outcome.status for outcome in sender.send(destination, files)] == [0x0000] * 3
    assert [item.transfer_syntax_uid for item in received] == [str(ds.file_meta.TransferSyntaxUID) for ds in headers]


@pytest.fixture
def times() -> list[float]:
    """The clock shows the last of them."""
    return [0.0]


@pytest.fixture
def outbox(tmp_path: Path, objects: list[Outgoing], times: list[float]) -> Iterator[Outbox]:
    """Four result objects of one job, for two destinations."""
    database = Database(tmp_path / "node.sqlite")
    roles = [(ResultRole.REPORT, 0), (ResultRole.CAPTURE, 1), (ResultRole.CAPTURE, 2), (ResultRole.KEY_OBJECTS, 0)]
    made = [
        StoredObject(role, rank, item.sop_class_uid, item.sop_instance_uid, "1.3", item.path.name)
        for (role, rank), item in zip(roles, objects, strict=True)
    ]
    study = Study("1.2", "P1", False, 0.0, 0.0, None, 1, StudyState.ASSEMBLED)
    job_row = Job(1, "1.2", "1.3", (), "d", "2.25.1", 1, None, "", (), JobState.QUEUED, 0.0, 0.0)
    with database.transaction() as connection:
        connection.execute(insert(studies).values(row_of(study)))
        connection.execute(insert(jobs).values(row_of(job_row)))
    job = queue.claim(database, "worker", now=0.0, lease_s=60)
    assert job is not None
    planned = [PlannedDelivery(item.sop_instance_uid, name) for name in ("pacs", "archive") for item in made]
    queue.finish(database, job, made, planned, now=0.0)
    yield Outbox(database, tmp_path, clock=lambda: times[-1], random=lambda: 0.0)
    database.close()


def test_results_wait_while_a_destination_is_down_and_another_is_not_held_up(
    outbox: Outbox, times: list[float]
) -> None:
    received: list[Received] = []
    with peer(received.append) as down:
        pass  # its port is known, and closed again
    with peer(received.append) as up:
        assert outbox.deliver_due(down) == 0
        assert outbox.deliver_due(replace(up, name="archive")) == 4
    assert outbox.counts()["pacs"][DeliveryState.WAITING] == 4
    received.clear()
    times.append(10.0)
    with peer(received.append, port=down.port) as back:
        assert outbox.deliver_due(back) == 4
        assert outbox.deliver_due(back) == 0
    assert [item.sop_instance_uid for item in received] == ["1.2.0", "1.2.1", "1.2.2", "1.2.3"]


def test_a_full_destination_gets_the_rest_later_and_everything_once(outbox: Outbox, times: list[float]) -> None:
    received: list[str] = []

    def full_at_first(item: Received) -> None:
        if item.sop_instance_uid == "1.2.1" and times[-1] == 0.0:
            raise errors.StorageFull("full")
        received.append(item.sop_instance_uid)

    with peer(full_at_first) as destination:
        assert outbox.deliver_due(destination) == 1
        times.append(10.0)
        assert outbox.deliver_due(destination) == 3
    assert sorted(received) == ["1.2.0", "1.2.1", "1.2.2", "1.2.3"]


@pytest.mark.skipif(not STORESCP.exists(), reason="DCMTK's storescp is not in /usr/bin")
def test_dcmtk_receives_what_is_sent(outbox: Outbox, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(STORESCP), "-v", "-aet", "PACS", "-od", str(inbox), str(port)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as scp:
        try:
            destination = Destination("pacs", "PACS", "127.0.0.1", port)
            _wait_for(destination)
            assert outbox.deliver_due(destination) == 4
        finally:
            scp.terminate()
    arrived = {re.sub(r"^[A-Z]+\.", "", path.name) for path in inbox.iterdir()}
    assert len(arrived) == 4
    assert {str(dcmread(path).SOPInstanceUID) for path in inbox.iterdir()} == {"1.2.0", "1.2.1", "1.2.2", "1.2.3"}


def _wait_for(destination: Destination) -> None:
    """Until the peer answers C-ECHO; each try takes as long as the connection does."""
    for _ in range(2000):
        try:
            return sender.echo(destination)
        except errors.DeliveryFailed:
            continue
    raise AssertionError("the peer did not start")
