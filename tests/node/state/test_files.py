from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from survnode.node.state.files import is_as_received


def test_a_file_is_as_received_while_its_data_set_is(tmp_path: Path, make_received: Callable[..., Any]) -> None:
    received, path = make_received(1), tmp_path / "1.dcm"
    path.write_bytes(received.part10)
    assert is_as_received(path, received.sha256)
    path.write_bytes(b"x" * 128 + received.part10[128:])  # the preamble is not part of it
    assert is_as_received(path, received.sha256)


@pytest.mark.parametrize("damage", ["cut", "emptied", "replaced", "flipped", "gone"])
def test_a_file_that_was_damaged_is_not(tmp_path: Path, make_received: Callable[..., Any], damage: str) -> None:
    received, path = make_received(1), tmp_path / "1.dcm"
    whole = received.part10
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    damaged = {"cut": whole[:-2], "emptied": b"", "replaced": make_received(2).part10, "flipped": flipped, "gone": b""}
    path.write_bytes(damaged[damage])
    if damage == "gone":
        path.unlink()
    assert not is_as_received(path, received.sha256)
