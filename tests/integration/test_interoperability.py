"""Senders that others wrote, in the ways in which they differ: DCMTK's two, Orthanc, pynetdicom."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE
from sqlalchemy import func, select

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.contexts import accepted_contexts
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.intake.store import Store
from survnode.node.intake.watermark import DiskWatermark
from survnode.node.service.receiving import StoreWithRoom
from survnode.node.state.database import Database
from survnode.node.state.records import Association, AssociationEnd
from survnode.node.state.tables import instances

from ..acceptance.peers import orthanc
from .nodes import FAST, dcmtk, until
from .scu import CT, associated, ct, p_data, request, store, value

THOUSAND = 1000


class Archive:
    """A receiver into a store, and what is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.database = folder, Database(folder / "node.sqlite")
        self.store = Store(folder / "store", self.database)
        self.ended: list[Association] = []
        spool = StoreWithRoom(self.store, DiskWatermark(1000, 2000, lambda: 10**9))
        self.receiver = Receiver(Listening("SURVNODE"), accepted_contexts(), spool, on_association=self.ended.append)
        self.receiver.start()

    @property
    def port(self) -> str:
        return str(self.receiver.port)

    def count(self) -> int:
        with self.database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(instances)).scalar_one())

    def stored(self) -> dict[str, Dataset]:
        found = (dcmread(path) for path in (self.folder / "store/studies").rglob("*.dcm"))
        return {str(ds.SOPInstanceUID): ds for ds in found}

    def close(self) -> None:
        self.receiver.stop(drain_s=0)
        self.store.close()
        self.database.close()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    (tmp_path / "node").mkdir()
    archive = Archive(tmp_path / "node")
    yield archive
    archive.close()


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    phantom = make_phantom(3, shape=(24, 64, 64), spacing_mm=(5.0, 5.0, 5.0))
    return write_dicom(phantom, tmp_path_factory.mktemp("series"), study="8")


def run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], env=FAST, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def holds(archive: Archive, series: list[Path]) -> None:
    """Every image is there, as it was."""
    stored = archive.stored()
    for path in series:
        ds = dcmread(path)
        assert stored[str(ds.SOPInstanceUID)] == ds
    assert archive.count() == len(series)


@pytest.mark.parametrize("pdu", ["4096", "16384", "131072"])
def test_storescu_with_pdus_of_any_size(archive: Archive, series: list[Path], pdu: str) -> None:
    run(dcmtk("storescu"), "-pdu", pdu, "--max-send-pdu", pdu, "-aec", "SURVNODE", "127.0.0.1", archive.port, *series)
    holds(archive, series)
    assert [it.end for it in archive.ended] == [AssociationEnd.RELEASED]


@pytest.mark.parametrize("proposed", ["-xe", "-xb", "-xi"])  # explicit, big endian, implicit
def test_storescu_in_any_uncompressed_syntax(archive: Archive, series: list[Path], proposed: str) -> None:
    run(dcmtk("storescu"), proposed, "-R", "-aec", "SURVNODE", "127.0.0.1", archive.port, *series)
    stored = archive.stored()
    assert len(stored) == len(series)
    for path in series:
        ds = dcmread(path)
        assert stored[str(ds.SOPInstanceUID)].pixel_array.tobytes() == ds.pixel_array.tobytes()


def test_dcmsend_sends_a_series_and_an_echo_is_answered(archive: Archive, series: list[Path]) -> None:
    run(dcmtk("dcmsend"), "-aec", "SURVNODE", "127.0.0.1", archive.port, *series)
    run(dcmtk("echoscu"), "-aec", "SURVNODE", "127.0.0.1", archive.port)
    holds(archive, series)


def test_one_association_an_image(archive: Archive, series: list[Path]) -> None:
    run(dcmtk("dcmsend"), "--multi-associations", "-aec", "SURVNODE", "127.0.0.1", archive.port, *series[:2])
    for path in series[2:]:
        run(dcmtk("dcmsend"), "-aec", "SURVNODE", "127.0.0.1", archive.port, path)
    holds(archive, series)


def test_an_aborting_storescu_keeps_what_was_answered(archive: Archive, series: list[Path]) -> None:
    subprocess.run(
        [dcmtk("storescu"), "--abort", "-aec", "SURVNODE", "127.0.0.1", archive.port, *map(str, series)],
        env=FAST,
        capture_output=True,
        check=False,
    )
    holds(archive, series)
    assert until("the end of the association", lambda: archive.ended or None)[0].end is AssociationEnd.ABORTED_BY_PEER


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_pynetdicom_in_every_uncompressed_syntax(
    archive: Archive, series: list[Path], tmp_path: Path, syntax: UID
) -> None:
    ae = AE(ae_title="SENDER")
    ae.add_requested_context(CTImageStorage, syntax)
    ae.add_requested_context("1.2.840.10008.1.1")
    assoc = ae.associate("127.0.0.1", archive.receiver.port, ae_title="SURVNODE", max_pdu=0)
    for path in series[:5]:
        ds = dcmread(path)
        pixels = ds.pixel_array
        ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(tmp_path / "one.dcm")
        assert assoc.send_c_store(dcmread(tmp_path / "one.dcm")).Status == 0
        assert assoc.send_c_echo().Status == 0
        kept = archive.stored()[str(ds.SOPInstanceUID)]
        assert kept.file_meta.TransferSyntaxUID == syntax
        assert kept.pixel_array.tobytes() == pixels.tobytes()
    assoc.release()


def test_a_thousand_images_in_one_association(archive: Archive) -> None:
    with associated(archive.receiver.port, request(max_pdu=0)) as scu:
        for number in range(1, THOUSAND + 1):
            uid = f"1.2.3.1.{number}"
            scu.send(
                p_data(value(CT, store(uid, number), command=True, last=True)),
                p_data(value(CT, ct(uid, size=500), command=False, last=True)),
            )
            answer = scu.read_answer()
            assert (answer.Status, answer.MessageIDBeingRespondedTo) == (0, number)
        scu.release()
    assert archive.count() == THOUSAND


def test_orthanc_sends_a_study(archive: Archive, series: list[Path], tmp_path: Path) -> None:
    with orthanc(tmp_path / "orthanc") as peer:
        peer.knows(archive.receiver.port)
        run(dcmtk("dcmsend"), "-aec", peer.ae_title, "127.0.0.1", str(peer.dicom_port), *series)
        study = peer.lookup(str(dcmread(series[0], stop_before_pixels=True).StudyInstanceUID))
        sent = peer.send("POST", "/modalities/survnode/store", {"Resources": [study], "Synchronous": True})
        assert sent["FailedInstancesCount"] == 0
    assert archive.count() == len(series)
