import os
import threading
from pathlib import Path

import pytest

from survnode.node.errors import StartRefused
from survnode.node.service.lock import NAME, is_locked, lock_data_dir


def test_one_data_folder_has_one_node(tmp_path: Path) -> None:
    lock = lock_data_dir(tmp_path, (tmp_path / "received",))
    assert (tmp_path / "received").is_dir()
    assert is_locked(tmp_path / NAME)
    with pytest.raises(StartRefused, match="Another node runs"):
        lock_data_dir(tmp_path, ())
    os.close(lock)
    assert not is_locked(tmp_path / NAME)
    os.close(lock_data_dir(tmp_path, ()))


def test_a_folder_where_no_node_ran_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / NAME)
    assert not (tmp_path / NAME).exists()


def test_a_look_at_the_lock_keeps_no_node_from_its_start(tmp_path: Path) -> None:
    os.close(lock_data_dir(tmp_path, ()))
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            is_locked(tmp_path / NAME)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(100):
            os.close(lock_data_dir(tmp_path, ()))
    finally:
        done.set()
        looking.join()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StartRefused, match="cannot be used"):
        lock_data_dir(tmp_path / "data", (tmp_path / "data" / "received",))
