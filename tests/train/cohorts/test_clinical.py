"""Tables of outcomes: what is read, and that every fault is told at once."""

from pathlib import Path

import pytest

from survnode.train.cohorts.clinical import Columns, MonthRule, TimeUnit, read_clinical
from survnode.train.cohorts.errors import ClinicalTableRefused

from ..trees import write_table

COLUMNS = Columns(patient_id="id", time="time", event="event")


def test_comma_table_is_read_in_its_order(tmp_path: Path) -> None:
    table = write_table(tmp_path / "a.csv", ["id,other,time,event", "b,x,61,1", "", "a,NA,10,0"])
    found = read_clinical(table, COLUMNS).outcomes
    assert [(one.patient_id, one.days, one.event, one.row) for one in found] == [
        ("b", 61, True, 2),
        ("a", 10, False, 4),
    ]
    assert found[0].cells["other"] == "x"


def test_semicolons_decimal_commas_other_words_and_a_byte_order_mark(tmp_path: Path) -> None:
    table = tmp_path / "b.csv"
    table.write_bytes("\ufeffid;time;event\r\nMüller;1,5;Dead\r\nb;2;1.0\r\nc;3;censored\r\n".encode())
    found = read_clinical(table, COLUMNS.model_copy(update={"unit": TimeUnit.YEARS})).outcomes
    assert [one.days for one in found] == pytest.approx([1.5 * 365.25, 2 * 365.25, 3 * 365.25])
    assert [one.event for one in found] == [True, True, False]
    assert found[0].patient_id == "Müller"


def test_table_in_a_code_page_of_windows_is_read(tmp_path: Path) -> None:
    table = tmp_path / "c.csv"
    table.write_bytes("id\ttime\tevent\nMüller\t3\t1\n".encode("cp1252"))
    assert read_clinical(table, COLUMNS).outcomes[0].patient_id == "Müller"


def test_every_faulty_row_is_told_at_once_with_row_column_and_rule(tmp_path: Path) -> None:
    lines = ["id,time,event", "a,-1,1", "b,soon,2", "c,10,1", ",NA,", "d,5,1", "d,6,0", "e,inf,0", "f"]
    with pytest.raises(ClinicalTableRefused) as caught:
        read_clinical(write_table(tmp_path / "d.csv", lines), COLUMNS)
    told = [(fault.row, fault.column, fault.patient_id) for fault in caught.value.faults]
    assert told == [
        (2, "time", "a"),
        (3, "time", "b"),
        (3, "event", "b"),
        (5, "id", ""),
        (5, "time", ""),
        (5, "event", ""),
        (6, "id", "d"),
        (7, "id", "d"),
        (8, "time", "e"),
        (9, "time", "f"),
        (9, "event", "f"),
    ]
    message = str(caught.value)
    assert "row 2, column 'time': must not be negative, found -1" in message
    assert "row 3, column 'time': must be a number of days, found 'soon'" in message
    assert "must be in one row only, found in rows 6, 7" in message


def test_faulty_rows_are_kept_beside_the_others_when_asked(tmp_path: Path) -> None:
    table = write_table(tmp_path / "e.csv", ["id,time,event", "a,-1,1", "b,2,1"])
    found = read_clinical(table, COLUMNS, strict=False)
    assert [one.patient_id for one in found.outcomes] == ["b"]
    assert [fault.patient_id for fault in found.faults] == ["a"]


@pytest.mark.parametrize("text", ["PatientID,Time,event\n", "", "id\n"])
def test_missing_columns_are_all_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(ClinicalTableRefused) as caught:
        read_clinical(path, COLUMNS, strict=False)
    header = text.strip().split(",")
    assert {fault.column for fault in caught.value.faults} == {"id", "time", "event"} - set(header)


def test_number_with_a_comma_between_commas_is_not_guessed(tmp_path: Path) -> None:
    table = write_table(tmp_path / "h.csv", ["id,time,event", "a,1,500,1", 'b,"1,500",1'])
    with pytest.raises(ClinicalTableRefused) as caught:
        read_clinical(table, COLUMNS)
    told = [str(fault) for fault in caught.value.faults if fault.column in ("", "time")]
    assert told == [
        "row 2: must not go on behind the last column, found 1 more",
        "row 3, column 'time': must be a number of days, found '1,500'",
    ]


def test_column_named_twice_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path / "i.csv", ["id,time,event,time", "a,1,1,2"])
    with pytest.raises(ClinicalTableRefused, match="column 'time': must be once in the header"):
        read_clinical(table, COLUMNS)


def test_own_words_for_death_replace_the_usual_ones(tmp_path: Path) -> None:
    table = write_table(tmp_path / "g.csv", ["id,time,event", "a,1,2", "b,1,1"])
    columns = COLUMNS.model_copy(update={"unit": TimeUnit.MONTHS, "died": frozenset({"2"}), "alive": frozenset({"1"})})
    assert [one.event for one in read_clinical(table, columns).outcomes] == [True, False]


@pytest.mark.parametrize(
    ("days", "exact", "released"), [(0, True, True), (730, True, True), (731, False, True), (749, False, True)]
)
def test_two_years_end_later_in_the_released_rule(days: int, exact: bool, released: bool) -> None:
    assert MonthRule.EXACT.died_within_two_years(days, event=True) is exact
    assert MonthRule.RELEASED.died_within_two_years(days, event=True) is released
    assert not MonthRule.RELEASED.died_within_two_years(750, event=True)
    assert not MonthRule.EXACT.died_within_two_years(days, event=False)


def test_months_of_both_rules() -> None:
    assert MonthRule.EXACT.months(730.5) == 24.0
    assert MonthRule.RELEASED.months(730.5) == 24.0
    assert MonthRule.RELEASED.months(719) == 23.0
