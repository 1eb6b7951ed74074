"""Small studies that would be huge in memory: the node lives, each ends in the open, the next study is analysed."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, CTImageStorage, DeflatedExplicitVRLittleEndian, RLELossless

from survnode.node.intake import instance_header
from survnode.node.intake.header_elements import DataSetBytes
from survnode.node.intake.instance import Received
from survnode.node.intake.store import Store
from survnode.node.state.database import Database

from .nodes import Pacs, RunningNode, until

IMAGES = 24
INFLATED_BYTES = 500 << 20
HUGE = 65535
HUGE_RLE = b"\x81\0" * (HUGE * HUGE // 128 + 1)  # 128 zeros in two bytes, again and again: 64 MiB


@pytest.fixture(scope="module")
def pacs() -> Iterator[Pacs]:
    pacs = Pacs()
    yield pacs
    pacs.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs, thorax64_series: list[Path]) -> Iterator[RunningNode]:
    """It finds deflated bombs in its store: a receiver that did not count what they inflate to had taken them."""
    node = RunningNode(tmp_path_factory.mktemp("node"), {"pacs": pacs.start()})
    node.data_dir.mkdir()
    database = Database(node.data_dir / "survnode.db")
    store = Store(node.data_dir / "received", database, quiet_period_s=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instance_header, "_inflated_start", inflated_start)
        for bomb in deflated_bombs(thorax64_series[:IMAGES]):
            store.add(bomb)
    store.close()
    database.close()
    node.start()
    yield node
    assert node.stop() == 0


def inflated_start(data_set: DataSetBytes) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data_set.read_at(0, data_set.size), 1 << 20)


def deflated_bombs(paths: list[Path]) -> Iterator[Received]:
    """The images as deflated ones with 500 MiB of zeros for pixels, half a megabyte each."""
    zeros = deflated(b"", INFLATED_BYTES)
    for number, path in enumerate(paths, start=1):
        ds = renamed(dcmread(path, stop_before_pixels=True), "1.2.3.601", number)
        file = DicomBytesIO()
        file.is_little_endian, file.is_implicit_VR = True, False
        del ds.file_meta
        write_dataset(file, ds)
        pixels = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, INFLATED_BYTES)
        start = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
        content = start.compress(file.getvalue() + pixels) + start.flush(zlib.Z_FULL_FLUSH) + zeros
        yield Received(
            CTImageStorage, str(ds.SOPInstanceUID), DeflatedExplicitVRLittleEndian, "SENDER", encoded=content
        )


def deflated(start: bytes, zeros: int) -> bytes:
    deflater = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    parts = [deflater.compress(start), *(deflater.compress(bytes(1 << 20)) for _ in range(zeros >> 20))]
    return b"".join(parts) + deflater.flush()


def renamed(ds: Dataset, study: str, number: int) -> Dataset:
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.1.{number}")
    return ds


def written(paths: list[Path], folder: Path, study: str, *, compressed: bytes = b"") -> list[Path]:
    """Copies of images that claim 65,535 x 65,535 pixels, and, if ``compressed``, hold them."""
    folder.mkdir()
    files = []
    for number, path in enumerate(paths, start=1):
        ds = renamed(dcmread(path), study, number)
        ds.Rows = ds.Columns = HUGE
        if compressed:
            ds.file_meta.TransferSyntaxUID = RLELossless
            ds.PixelData = compressed
            ds["PixelData"].VR = "OB"
            ds["PixelData"].is_undefined_length = True
        files.append(folder / f"{number}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    return files


def children(node: RunningNode) -> int:
    return node.log.read_text().count('"child.started"')


def test_deflated_images_of_500_mib_end_neither_the_node_nor_the_studies_after_them(
    node: RunningNode, pacs: Pacs, thorax64_series: list[Path]
) -> None:
    assert set(node.send(thorax64_series)) == {0}
    uid = str(dcmread(thorax64_series[0], stop_before_pixels=True).StudyInstanceUID)
    job = node.await_job(uid)
    node.await_delivered(job["job"], "pacs")
    assert pacs.of_study(uid)
    bombs = until("the end of the bombs", lambda: ended(node, "1.2.3.601"))
    assert [job["state"] for job in bombs["jobs"]] == ["FAILED"]
    assert "files can be read" in bombs["jobs"][0]["error"]


def ended(node: RunningNode, uid: str) -> dict[str, Any] | None:
    study = node.status.study(uid)
    waits = study["state"] == "RECEIVING" or any(job["state"] in ("QUEUED", "RUNNING") for job in study["jobs"])
    return None if waits else study


@pytest.mark.parametrize(("uid", "compressed"), [("1.2.3.602", False), ("1.2.3.603", True)])
def test_images_of_65535_rows_and_columns_get_a_report_with_the_reason_at_the_first_try(
    node: RunningNode, pacs: Pacs, thorax64_series: list[Path], tmp_path: Path, uid: str, compressed: bool
) -> None:
    header = struct.pack("<16L", 2, 64, 64 + len(HUGE_RLE), *[0] * 13)
    content = encapsulate([header + HUGE_RLE + HUGE_RLE]) if compressed else b""
    images = thorax64_series[:2] if compressed else thorax64_series
    before = children(node)
    assert set(node.send(written(images, tmp_path / "ct", uid, compressed=content))) == {0}
    job = node.await_job(uid)
    assert (job["reason"], job["attempts"], job["kills"]) == ("TOO_LARGE", 1, 0)
    node.await_delivered(job["job"], "pacs")
    assert "65535 x 65535" in pacs.of_study(uid)[0].to_json()
    assert children(node) == before
