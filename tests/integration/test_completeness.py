"""How studies come: late, with holes, twice, an image an association, two at once, from two senders."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import select

from survnode.model.errors import Reason
from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.contexts import accepted_contexts
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import Outgoing, send
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.intake.store import Store
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Instance, Job, Study
from survnode.node.state.tables import instances, jobs, studies

QUIET_S = 60.0
IMAGES = 30


class Node:
    """A receiver on loopback and the assembly behind it, at a time that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.database = Database(folder / "node.sqlite")
        self.store = Store(folder / "store", self.database, quiet_period_s=QUIET_S, clock=lambda: self.now)
        self.receiver = Receiver(Listening("SURVNODE"), accepted_contexts(), self.store.add)
        self.receiver.start()
        self.assembly = Assembly(self.database, folder / "store", "2.25.1", spacing_mm=3.0)

    def send(self, paths: Sequence[Path], calling: str = "SENDER") -> None:
        """Send images over one association."""
        peer = Destination("node", "SURVNODE", "127.0.0.1", self.receiver.port, calling_ae_title=calling)
        headers = [dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"]) for path in paths]
        outgoing = [
            Outgoing(str(ds.SOPClassUID), str(ds.SOPInstanceUID), path) for ds, path in zip(headers, paths, strict=True)
        ]
        assert [outcome.status for outcome in send(peer, outgoing)] == [0x0000] * len(paths)

    def judge(self, at: float) -> list[Job]:
        self.now = at
        self.assembly.assemble_due(at)
        with self.database.reading() as connection:
            return fetch(connection, Job, select(jobs).order_by(jobs.c.id))

    def studies(self) -> list[Study]:
        with self.database.reading() as connection:
            return fetch(connection, Study, select(studies))

    def images(self) -> list[Instance]:
        with self.database.reading() as connection:
            return fetch(connection, Instance, select(instances))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.receiver.stop()
    node.store.close()
    node.database.close()


def a_study(folder: Path, seed: int) -> list[Path]:
    return write_dicom(make_phantom(seed, shape=(IMAGES, 32, 32), spacing_mm=(8.0, 12.0, 12.0)), folder)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return a_study(tmp_path_factory.mktemp("a"), 1)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return a_study(tmp_path_factory.mktemp("b"), 2)


def uids(found: Sequence[Path]) -> tuple[str, ...]:
    return tuple(sorted(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in found))


def test_an_association_an_image_makes_one_study_that_waits_for_the_last(node: Node, paths: list[Path]) -> None:
    for number, path in enumerate(paths):
        assert node.judge(50.0 * number) == []
        node.send([path])
    last = 50.0 * (IMAGES - 1)
    assert node.judge(last + QUIET_S - 1) == []
    (job,) = node.judge(last + QUIET_S)
    assert (job.sop_instance_uids, job.reason) == (uids(paths), None)


def test_two_studies_interleaved_in_one_association_are_kept_apart(
    node: Node, paths: list[Path], others: list[Path]
) -> None:
    node.send(list(chain.from_iterable(zip(paths, others, strict=True))))
    found = node.judge(QUIET_S)
    assert {job.sop_instance_uids for job in found} == {uids(paths), uids(others)}
    assert [job.reason for job in found] == [None, None]


def test_a_study_that_still_comes_does_not_hold_up_another(node: Node, paths: list[Path], others: list[Path]) -> None:
    node.send([*paths, *others[:10]])
    node.now = 50.0
    node.send(others[10:20])
    (first,) = node.judge(QUIET_S)
    assert first.sop_instance_uids == uids(paths)
    node.send(others[20:])
    assert len(node.judge(QUIET_S + 59)) == 1
    assert node.judge(2 * QUIET_S)[1].sop_instance_uids == uids(others)


def test_one_study_from_two_senders_at_once_is_one_study(node: Node, paths: list[Path]) -> None:
    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(node.send, paths[start::2], calling) for start, calling in enumerate(("CT1", "CT2"))]
        for half in halves:
            half.result()
    (job,) = node.judge(QUIET_S)
    assert job.sop_instance_uids == uids(paths)
    assert {image.calling_ae_title for image in node.images()} == {"CT1", "CT2"}
    assert node.studies()[0].calling_ae_title in {"CT1", "CT2"}


def test_one_study_whole_from_two_senders_at_once_is_kept_and_judged_once(node: Node, paths: list[Path]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for whole in [pool.submit(node.send, paths, "CT1"), pool.submit(node.send, paths[::-1], "PACS")]:
            whole.result()
    assert len(node.images()) == IMAGES
    files = [path for path in (node.store.folder / "studies").rglob("*") if path.is_file()]
    assert len(files) == IMAGES
    assert len(node.judge(QUIET_S)) == 1
    assert list((node.store.folder / "quarantine").iterdir()) == []


def test_what_comes_again_while_the_study_comes_does_not_delay_it(node: Node, paths: list[Path]) -> None:
    node.send(paths)
    node.now = 50.0
    node.send(paths)
    assert len(node.judge(QUIET_S)) == 1


def test_what_comes_again_after_the_study_was_judged_changes_nothing(node: Node, paths: list[Path]) -> None:
    node.send(paths)
    node.judge(QUIET_S)
    node.now = 100.0
    node.send(paths[:5])
    node.send(paths)
    assert len(node.judge(300.0)) == 1
    assert node.studies()[0].due_at is None


def test_a_hole_is_reported_and_the_late_image_makes_the_next_version(node: Node, paths: list[Path]) -> None:
    node.send(paths[:14] + paths[15:])
    (first,) = node.judge(QUIET_S)
    assert (first.reason, first.version) == (Reason.IRREGULAR_SPACING, 1)
    node.now = 1000.0
    node.send(paths[14:15])
    assert len(node.judge(1000.0 + QUIET_S - 1)) == 1
    second = node.judge(1000.0 + QUIET_S)[1]
    assert (second.reason, second.version, second.sop_instance_uids) == (None, 2, uids(paths))


def test_late_images_one_by_one_make_one_next_version(node: Node, paths: list[Path]) -> None:
    node.send(paths[:25])
    node.judge(QUIET_S)
    for number, path in enumerate(paths[25:]):
        assert len(node.judge(100.0 + 30 * number)) == 1
        node.send([path])
    found = node.judge(1000.0)
    assert [(job.version, len(job.sop_instance_uids)) for job in found] == [(1, 25), (2, 30)]
