"""What a site's table says of a study's patient, from CSV and from a database."""

from pathlib import Path

import pytest
from pydicom import Dataset
from sqlalchemy import NullPool, create_engine

from survnode.node.config.sections import LookupConfig, SiteKey
from survnode.node.errors import SiteTableFailed
from survnode.node.state.site_table import SiteTable, site_table_of


def study(patient_id: str = "P-1", accession_number: str = "A-1") -> Dataset:
    ds = Dataset()
    ds.PatientID, ds.AccessionNumber = patient_id, accession_number
    return ds


def csv_table(folder: Path, text: str) -> Path:
    path = folder / "values.csv"
    path.write_text(text, encoding="utf-8")
    return path


def database(folder: Path) -> str:
    url = f"sqlite:///{folder / 'site.sqlite'}"
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE labs (accession TEXT, hb REAL, stage TEXT)")
        connection.exec_driver_sql("INSERT INTO labs VALUES ('A-1', 12.5, 'II'), ('A-2', 9, NULL), ('A-2', 8, NULL)")
    return url


def test_row_is_found_by_patient_and_its_numbers_have_points(tmp_path: Path) -> None:
    table = SiteTable(csv_table(tmp_path, "PatientID;hb [g/dl];stage\nP-0;9;I\nP-1;12,5;II,III\n"))
    found = table.known_of(study())
    assert found.values == {"PatientID": "P-1", "hb [g/dl]": "12.5", "stage": "II,III"}
    assert found.name == "the table values.csv"
    assert table.columns() == ("PatientID", "hb", "stage")


def test_nobody_and_two_rows_are_nothing(tmp_path: Path) -> None:
    table = SiteTable(csv_table(tmp_path, "PatientID,hb\nP-1,9\nP-1,8\n,7\n"))
    assert table.known_of(study()).values == {}
    assert table.known_of(study("")).values == {}
    assert table.known_of(study("P-9")).values == {}


def test_table_is_read_anew_for_each_study(tmp_path: Path) -> None:
    table = SiteTable(csv_table(tmp_path, "PatientID,hb\n"))
    assert table.known_of(study()).values == {}
    csv_table(tmp_path, "PatientID,hb\nP-1,9\n")
    assert table.known_of(study()).values["hb"] == "9"


def test_row_of_a_database_is_found_by_accession_number(tmp_path: Path) -> None:
    config = LookupConfig(
        database=database(tmp_path), table="labs", key=SiteKey.ACCESSION_NUMBER, key_column="accession"
    )
    table = site_table_of(config)
    assert table is not None
    assert table.known_of(study()).values == {"accession": "A-1", "hb": "12.5", "stage": "II"}
    assert table.known_of(study(accession_number="A-2")).values == {}
    assert table.known_of(study(accession_number="x' OR '1'='1")).values == {}


def test_what_cannot_be_read_is_said_without_what_was_asked_for(tmp_path: Path) -> None:
    tables = (
        SiteTable(tmp_path / "absent.csv"),
        SiteTable(csv_table(tmp_path, "id,hb\nP-1,9\n")),
        SiteTable(database(tmp_path), key_column="nothing", table="labs"),
        SiteTable(f"sqlite:///{tmp_path}/secret/folder.sqlite", table="labs"),
        SiteTable("nosuchdriver://user:secret@host/base", table="labs"),
        SiteTable(f"sqlite:///{tmp_path}/site.sqlite", table="none"),
    )
    for table in tables:
        with pytest.raises(SiteTableFailed) as failed:
            table.known_of(study())
        assert failed.value.can_retry
        assert "P-1" not in str(failed.value)
        assert "secret" not in str(failed.value)


@pytest.mark.parametrize("values", [{}, {"csv": "a.csv", "database": "sqlite://", "table": "t"}, {"table": "t"}])
def test_configuration_names_one_place(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="needs"):
        LookupConfig.model_validate(values)
    assert site_table_of(None) is None
