import shutil
import stat
from pathlib import Path

import pytest

from survnode.node import errors
from survnode.node.intake.store_folders import StoreFolders


def test_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    folders = StoreFolders(tmp_path / "store")
    folders.make_durable(tmp_path / "store/studies/a/b")
    made = [path for path in (tmp_path / "store").rglob("*") if path.is_dir()]
    assert {path.name for path in made} == {"incoming", "studies", "other", "quarantine", "a", "b"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}


def test_a_folder_that_somebody_took_away_is_made_again(tmp_path: Path) -> None:
    folders = StoreFolders(tmp_path / "store")
    folders.make_durable(tmp_path / "store/studies/a/b")
    shutil.rmtree(tmp_path / "store/studies/a")
    folders.make_durable(tmp_path / "store/studies/a/b")
    assert (tmp_path / "store/studies/a/b").is_dir()


def test_a_file_in_the_place_of_a_folder_is_told_as_a_fault_of_the_disk(tmp_path: Path) -> None:
    folders = StoreFolders(tmp_path / "store")
    (tmp_path / "store/studies/a").write_bytes(b"")
    with pytest.raises(errors.StorageFailed):
        folders.make_durable(tmp_path / "store/studies/a/b")


def test_one_process_receives_at_a_time(tmp_path: Path) -> None:
    first, second = StoreFolders(tmp_path / "store"), StoreFolders(tmp_path / "store")
    first.lock()
    first.lock()
    with pytest.raises(errors.StoreInUse):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()
