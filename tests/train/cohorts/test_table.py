"""A table and a tree become a cohort: who is in it, who is not and why, and what is read twice."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from survnode.model.ct.budget import read_file
from survnode.model.errors import Reason
from survnode.train.cohorts import dicom_tree, judged
from survnode.train.cohorts.clinical import Columns, MonthRule, Reading
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.description import TableDescription
from survnode.train.cohorts.errors import ClinicalTableRefused
from survnode.train.cohorts.exclusions import ExclusionReason, write_exclusions
from survnode.train.cohorts.pretreatment import Pretreatment
from survnode.train.cohorts.table import read_table

from ..trees import as_lung1, in_files, positions, write_series, write_table

COLUMNS = Columns(patient_id="id", time="time", event="event")
MINE = TableDescription(name="mine", columns=COLUMNS)


def mine(**changes: object) -> TableDescription:
    return MINE.model_copy(update=changes)


def load(tmp_path: Path, lines: list[str], described: TableDescription = MINE, spacing_mm: float = 3.0) -> Cohort:
    table = write_table(tmp_path / "table.csv", ["id,time,event,begun", *lines])
    (tmp_path / "tree").mkdir(exist_ok=True)
    located = described.model_copy(update={"clinical": table, "data": tmp_path / "tree"})
    return read_table(located, tmp_path / "index.sqlite", Reading(spacing_mm=spacing_mm))


def test_patients_are_joined_by_the_header_whatever_the_folders_are_called(tmp_path: Path) -> None:
    write_series(tmp_path / "tree/A/x", "B", "1")
    write_series(tmp_path / "tree/B", "A", "2")
    cohort = load(tmp_path, ["B,61,1,", "A,1000,0,"])
    assert cohort.ids == ("B", "A")
    assert [patient.series_instance_uid for patient in in_files(cohort)] == ["1.2.3.1", "1.2.3.2"]
    assert cohort.time_months == pytest.approx([61 / 30.4375, 1000 / 30.4375])
    assert cohort.event.tolist() == cohort.died_within_two_years.tolist() == [True, False]
    assert cohort.patients[0].volume().hu.shape == (24, 4, 4)
    assert cohort.of(["A"]) == (cohort.patients[1],)
    assert not cohort.exclusions


def test_files_of_several_series_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    for patient in ("A", "B"):
        write_series(tmp_path / "tree", patient, patient.encode().hex())
    assert load(tmp_path, ["A,1,1,", "B,2,1,"]).ids == ("A", "B")


def test_everybody_else_has_a_reason_that_can_be_written(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write_series(tree / "1", "good", "1")
    write_series(tree / "2", "stranger", "2")
    write_series(tree / "3", "gap", "3", z_mm=[*positions(8, 20), 168, 176, 184, 192])
    write_series(tree / "4", "contours", "4", Modality="RTSTRUCT")
    write_series(tree / "5", "faulty", "5")
    write_series(tree / "6", "listed", "6")
    rules = mine(exclusions={"listed": "For a test."}, exclude_faulty=True)
    lines = ["good,1,1,", "gap,1,1,", "contours,1,1,", "absent,1,1,", "faulty,-1,1,", "listed,1,1,"]
    cohort = load(tmp_path, lines, rules)
    assert cohort.ids == ("good",)
    assert {one.patient_id: one.reason for one in cohort.exclusions} == {
        "gap": Reason.IRREGULAR_SPACING,
        "contours": ExclusionReason.NO_CT,
        "absent": ExclusionReason.NO_CT,
        "faulty": ExclusionReason.FAULTY_ROW,
        "listed": ExclusionReason.LISTED,
        "stranger": ExclusionReason.NO_OUTCOME,
    }
    write_exclusions(tmp_path / "exclusions.csv", cohort.exclusions)
    with (tmp_path / "exclusions.csv").open(newline="") as file:
        rows = {row["patient"]: row for row in csv.DictReader(file)}
    assert rows["gap"]["detail"].startswith("Slices are 8.00 mm apart, but 16.00 mm lie between slices 20 and 21")
    assert rows["listed"]["detail"] == "For a test. The geometry of the CT shows no fault."
    assert rows["faulty"]["detail"] == "row 6, column 'time': must not be negative, found -1"


def test_faulty_table_is_refused_unless_told_otherwise(tmp_path: Path) -> None:
    with pytest.raises(ClinicalTableRefused):
        load(tmp_path, ["a,-1,1,"])


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        ((3, 60, 5), (1, 120, 1), "covers at least 150 mm"),
        ((3, 60, 5), (5, 60, 1), "has slices nearer to 3 mm apart"),
        ((3, 70, 5), (3, 60, 1), "has more slices"),
        ((3, 60, 1), (3, 60, 5), "has the lower series number"),
        ((3, 60, 1), (3, 60, 1), "has the lower series UID"),
    ],
)
def test_series_are_chosen_by_the_written_rule(
    tmp_path: Path, better: tuple[int, int, int], worse: tuple[int, int, int], why: str
) -> None:
    for uid, (spacing, count, number) in {"1": better, "2": worse}.items():
        write_series(tmp_path / "tree" / uid, "A", uid, z_mm=positions(spacing, count), number=number)
    patient = in_files(load(tmp_path, ["A,1,1,"]))[0]
    assert patient.series_instance_uid == "1.2.3.1"
    expected = "covers" if (worse[0], worse[1]) == (1, 120) else why
    assert patient.passed_over[0][0] == "1.2.3.2"
    assert expected in patient.passed_over[0][1]


def test_series_that_cannot_be_analysed_gives_way_to_one_that_can(tmp_path: Path) -> None:
    write_series(tmp_path / "tree/1", "A", "1", z_mm=[*positions(3, 100), 400])
    write_series(tmp_path / "tree/2", "A", "2")
    patient = in_files(load(tmp_path, ["A,1,1,"]))[0]
    assert patient.series_instance_uid == "1.2.3.2"
    assert "not evenly spaced" in dict(patient.passed_over)["1.2.3.1"]


def test_what_was_kept_of_the_headers_serves_a_model_of_another_spacing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uid, spacing in {"1": 3, "2": 1}.items():
        write_series(tmp_path / "tree" / uid, "A", uid, z_mm=positions(spacing, 200))
    assert in_files(load(tmp_path, ["A,1,1,"]))[0].series_instance_uid == "1.2.3.1"
    monkeypatch.setattr(judged, "read_headers", lambda _: pytest.fail("judged again"))
    fine = load(tmp_path, ["A,1,1,"], spacing_mm=1.0)
    assert in_files(fine)[0].series_instance_uid == "1.2.3.2"
    assert in_files(fine)[0].passed_over[0][1] == "The chosen series has slices nearer to 1 mm apart."


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_series(tmp_path / "tree", "A", "1")
    before = load(tmp_path, ["A,1,1,"])
    opened = []

    def reading(path: Path, **how: Any) -> Dataset:
        opened.append(path)
        return read_file(path, **how)

    monkeypatch.setattr(dicom_tree, "read_file", reading)
    monkeypatch.setattr(judged, "read_headers", lambda _: pytest.fail("judged again"))
    assert load(tmp_path, ["A,1,1,"]) == before
    assert opened == []
    os.utime(paths[0], (1, 1))
    assert load(tmp_path, ["A,1,1,"]) == before
    assert opened == [paths[0]]


def test_key_and_hash_change_with_a_lost_file(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "tree", "A", "1")
    before = load(tmp_path, ["A,1,1,"])
    paths[-1].unlink()
    after = load(tmp_path, ["A,1,1,"])
    assert len(in_files(after)[0].paths) == 23
    assert in_files(after)[0].key != in_files(before)[0].key
    assert after.sha256 != before.sha256


def test_damaged_files_are_told_and_others_ignored(tmp_path: Path) -> None:
    write_series(tmp_path / "tree", "A", "1")
    (tmp_path / "tree/LICENSE").write_text("free")
    (tmp_path / "tree/broken.dcm").write_text("free")
    (tmp_path / "tree/nowhere").symlink_to(tmp_path / "absent")
    cohort = load(tmp_path, ["A,1,1,"])
    assert [path.name for path in cohort.unreadable] == ["broken.dcm", "nowhere"]
    assert cohort.ids == ("A",)


def test_progress_reaches_the_number_of_files_and_of_series(tmp_path: Path) -> None:
    write_series(tmp_path / "tree", "A", "1")
    table = write_table(tmp_path / "table.csv", ["id,time,event", "A,1,1"])
    files: list[tuple[int, int]] = []
    series: list[tuple[int, int]] = []
    read_table(
        mine(clinical=table, data=tmp_path / "tree"),
        tmp_path / "index",
        Reading(),
        indexed=lambda *done: files.append(done),
        judged=lambda *done: series.append(done),
    )
    assert (files[-1], series[-1]) == ((24, 24), (1, 1))


def test_pretreatment_ct_is_the_last_study_up_to_the_day_or_else_the_earliest(tmp_path: Path) -> None:
    for number, day in enumerate(["20200301", "20200105", "20200201", ""], start=1):
        write_series(tmp_path / "tree", "A", str(number), study=f"7{number}", study_date=day)
    chosen = mine(pretreatment=Pretreatment(treatment_column="begun", day_format="%d/%m/%Y"))
    assert in_files(load(tmp_path, ["A,1,1,01/02/2020"], chosen))[0].series_instance_uid == "1.2.3.3"
    assert load(tmp_path, ["A,1,1,"], chosen).exclusions[0].reason is ExclusionReason.NO_PRETREATMENT_CT
    assert load(tmp_path, ["A,1,1,31/12/2019"], chosen).exclusions[0].reason is ExclusionReason.NO_PRETREATMENT_CT
    earliest = mine(pretreatment=Pretreatment())
    assert in_files(load(tmp_path, ["A,1,1,"], earliest))[0].series_instance_uid == "1.2.3.4"


def test_pretreatment_ct_may_be_known_by_words(tmp_path: Path) -> None:
    write_series(tmp_path / "tree", "A", "1", SeriesDescription="Follow-up", study_date="20200101")
    write_series(tmp_path / "tree", "A", "2", SeriesDescription="PLANNING CT", study_date="20200202", study="2")
    rules = mine(pretreatment=Pretreatment(description="planning"))
    assert in_files(load(tmp_path, ["A,1,1,"], rules))[0].series_instance_uid == "1.2.3.2"


def test_table_without_the_column_of_the_treatment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClinicalTableRefused, match="'start'"):
        load(tmp_path, ["A,1,1,"], mine(pretreatment=Pretreatment(treatment_column="start")))


def test_lung1_is_read_in_the_archives_layout(shared_data: Path, tmp_path: Path) -> None:
    tree = shared_data / "NSCLC-Radiomics"
    table = next(tree.glob("*.csv"))
    cohort = read_table(as_lung1(table, tree), tmp_path / "index.sqlite", Reading())
    assert cohort.ids == ("LUNG1-001",)
    assert len(in_files(cohort)[0].paths) == 134
    assert cohort.time_months[0] == 2165 / 30.4375
    reasons = [one.reason for one in cohort.exclusions]
    assert (reasons.count(ExclusionReason.LISTED), reasons.count(ExclusionReason.NO_CT)) == (7, 414)
    released = read_table(as_lung1(table, tree), tmp_path / "index.sqlite", Reading(MonthRule.RELEASED))
    assert released.time_months[0] == 72


def test_patient_whom_lung1_lists_is_found_by_geometry_too(tmp_path: Path) -> None:
    z = positions(3, 60)
    del z[30]
    write_series(tmp_path / "tree", "LUNG1-014", "1", z_mm=z)
    header = ",".join(["PatientID", "Survival.time", "deadstatus.event"])
    table = write_table(tmp_path / "lung1.csv", [header, "LUNG1-014,5,1"])
    (listed,) = read_table(as_lung1(table, tmp_path / "tree"), tmp_path / "i", Reading()).exclusions
    assert listed.reason is ExclusionReason.LISTED
    assert "The geometry agrees: IRREGULAR_SPACING" in listed.detail
    (found,) = read_table(as_lung1(table, tmp_path / "tree", listed=False), tmp_path / "i", Reading()).exclusions
    assert found.reason is Reason.IRREGULAR_SPACING
