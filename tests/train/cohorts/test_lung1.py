"""Which stacks the geometry finds: phantoms in LUNG1's layout, a slice gone, doubled, moved, or the gantry tilted."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from survnode.model.errors import Reason
from survnode.train.cohorts.clinical import Reading
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.description import NAMED, TableDescription, read_description
from survnode.train.cohorts.exclusions import ExclusionReason
from survnode.train.cohorts.phantom import PhantomPatient
from survnode.train.cohorts.phantom_tree import CLINICAL, Matrix, write_tree
from survnode.train.cohorts.table import read_table

from ..trees import as_lung1

LUNG1 = read_description(NAMED["lung1"])
assert isinstance(LUNG1, TableDescription)
EXCLUDED_BY_THE_PAPER = tuple(LUNG1.exclusions)
Change = Callable[[list[Path]], None]


def rewritten(path: Path, change: Callable[[Dataset], None]) -> None:
    ds = dcmread(path)
    change(ds)
    ds.save_as(path)


def moved_by(millimetres: float) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y, z + millimetres]

    return change


def without_a_slice(paths: list[Path]) -> None:
    paths[len(paths) // 2].unlink()


def without_three_slices(paths: list[Path]) -> None:
    for path in paths[10:13]:
        path.unlink()


def without_the_last_slice(paths: list[Path]) -> None:
    paths[-1].unlink()


def with_a_slice_twice(paths: list[Path]) -> None:
    ds = dcmread(paths[7])
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.save_as(paths[7].with_name("again.dcm"))


def with_a_slice_out_of_place(paths: list[Path]) -> None:
    rewritten(paths[7], moved_by(4.0))


def with_a_slice_a_little_out_of_place(paths: list[Path]) -> None:
    rewritten(paths[7], moved_by(0.1))


def with_a_tilted_gantry(paths: list[Path]) -> None:
    sine, cosine = math.sin(math.radians(15)), math.cos(math.radians(15))

    def tilt(ds: Dataset) -> None:
        ds.ImageOrientationPatient = [1, 0, 0, 0, cosine, sine]

    for path in paths:
        rewritten(path, tilt)


def untouched(paths: list[Path]) -> None:
    del paths


IRREGULAR = [
    (without_a_slice, Reason.IRREGULAR_SPACING),
    (without_three_slices, Reason.IRREGULAR_SPACING),
    (with_a_slice_out_of_place, Reason.IRREGULAR_SPACING),
    (with_a_slice_twice, Reason.DUPLICATE_POSITIONS),
    (with_a_tilted_gantry, Reason.GANTRY_TILT),
]
REGULAR = [untouched, without_the_last_slice, with_a_slice_a_little_out_of_place]


def series(tree: Path, number: int) -> list[Path]:
    """The slices of a patient from the feet to the head."""
    paths = (tree / "CT" / f"PHANTOM-{number:03d}").rglob("*.dcm")
    return sorted(paths, key=lambda path: float(dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]))


def renamed(tree: Path, names: list[str]) -> Path:
    """The phantoms under other names, in the table and in the headers."""
    table = (tree / CLINICAL).read_text()
    for number, name in enumerate(names, start=1):
        table = table.replace(f"PHANTOM-{number:03d}", name)
        for path in series(tree, number):
            rewritten(path, lambda ds, name=name: setattr(ds, "PatientID", name))  # type: ignore[misc]
    clinical = tree / "lung1.csv"
    clinical.write_text(table)
    return clinical


def load(tree: Path, names: list[str], folder: Path, *, paper_exclusions: bool) -> Cohort:
    clinical = renamed(tree, names)
    return read_table(as_lung1(clinical, tree, listed=paper_exclusions), folder / "headers.sqlite", Reading())


def write_changed(tree: Path, changes: list[Change]) -> None:
    patients = [
        PhantomPatient(f"PHANTOM-{seed + 1:03d}", seed, 20.0, 8.0, 12.0, 5.0, event=True)
        for seed in range(len(changes))
    ]
    write_tree(tree, patients, matrix=Matrix(10.0, 8.0))
    for number, change in enumerate(changes, start=1):
        change(series(tree, number))


def test_each_fault_is_found_and_told_and_small_ones_are_not_faults(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write_changed(tree, [*(change for change, _ in IRREGULAR), *REGULAR])
    names = [f"LUNG1-{number + 1:03d}" for number in range(len(IRREGULAR) + len(REGULAR))]
    cohort = load(tree, names, tmp_path, paper_exclusions=False)
    assert cohort.ids == tuple(names[len(IRREGULAR) :])
    found = {one.patient_id: one.reason for one in cohort.exclusions}
    assert found == dict(zip(names, (reason for _, reason in IRREGULAR), strict=False))
    assert all(one.detail for one in cohort.exclusions if one.reason is Reason.IRREGULAR_SPACING)


def test_list_of_the_paper_and_geometry_agree_on_the_seven_patients(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    faults = [change for change, _ in IRREGULAR]
    write_changed(tree, [*faults, *faults[:2], untouched])
    names = [*EXCLUDED_BY_THE_PAPER, "LUNG1-001"]
    listed = load(tree, names, tmp_path, paper_exclusions=True)
    by_geometry = read_table(as_lung1(tree / "lung1.csv", tree, listed=False), tmp_path / "headers.sqlite", Reading())
    assert listed.ids == by_geometry.ids == ("LUNG1-001",)
    assert {one.reason for one in listed.exclusions} == {ExclusionReason.LISTED}
    for on_list, found in zip(listed.exclusions, by_geometry.exclusions, strict=True):
        assert on_list.patient_id == found.patient_id
        assert f"The geometry agrees: {found.reason}." in on_list.detail


@pytest.mark.parametrize("name", EXCLUDED_BY_THE_PAPER[:1])
def test_patient_on_the_list_whose_stack_is_whole_is_left_out_and_the_table_says_both(
    tmp_path: Path, name: str
) -> None:
    tree = tmp_path / "tree"
    write_changed(tree, [untouched])
    (only,) = load(tree, [name], tmp_path, paper_exclusions=True).exclusions
    assert only.reason is ExclusionReason.LISTED
    assert "shows no fault" in only.detail
