"""A real disk that is full at every stage of receiving, judging and sending, and then has room again."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from survnode.node import errors
from survnode.node.intake.instance import Received
from survnode.node.state.records import JobState
from survnode.node.work import jobs

from .small_node import SmallNode, images
from .test_power_cut import digest_of, kept, sent_objects

PAGE = 4096
DISK_BYTES = 4 << 20
STEP = 10  # pages; between none and what all that is tried needs
MAX_PAGES = 120


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "survnode-test", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root alone, and not in every container")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, free_pages: int) -> None:
    """Leave so many pages free."""
    left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    with (disk / "filler").open("wb") as filler:
        filler.write(bytes(max(0, left - free_pages * PAGE)))


def test_a_disk_that_is_full_at_any_stage_loses_nothing_and_the_node_goes_on_when_there_is_room(disk: Path) -> None:
    refused = 0
    for free_pages in range(0, MAX_PAGES, STEP):
        folder, said = disk / str(free_pages), list[str]()
        node = SmallNode(folder, said.append)
        node.receive(images()[:1])
        fill(disk, free_pages)
        for image in images()[1:]:
            refused += is_refused(node, image)
        for act in (node.judge, node.send):
            with suppress(errors.StorageFull):
                act()
        acknowledged = {line.split()[1] for line in said}
        assert acknowledged <= kept(node)
        (disk / "filler").unlink()
        node.receive([image for image in images() if digest_of(image.encoded) not in acknowledged])
        node.finish()
        assert kept(node) == {digest_of(image.encoded) for image in images()}
        assert len(sent_objects(node)) == 2
        assert {state for state, number in jobs.counts(node.database).items() if number} <= {
            JobState.FINISHED,
            JobState.SUPERSEDED,
        }
        node.close()
        subprocess.run(["rm", "-r", str(folder)], check=True)
    assert 0 < refused < MAX_PAGES // STEP * (len(images()) - 1)  # with so little, and with so much


def is_refused(node: SmallNode, image: Received) -> bool:
    """Whether the sender is told to come later."""
    try:
        node.receive([image])
    except errors.StorageFull:
        return True
    return False
