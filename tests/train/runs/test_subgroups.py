"""What patients are told apart by, and the tables of a run."""

from dataclasses import replace
from pathlib import Path

from survnode.train.cohorts.cohort import DicomPatient, PatientFacts
from survnode.train.runs.finish import Run
from survnode.train.runs.subgroups import values_of, write_subgroups

from ..tiny import rows

AGES_KNOWN = (59.9, 60.0, 70.0, None)


def patient(age: float | None) -> DicomPatient:
    return DicomPatient("P", 3.0, True, True, "1.2", (), "ab", known=PatientFacts(age=age, stage="II"))


def test_values_are_those_of_the_table_and_of_the_header_and_what_nobody_has_is_left_out() -> None:
    values = values_of([patient(age) for age in AGES_KNOWN])
    assert values["age"] == ("under 60", "60 to 69", "70 and over", "not known")
    assert values["stage"] == ("II",) * 4
    assert set(values) == {"age", "stage"}


def test_run_writes_its_subgroups_and_the_decision_curve(whole: Run, tmp_path: Path) -> None:
    written = rows(whole.plan.out / "subgroups.csv")
    assert {row["subgroup"] for row in written} == {"manufacturer", "kernel"}
    assert {row["patients"] for row in written} == {"8"}
    curve = rows(whole.plan.out / "net-benefit.csv")
    assert [row["threshold"] for row in curve][:2] == ["0.05", "0.1"]
    marked = replace(whole.predictions, remark="Contains training patients.")
    write_subgroups(tmp_path, whole.plan, whole.material.cohort, marked)
    for table in ("subgroups.csv", "net-benefit.csv"):
        assert {row["remark"] for row in rows(tmp_path / table)} == {"Contains training patients."}
