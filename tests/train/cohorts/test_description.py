"""A cohort as its file says: named ones, faults all at once, paths relative to the file, nothing that does nothing."""

from pathlib import Path

import pytest

from survnode.train.cohorts.clinical import MonthRule, TimeUnit
from survnode.train.cohorts.description import NAMED, PhantomDescription, TableDescription, describe, read_description
from survnode.train.cohorts.errors import CohortIncomplete, DescriptionRefused

WHOLE = """
name = "mine"
data = "ct"
clinical = "tables/outcomes.csv"
exclude_faulty = true

[columns]
patient_id = "id"
time = "months"
unit = "months"
event = "dead"
died = ["Yes"]
alive = ["No"]

[exclusions]
A = "Moved away."

[pretreatment]
treatment_column = "begun"
day_format = "%d.%m.%Y"
description = "planning|staging"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "cohort.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(DescriptionRefused) as refusal:
        describe(str(write(folder, text)))
    assert all(fault in str(refusal.value) for fault in refusal.value.faults)
    return refusal.value.faults


def test_every_key_is_read_and_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, WHOLE)
    monkeypatch.chdir(tmp_path.parent)
    described = describe(f"{tmp_path.name}/cohort.toml")
    assert isinstance(described, TableDescription)
    assert (described.data, described.clinical) == (tmp_path / "ct", tmp_path / "tables/outcomes.csv")
    assert described.columns.unit is TimeUnit.MONTHS
    assert described.columns.died == {"yes"}
    assert described.exclusions == {"A": "Moved away."}
    assert described.exclude_faulty
    assert described.pretreatment is not None
    assert described.pretreatment.day_format == "%d.%m.%Y"


def test_paths_beside_the_description_come_before_its_own(tmp_path: Path) -> None:
    described = describe(str(write(tmp_path, WHOLE)), Path("elsewhere"))
    assert isinstance(described, TableDescription)
    assert (described.data, described.clinical) == (Path("elsewhere"), tmp_path / "tables/outcomes.csv")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        'name = ""\nfolds = 3\n[columns]\npatient_id = "id"\ntime = 5\nunit = "weeks"\ndied = ["x"]\nalive = ["X"]\n'
        '[pretreatment]\nday_format = "%d"\ndescription = "("\n',
    )
    keys = {fault.partition(":")[0].partition(" =")[0] for fault in told}
    assert keys == {
        "name", "folds", "columns.time", "columns.event", "columns.unit", "pretreatment.day_format",
        "pretreatment.description",
    }  # fmt: skip
    assert "folds = 3: is not a key of this section" in told
    assert "columns.event: is required" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('died = ["x"]\nalive = ["X"]\n', "must have no word in common, found x"),
        ('[pretreatment]\nday_format = "%d.%m.%Y"\n', "day_format does nothing without treatment_column"),
    ],
)
def test_what_contradicts_itself_is_a_fault(tmp_path: Path, text: str, told: str) -> None:
    columns = '[columns]\npatient_id = "id"\ntime = "t"\nevent = "e"\n'
    (fault,) = faults(tmp_path, f'name = "a"\n{columns}{text}')
    assert told in fault


@pytest.mark.parametrize("text", ["name = ", 'name = "a"\nname = "b"', "\0"])
def test_what_is_no_toml_is_refused_in_words(tmp_path: Path, text: str) -> None:
    (fault,) = faults(tmp_path, text)
    assert "must be readable TOML" in fault


def test_folder_absent_file_and_unknown_name_are_refused_with_the_names(tmp_path: Path) -> None:
    for cohort in (str(tmp_path), str(tmp_path / "absent.toml"), "lung2"):
        with pytest.raises(DescriptionRefused, match="claro, lung1, phantom, phantom-unseen"):
            describe(cohort)


def test_what_nobody_says_is_asked_for_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CohortIncomplete, match=r"needs --data, .* and --clinical, a CSV"):
        describe("lung1")
    with pytest.raises(CohortIncomplete, match="needs --clinical, a CSV of outcomes"):
        describe("claro", tmp_path)


def test_phantoms_take_no_table_and_a_table_takes_no_phantoms(tmp_path: Path) -> None:
    with pytest.raises(DescriptionRefused, match="--clinical: phantoms need none"):
        describe("phantom", clinical=tmp_path / "table.csv")
    assert faults(tmp_path, 'name = "a"\nclinical = "t.csv"\n[phantoms]\npatients = 0\n') == (
        "phantoms.patients = 0: must be greater than or equal to 1",
        f"clinical = {str(tmp_path / 't.csv')!r}: is not a key of this section",
    )


def test_named_cohorts_are_what_they_say() -> None:
    described = {name: read_description(path) for name, path in NAMED.items()}
    assert {name: it.name for name, it in described.items()} == {name: name for name in NAMED}
    lung1, claro, phantom = described["lung1"], described["claro"], described["phantom"]
    assert isinstance(lung1, TableDescription)
    assert isinstance(claro, TableDescription)
    assert isinstance(phantom, PhantomDescription)
    assert lung1.strata is MonthRule.RELEASED
    assert list(lung1.exclusions) == [f"LUNG1-{number}" for number in ("014", "021", "085", "095", "128", "194", "246")]
    assert lung1.pretreatment is None
    assert claro.pretreatment is not None
    assert phantom.phantoms.patients == 400
