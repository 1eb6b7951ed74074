"""What headers say of a series is asked once, and again when the series, the rules or the disk has changed."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from survnode.model.ct.volume import read_headers
from survnode.model.errors import Reason
from survnode.train.cohorts import judged
from survnode.train.cohorts.dicom_tree import TreeSeries, index_tree
from survnode.train.cohorts.judged import judge_series

from ..trees import positions, write_series


def tree(folder: Path) -> Sequence[TreeSeries]:
    return index_tree(folder / "tree", folder / "index").series


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each series had whose headers were read."""
    counts: list[int] = []

    def reading(paths: Iterable[Path]) -> Any:
        listed = list(paths)
        counts.append(len(listed))
        return read_headers(listed)

    monkeypatch.setattr(judged, "read_headers", reading)
    return counts


def test_series_is_judged_once_with_its_geometry_and_its_reason(tmp_path: Path, asked: list[int]) -> None:
    write_series(tmp_path / "tree/1", "A", "1", z_mm=positions(3, 60))
    write_series(tmp_path / "tree/2", "A", "2", z_mm=[*positions(3, 60), 400])
    series = tree(tmp_path)
    told: list[tuple[int, int]] = []
    first = judge_series(series, tmp_path / "index", progress=lambda *done: told.append(done))
    assert judge_series(series, tmp_path / "index") == first
    assert sorted(asked) == [60, 61]
    assert (first["1.2.3.1"].reason, first["1.2.3.2"].reason) == (None, Reason.IRREGULAR_SPACING)
    assert told[0] == (0, 2)
    assert told[-1] == (2, 2)


def test_series_that_lost_a_file_is_judged_again(tmp_path: Path, asked: list[int]) -> None:
    paths = write_series(tmp_path / "tree", "A", "1", z_mm=positions(3, 60))
    judge_series(tree(tmp_path), tmp_path / "index")
    paths[-1].unlink()
    judge_series(tree(tmp_path), tmp_path / "index")
    assert asked == [60, 59]


def test_new_rules_judge_every_series_again(tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "tree", "A", "1")
    judge_series(tree(tmp_path), tmp_path / "index")
    monkeypatch.setattr(judged, "_rules_sha256", lambda: "other rules")
    judge_series(tree(tmp_path), tmp_path / "index")
    assert asked == [24, 24]


def test_series_that_the_disk_did_not_give_is_asked_again_and_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uid in "12":
        write_series(tmp_path / "tree" / uid, "A", uid)
    series = tree(tmp_path)

    def failing(paths: Sequence[Path]) -> Any:
        if "1-" in paths[0].name[:2]:
            raise OSError(5, "Input/output error")
        return read_headers(paths)

    with monkeypatch.context() as patched:
        patched.setattr(judged, "read_headers", failing)
        failed = judge_series(series, tmp_path / "index")
    assert (failed["1.2.3.1"].reason, failed["1.2.3.2"].reason) == (Reason.NO_ELIGIBLE_SERIES, None)
    assert judge_series(series, tmp_path / "index")["1.2.3.1"].reason is None
