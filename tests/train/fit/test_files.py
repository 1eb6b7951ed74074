"""Files are there whole or not at all, and hold what was written."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from survnode.train.fit.files import code_sha256, key_of, missing, write_arrays, write_whole


def test_file_is_not_there_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "deeper" / "file"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_whole(path, b"whole")
    assert [left.name for left in path.parent.iterdir()] == [f"file.{os.getpid()}.part"]
    write_whole(path, b"whole")
    assert [(left.name, left.read_bytes()) for left in path.parent.iterdir()] == [("file", b"whole")]


def test_views_and_single_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    turned, reversed_ = np.arange(6, dtype=np.int16).reshape(2, 3).T, np.arange(4.0)[::-1]
    write_arrays(tmp_path / "file", {"turned": turned, "reversed": reversed_, "number": np.array(7)})
    read = load_file(tmp_path / "file")
    assert read["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert read["reversed"].tolist() == [3, 2, 1, 0]
    assert read["number"].shape == ()


def test_key_changes_with_each_part_and_with_nothing_else() -> None:
    assert key_of("a", 1) == key_of("a", 1)
    assert len({key_of("a", 1), key_of("a", 2), key_of(1, "a"), key_of("a"), key_of("a1")}) == 5


def test_missing_are_those_without_a_file_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "2").touch()
    assert missing((number, tmp_path / str(number)) for number in (3, 2, 1)) == [
        (3, tmp_path / "3"),
        (1, tmp_path / "1"),
    ]


def test_hash_of_the_code_is_of_every_module_between_ct_and_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("ct", "phantom"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
        monkeypatch.setattr(f"survnode.train.fit.files.{folder}.__file__", str(tmp_path / folder / "__init__.py"))
    hashes = set()
    for path in ("ct/lungs.py", "phantom/painting.py"):
        code_sha256.cache_clear()
        hashes.add(code_sha256())
        (tmp_path / path).write_text("changed = True\n")
    code_sha256.cache_clear()
    hashes.add(code_sha256())
    code_sha256.cache_clear()
    assert len(hashes) == 3
