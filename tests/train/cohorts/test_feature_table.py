"""Tables of features: what their columns are found to be, and every fault at once."""

from pathlib import Path

import numpy as np
import pytest

from survnode.model.covariates import CovariateKind
from survnode.train.cohorts.errors import FeatureTableRefused
from survnode.train.cohorts.feature_table import read_features


def written(folder: Path, text: str, declared: str = "") -> Path:
    path = folder / "features.csv"
    path.write_text(text, encoding="utf-8")
    if declared:
        path.with_suffix(".toml").write_text(declared, encoding="utf-8")
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(FeatureTableRefused) as refused:
        read_features(path)
    return [str(fault) for fault in refused.value.faults]


def test_types_are_found_and_units_read_from_the_header(tmp_path: Path) -> None:
    table = read_features(written(tmp_path, "PatientID,hb [g/dl],sex\nA,12.5,f\nB,NA,m\nC,9,\n"))
    hb, sex = table.covariates
    assert (hb.name, hb.unit, hb.kind) == ("hb", "g/dl", CovariateKind.NUMBER)
    assert (sex.kind, sex.levels) == (CovariateKind.CATEGORY, ("f", "m"))
    np.testing.assert_array_equal(table.rows(["B", "A", "nobody"]), [[np.nan, 0, 1], [12.5, 1, 0], [np.nan] * 3])


def test_decimal_commas_of_a_table_with_semicolons(tmp_path: Path) -> None:
    table = read_features(written(tmp_path, "id;hb\nA;12,5\nB;9,25\n"))
    np.testing.assert_array_equal(table.rows(["A", "B"]), [[12.5], [9.25]])


@pytest.mark.parametrize("column", ["", " "])
def test_a_column_without_a_name_is_a_fault(tmp_path: Path, column: str) -> None:
    (fault,) = faults(written(tmp_path, f"PatientID,hb,{column}\nA,12.5,1\n"))
    assert "must be once in the header, and not empty" in fault


def test_a_declaration_makes_a_category_of_numbers(tmp_path: Path) -> None:
    declared = '[stage]\nkind = "category"\nlevels = ["1", "2", "3"]\n[hb]\nunit = "g/dl"\n'
    stage, hb = read_features(written(tmp_path, "id,stage,hb\nA,1,9\nB,3,8\n", declared)).covariates
    assert stage.columns == ("stage=1", "stage=2", "stage=3")
    assert hb.titled == "hb [g/dl]"


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    declared = '[hb]\nkind = "number"\n[stage]\nlevels = ["I", "II"]\n[crp]\nunit = "mg/l"\n[stage2]\nsort = 1\n'
    text = "id,hb,stage,empty,hb2,hb2\nA,low,III,NA,1,1\nA,9,I,,1,1,surplus\n,8,I,,1,1\n"
    told = "\n".join(faults(written(tmp_path, text, declared)))
    for words in (
        "row 2, column 'hb': must be a number, found 'low'",
        "row 2, column 'stage': must be one of I, II, found 'III'",
        "column 'empty': must have a value",
        "column 'hb2': must be once in the header",
        "column 'crp': is declared and not in the header",
        "column 'stage2': in features.toml, sort",
        "row 3, column 'id': must be in one row only",
        "row 3: must not go on behind the last column",
        "row 4, column 'id': must not be empty",
    ):
        assert words in told


def test_free_text_is_no_category(tmp_path: Path) -> None:
    rows = "".join(f"P{number},remark {number}\n" for number in range(25))
    assert faults(written(tmp_path, f"id,remarks\n{rows}")) == [
        "column 'remarks': must be a number, or a category of at most 20 values, found 25"
    ]


def test_a_models_table_needs_its_columns_in_its_units_and_may_hold_values_that_it_does_not_know(
    tmp_path: Path,
) -> None:
    known = read_features(written(tmp_path, "id,hb [g/dl],stage\nA,9,I\nB,8,II\n")).covariates
    other = read_features(written(tmp_path, "id,stage,else,hb\nC,IV,7,11\n"), known=known)
    assert other.covariates == known
    np.testing.assert_array_equal(other.rows(["C"]), [[11, np.nan, np.nan]])
    with pytest.raises(FeatureTableRefused, match="must be in g/dl, as the model was trained, found g/l"):
        read_features(written(tmp_path, "id,stage,hb [g/l]\nC,I,110\n"), known=known)
    with pytest.raises(FeatureTableRefused, match="'stage': must be in the header"):
        read_features(written(tmp_path, "id,hb\nC,11\n"), known=known)


def test_two_tables_are_joined_by_patient(tmp_path: Path) -> None:
    first = read_features(written(tmp_path, "id,hb\nA,9\nB,8\n"))
    second = read_features(written(tmp_path, "id,crp\nB,3\nC,4\n"))
    both = first.beside(second)
    np.testing.assert_array_equal(both.rows(["A", "B", "C"]), [[9, np.nan], [8, 3], [np.nan, 4]])
    with pytest.raises(FeatureTableRefused, match="in one of the two tables only"):
        first.beside(first)
