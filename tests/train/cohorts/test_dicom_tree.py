"""What a folder holds, by its headers: told apart, read once, damaged files told."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from survnode.model.ct import budget
from survnode.model.ct.budget import read_file
from survnode.train.cohorts import dicom_tree
from survnode.train.cohorts.dicom_tree import BATCH, DicomTree, index_tree
from survnode.train.cohorts.errors import TreeMissing

from ..trees import write_series


def indexed(folder: Path) -> DicomTree:
    return index_tree(folder / "tree", folder / "index")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened."""
    names: list[str] = []

    def reading(path: Path, **how: Any) -> Dataset:
        names.append(path.name)
        return read_file(path, **how)

    monkeypatch.setattr(dicom_tree, "read_file", reading)
    return names


def test_series_are_told_apart_by_header_whatever_files_and_folders_are_called(tmp_path: Path) -> None:
    write_series(tmp_path / "tree/x", "B", "2", StudyDescription="Staging")
    write_series(tmp_path / "tree/x", "A", "1", study="7", study_date="20190203")
    write_series(tmp_path / "tree/y", "A", "3", Modality="RTSTRUCT")
    series = indexed(tmp_path).series
    assert [(it.patient_id, it.series_instance_uid, it.modality, it.study_date, it.description) for it in series] == [
        ("A", "1.2.3.3", "RTSTRUCT", "20200101", "thorax"),
        ("A", "1.2.3.1", "CT", "20190203", "thorax"),
        ("B", "1.2.3.2", "CT", "20200101", "Staging thorax"),
    ]
    assert [len(it.paths) for it in series] == [24, 24, 24]


def test_nothing_is_opened_twice_but_what_has_changed(tmp_path: Path, opened: list[str]) -> None:
    paths = write_series(tmp_path / "tree", "A", "1")
    before = indexed(tmp_path)
    opened.clear()
    assert indexed(tmp_path) == before
    assert opened == []
    os.utime(paths[0], (1, 1))
    assert indexed(tmp_path) == before
    assert opened == [paths[0].name]


def test_second_copy_of_an_instance_is_no_second_file(tmp_path: Path) -> None:
    for copy in "12":
        write_series(tmp_path / "tree" / copy, "A", "1")
    (series,) = indexed(tmp_path).series
    assert [path.parent.name for path in series.paths] == ["1"] * 24


def test_key_changes_when_a_file_is_lost_or_grows(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "tree", "A", "1")
    whole = indexed(tmp_path).series[0].key
    paths[-1].write_bytes(paths[-1].read_bytes() + bytes(2))
    longer = indexed(tmp_path).series[0].key
    paths[-1].unlink()
    assert len({whole, longer, indexed(tmp_path).series[0].key}) == 3


def test_damaged_files_are_told_tried_again_and_keep_nobody_else_out(tmp_path: Path) -> None:
    write_series(tmp_path / "tree", "A", "1")
    (tmp_path / "tree/LICENSE").write_text("free")
    (tmp_path / "tree/broken.dcm").write_text("free")
    (tmp_path / "tree/nowhere").symlink_to(tmp_path / "not-mounted")
    tree = indexed(tmp_path)
    assert [path.name for path in tree.unreadable] == ["broken.dcm", "nowhere"]
    (mounted,) = write_series(tmp_path, "B", "2", z_mm=[0.0])
    mounted.rename(tmp_path / "not-mounted")
    again = indexed(tmp_path)
    assert [series.patient_id for series in again.series] == ["A", "B"]
    assert [path.name for path in again.unreadable] == ["broken.dcm"]


def test_interruption_costs_one_batch(tmp_path: Path, opened: list[str]) -> None:
    write_series(tmp_path / "tree", "A", "1", z_mm=[float(z) for z in range(BATCH + 20)])

    def interrupted(done: int, total: int) -> None:
        if 0 < done < total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_tree(tmp_path / "tree", tmp_path / "index", progress=interrupted)
    opened.clear()
    assert len(indexed(tmp_path).series[0].paths) == BATCH + 20
    assert len(opened) == 20


def test_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TreeMissing, match="is not a folder"):
        indexed(tmp_path)


def test_a_file_that_inflates_to_more_than_ct_does_is_told_as_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_series(tmp_path / "tree", "A", "1")[0]
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.add_new(0x7FE00010, "OW", bytes(2 << 20))
    ds.save_as(path)
    assert indexed(tmp_path).unreadable == ()
    monkeypatch.setattr(budget, "MAX_INFLATED_BYTES", 1 << 20)
    path.touch()
    assert indexed(tmp_path).unreadable == (path,)


def test_links_to_files_and_folders_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "elsewhere", "A", "1")
    (tmp_path / "tree/files").mkdir(parents=True)
    (tmp_path / "tree/folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/round").symlink_to(tmp_path / "tree")
    others = write_series(tmp_path / "others", "B", "2")
    for path in others:
        (tmp_path / "tree/files" / path.name).symlink_to(path)
    found = {series.patient_id: len(series.paths) for series in indexed(tmp_path).series}
    assert found == {"A": len(paths), "B": len(others)}
