import errno
import os
import stat
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from survnode.node import errors
from survnode.node.intake.incoming_file import Budget, IncomingFile
from survnode.node.intake.instance import StoreRequest

from ...integration.scu import ct

REQUEST = StoreRequest(CTImageStorage, "1.2.3.1.1", ExplicitVRLittleEndian, "SENDER", called_ae_title="NODE", peer="A")


@pytest.fixture
def budget() -> Budget:
    return Budget(100_000, 60_000)


@pytest.fixture
def beside() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_what_was_written_in_pieces_is_a_part_10_file(tmp_path: Path, budget: Budget, beside: Executor) -> None:
    file, content = IncomingFile(tmp_path, REQUEST, budget), ct(size=5000)
    for start in range(0, len(content), 999):
        file.write(memoryview(content)[start : start + 999])
    spooled = file.spooled()
    assert (spooled.sha256, spooled.size_bytes) == (sha256(content).hexdigest(), len(content))
    with spooled.data_set() as data_set:
        assert data_set.read_at(0, len(content)) == content
    (tmp_path / "home").mkdir()
    file.move_to(tmp_path / "home" / "1.dcm", beside)
    file.discard()
    ds = dcmread(tmp_path / "home" / "1.dcm")
    assert (ds.file_meta.SendingApplicationEntityTitle, ds.file_meta.ReceivingApplicationEntityTitle) == (
        "SENDER",
        "NODE",
    )
    assert ds.PatientID == "P1"
    assert stat.S_IMODE((tmp_path / "home" / "1.dcm").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_file_that_was_moved_away_by_others_is_written_again(
    tmp_path: Path, budget: Budget, beside: Executor
) -> None:
    file = IncomingFile(tmp_path, REQUEST, budget)
    file.write(memoryview(ct()))
    file.move_to(tmp_path / "1.dcm", beside)
    content = (tmp_path / "1.dcm").read_bytes()
    (tmp_path / "1.dcm").unlink()
    file.copy_to(tmp_path / "1.dcm")
    file.discard()
    assert (tmp_path / "1.dcm").read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_there_is_replaced_only_by_durable_bytes(
    tmp_path: Path, budget: Budget, beside: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been acknowledged: a power cut must leave the old bytes or the new ones."""
    (tmp_path / "1.dcm").write_bytes(b"acknowledged")
    file = IncomingFile(tmp_path, REQUEST, budget)
    file.write(memoryview(ct()))
    synced: list[bytes] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((tmp_path / "1.dcm").read_bytes())

    monkeypatch.setattr(os, "fsync", note)
    file.move_to(tmp_path / "1.dcm", beside)
    file.discard()
    assert synced[0] == b"acknowledged"
    assert (tmp_path / "1.dcm").read_bytes().endswith(ct())
    assert len(list(tmp_path.iterdir())) == 1


def test_where_there_are_no_links_a_durable_file_is_renamed(
    tmp_path: Path, budget: Budget, beside: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    file = IncomingFile(tmp_path, REQUEST, budget)
    file.write(memoryview(ct()))
    file.move_to(tmp_path / "1.dcm", beside)
    file.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["1.dcm"]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_sync_that_fails_takes_the_name_back(
    tmp_path: Path, budget: Budget, beside: Executor, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Whichever of the two it is, of the file or of the folder."""
    fsync, calls = os.fsync, iter(range(9))

    def fail(descriptor: int) -> None:
        if next(calls) == failing:
            raise OSError(errno.EIO, "broken")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    file = IncomingFile(tmp_path, REQUEST, budget)
    file.write(memoryview(ct()))
    with pytest.raises(errors.StorageFailed):
        file.move_to(tmp_path / "1.dcm", beside)
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_what_is_discarded_leaves_neither_file_nor_descriptor(tmp_path: Path, budget: Budget) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    file = IncomingFile(tmp_path, REQUEST, budget)
    file.write(memoryview(ct()))
    file.discard()
    file.discard()
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_unfinished_objects_have_a_budget_of_all_and_of_a_peer(tmp_path: Path, budget: Budget) -> None:
    ours = [IncomingFile(tmp_path, REQUEST, budget) for _ in range(2)]
    other = StoreRequest(CTImageStorage, "1.2.3.1.2", ExplicitVRLittleEndian, "SENDER", peer="B")
    theirs = IncomingFile(tmp_path, other, budget)
    ours[0].write(memoryview(bytes(50_000)))
    with pytest.raises(errors.StorageFull):
        ours[1].write(memoryview(bytes(20_000)))
    theirs.write(memoryview(bytes(45_000)))
    with pytest.raises(errors.StorageFull):
        theirs.write(memoryview(bytes(10_000)))
    ours[0].discard()
    ours[1].write(memoryview(bytes(50_000)))
    for file in (*ours, theirs):
        file.discard()
    budget.take("A", 60_000)
