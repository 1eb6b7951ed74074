"""A database that was cut, overwritten, or put back from an older copy: the node says so, and no image is lost."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from survnode.node import errors
from survnode.node.state.records import JobState
from survnode.node.work import jobs

from .small_node import SmallNode, images
from .test_power_cut import digest_of, kept

NAMES = ("survnode.db", "survnode.db-wal", "survnode.db-shm")
PAGE = 4096


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a node that did its work and was stopped; ``backup.db`` is of before that."""
    return a_node(tmp_path_factory.mktemp("stopped") / "data", stops=True)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a node that did its work and was killed: the newest rows are in the write-ahead log."""
    return a_node(tmp_path_factory.mktemp("killed") / "data", stops=False)


def a_node(folder: Path, *, stops: bool) -> Path:
    node = SmallNode(folder, lambda _: None)
    node.receive(images()[:2])
    with closing(sqlite3.connect(folder / "survnode.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(folder / "backup.db"),))
    node.receive(images()[2:])
    node.finish()
    if not stops:
        shutil.copytree(folder, folder.with_name("copy"))
    node.close()
    return folder if stops else folder.with_name("copy")


def cut(name: str, share: float) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, int((folder / name).stat().st_size * share))


def overwritten(name: str, start: int = 0, end: int | None = None) -> Callable[[Path], None]:
    def overwrite(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[start:end] = b"\xa5" * len(content[start:end])
        (folder / name).write_bytes(content)

    return overwrite


def deleted(*names: str) -> Callable[[Path], None]:
    def delete(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return delete


def put_back(folder: Path) -> None:
    """As the manual says."""
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
    shutil.copy(folder / "backup.db", folder / "survnode.db")


def look_and_finish(folder: Path) -> None:
    node = SmallNode(folder, lambda _: None)
    try:
        assert kept(node) == {digest_of(image.encoded) for image in images()}
        node.finish()
        assert jobs.counts(node.database)[JobState.FINISHED] == 1
        node.database.check()
    finally:
        node.close()


@pytest.mark.parametrize(
    "damage",
    [cut(NAMES[0], 0.1), cut(NAMES[0], 0.5), cut(NAMES[0], 0.99), overwritten(NAMES[0], 0, PAGE)],
    ids=["a tenth", "half", "nearly all", "no header"],
)
@pytest.mark.parametrize("backup", [True, False], ids=["a backup", "nothing"])
def test_a_damaged_database_stops_the_start_with_what_to_do_and_then_every_image_is_taken_up(
    stopped: Path, tmp_path: Path, damage: Callable[[Path], None], backup: bool
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "data")
    damage(folder)
    with pytest.raises(errors.DatabaseDamaged, match="put back the newest backup or nothing, and start"):
        SmallNode(folder, lambda _: None)
    if backup:
        put_back(folder)
    else:
        (folder / NAMES[0]).unlink()
    look_and_finish(folder)


@pytest.mark.parametrize(
    "damage",
    [
        cut(NAMES[0], 0.0),
        deleted(*NAMES),
        deleted(NAMES[0]),
        deleted(NAMES[1]),
        cut(NAMES[1], 0.0),
        cut(NAMES[1], 0.3),
        cut(NAMES[1], 0.9),
        overwritten(NAMES[1]),
        overwritten(NAMES[1], 3 * PAGE),
        put_back,
    ],
    ids=["empty", "gone", "gone but for its log", "no log", "empty log", "log cut early", "log cut late",
         "log overwritten", "end of the log overwritten", "older copy"],
)  # fmt: skip
def test_a_database_that_lacks_what_was_acknowledged_takes_it_up_from_the_files(
    killed: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(killed, tmp_path / "data")
    damage(folder)
    look_and_finish(folder)


def test_a_page_that_was_overwritten_is_found_by_a_check(stopped: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stopped, tmp_path / "data")
    overwritten(NAMES[0], 10 * PAGE, 11 * PAGE)(folder)
    node = SmallNode(folder, lambda _: None)
    with pytest.raises(errors.DatabaseDamaged):
        node.database.check()
    node.close()
