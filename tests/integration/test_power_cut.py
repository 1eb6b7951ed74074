"""A kill or a power cut at each moment at which the node asks something of the disk: of store, database and outbox.

One run is recorded by strace, SQLite's own writes included: three images received, one of them again with other
bytes; the end of the node and its next start; a study judged, its job worked on, two results sent. After each call
that changed something the disk is made as it may be then, see `recorded_disk`, and a node starts on it. By default it
is one moment in 32, drawn by ``SURVNODE_POWER_CUT_SEED``; ``SURVNODE_POWER_CUTS=all`` takes them all (three minutes).
"""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import select

from survnode.node.state.database import fetch
from survnode.node.state.files import is_as_received
from survnode.node.state.records import Delivery, DeliveryState, Instance, InstanceState, Quarantined, RecordedObject
from survnode.node.state.tables import deliveries, instances, quarantined, results
from survnode.node.work import jobs

from .recorded_disk import Call, Loss, RecordedDisk, calls_of, record
from .small_node import SmallNode, images

ALL = os.environ.get("SURVNODE_POWER_CUTS") == "all"
SEED = int(os.environ.get("SURVNODE_POWER_CUT_SEED", "64"))
EVERY = 1 if ALL else 32
ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")  # a sync there costs nothing: what is tried is what a sync before left

pytestmark = pytest.mark.timeout(3600 if ALL else 600)


@dataclass(frozen=True)
class Recording:
    calls: list[Call]
    root: Path
    voice: Path

    def disk(self) -> RecordedDisk:
        return RecordedDisk(self.root, self.voice)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("recorded")
    root, voice, log = folder / "data", folder / "said", folder / "log"
    root.mkdir()
    record([sys.executable, "-m", "tests.integration.small_node", str(root), str(voice)], log, cwd=ROOT)
    return Recording(list(calls_of(log)), root, voice)


@pytest.fixture
def place() -> Iterator[Path]:
    """Where disks are made, one after the other."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder) / "data"


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(it.relative_to(folder)): it.read_bytes() for it in sorted(folder.rglob("*")) if it.is_file()}


def test_the_recorded_disk_is_the_disk(recording: Recording, place: Path) -> None:
    disk = recording.disk()
    for _ in disk.play(recording.calls):
        pass
    disk.leave(place, Loss.NOTHING)
    assert bytes_below(place) == bytes_below(recording.root)
    assert disk.said == recording.voice.read_text().splitlines()
    assert Counter(line.split()[0] for line in disk.said) == {"acknowledged": 4, "arrived": 2}


@pytest.mark.parametrize("loss", Loss)
def test_what_was_acknowledged_is_there_and_every_result_arrives(recording: Recording, place: Path, loss: Loss) -> None:
    random, disk, seen = Random(SEED), recording.disk(), set[str]()
    for call in disk.play(recording.calls):
        if random.randrange(EVERY):
            continue
        disk.leave(place, loss, seed=random.randrange(1 << 30))
        state = sha256(repr((bytes_below(place), disk.said)).encode()).hexdigest()
        if state not in seen:
            seen.add(state)
            try:
                start_and_finish(place, disk.said)
            except BaseException as error:
                error.add_note(f"after call {recording.calls.index(call)}: {call.name}({call.arguments[-200:]})")
                raise
        shutil.rmtree(place)
    assert len(seen) > 32 // EVERY


def start_and_finish(folder: Path, said: list[str]) -> None:
    """Start a node on what is left, check what was said before, send again what was not acknowledged, and finish."""
    before, after = list(said), list[str]()
    node = SmallNode(folder, after.append)
    try:
        acknowledged = {line.split()[1] for line in before if line.startswith("acknowledged")}
        assert acknowledged <= kept(node)
        sent = sent_objects(node)
        assert sent <= {line.split()[1] for line in before if line.startswith("arrived")}
        node.receive([it for it in images() if digest_of(it.encoded) not in acknowledged])
        node.finish()
        assert kept(node) == {digest_of(it.encoded) for it in images()}
        assert list(jobs_of(node).values()) == [1]
        arrived = [line for line in (*before, *after) if line.startswith("arrived")]
        assert len({line.split()[1] for line in arrived}) == len(set(arrived)) == 2  # again only with the same bytes
        assert sent.isdisjoint(line.split()[1] for line in after)  # and not if the answer was recorded
        assert len(sent_objects(node)) == 2
        assert max(Counter(arrived).values()) <= 2
    finally:
        node.close()


@cache
def digest_of(encoded: bytes) -> str:
    return sha256(encoded).hexdigest()


def kept(node: SmallNode) -> set[str]:
    """The sha256 of each image that is whole on disk and known, in the study or in quarantine."""
    with node.database.reading() as connection:
        rows = fetch(connection, Instance, select(instances))
        apart = fetch(connection, Quarantined, select(quarantined))
    assert all(row.state is InstanceState.STORED for row in rows)
    files = {row.sha256: row.path for row in rows} | {row.sha256: row.path for row in apart}
    return {digest for digest, path in files.items() if is_as_received(node.store.folder / path, digest)}


def sent_objects(node: SmallNode) -> set[str]:
    with node.database.reading() as connection:
        made = {row.id: row.sop_instance_uid for row in fetch(connection, RecordedObject, select(results))}
        rows = fetch(connection, Delivery, select(deliveries))
    return {made[row.result_id] for row in rows if row.state is DeliveryState.SENT}


def jobs_of(node: SmallNode) -> dict[object, int]:
    return {state: number for state, number in jobs.counts(node.database).items() if number}
