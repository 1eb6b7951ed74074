"""Folders are looked at before any work, and what nobody names has a sensible value."""

import os
from pathlib import Path

import pytest
import typer
from platformdirs import user_cache_path

from survnode.train.commands.options import cache_folder, processes, usable_folder


def test_folder_that_is_not_there_is_taken_if_it_can_be_made(tmp_path: Path) -> None:
    assert usable_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()
    assert usable_folder(None) is None


def test_file_on_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(typer.BadParameter, match=f"{tmp_path / 'file'} is a file"):
            usable_folder(folder)


def test_folder_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda folder, mode: (folder, mode) != (tmp_path, os.W_OK | os.X_OK))
    with pytest.raises(typer.BadParameter, match=f"{tmp_path} may not be written"):
        usable_folder(tmp_path / "out")


def test_cache_is_the_users_unless_it_is_named(tmp_path: Path) -> None:
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder(None) == user_cache_path("survnode")


@pytest.mark.parametrize(("workers", "device", "expected"), [(None, "cpu", 6), (None, "cuda:1", 1), (3, "cuda", 3)])
def test_a_gpu_has_one_process_and_a_cpu_one_a_core(
    workers: int | None, device: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processes(workers, device) == expected
