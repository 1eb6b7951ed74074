"""Phantoms on disk as LUNG1 lies there."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from survnode.train.cohorts.clinical import MonthRule, Reading
from survnode.train.cohorts.description import describe
from survnode.train.cohorts.phantom_tree import CLINICAL, LUNG1_COLUMNS, Matrix, described, write_tree
from survnode.train.cohorts.reading import load
from survnode.train.cohorts.table import read_table

from ..tiny import PATIENTS, load_tiny
from ..trees import in_files, read_truth


def test_whole_cohort_is_read_with_its_outcomes(tree: Path, tmp_path: Path) -> None:
    cohort = load_tiny(tree, tmp_path)
    assert cohort.exclusions == ()
    assert cohort.event.tolist() == [patient.event for patient in PATIENTS]
    assert cohort.time_months == pytest.approx([patient.time_months for patient in PATIENTS], abs=1 / 30)


def test_table_has_lung1s_columns_and_lung1s_rules_read_it(tree: Path, tmp_path: Path) -> None:
    with (tree / CLINICAL).open(newline="") as file:
        assert next(csv.reader(file)) == list(LUNG1_COLUMNS)
    cohort = load(describe("lung1", tree, tree / CLINICAL), tmp_path, Reading())
    assert len(cohort.patients) == len(PATIENTS)


def test_truth_names_the_images_that_show_the_tumour(tree: Path) -> None:
    truth = read_truth(tree)
    largest, none = truth["PHANTOM-001"], truth["PHANTOM-003"]
    assert (none.radius_mm, none.first, none.end) == (0, 0, 0)
    assert largest.end - largest.first == pytest.approx(80 / 10, abs=2)  # 80 mm in slices of 10 mm


def test_tree_is_not_written_twice_and_another_patient_has_other_uids(tmp_path: Path) -> None:
    matrix = Matrix(10.0, 8.0)
    write_tree(tmp_path, PATIENTS[:1], matrix=matrix)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")}
    write_tree(tmp_path, PATIENTS[:1], matrix=matrix)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcm")} == before
    first = in_files(read_table(described(tmp_path), tmp_path / "headers", Reading()))[0]
    write_tree(tmp_path, [replace(PATIENTS[0], radius_mm=20.0)], matrix=matrix)
    second = in_files(read_table(described(tmp_path), tmp_path / "headers", Reading()))[0]
    assert first.key != second.key
    assert len(second.paths) == len(first.paths)


def test_months_may_be_counted_as_released(tree: Path, tmp_path: Path) -> None:
    cohort = read_table(described(tree), tmp_path / "headers", Reading(MonthRule.RELEASED))
    assert all(float(months).is_integer() for months in cohort.time_months)
