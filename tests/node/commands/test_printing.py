"""Tables at any width, JSON."""

from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from survnode.node.commands.printing import Column, TableLayout, cell, counted, lines_of, plain, print_record
from survnode.node.state.records import StudyState


@dataclass(frozen=True)
class Row:
    uid: str
    patient: str
    fine: bool
    why: str = ""


LAYOUT: TableLayout[Row] = TableLayout(
    (
        Column("uid", lambda row: row.uid),
        Column("patient", lambda row: row.patient, shrinks=True),
        Column("fine", lambda row: row.fine),
        Column("more", lambda row: row.uid * 2, wide=True),
    ),
    note=lambda row: row.why,
)
ROWS = (Row("...4711.3", "P" * 64, True), Row("...4712.3", "P1", False, "The slices are not evenly spaced. " * 4))


def lines(width: int, *, wide: bool = False) -> list[str]:
    return [line.plain for line in lines_of(ROWS, LAYOUT, width, wide=wide)]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int) -> None:
    assert max(map(len, lines(width))) <= width


def test_only_what_may_be_cut_is_cut_and_says_so() -> None:
    head, first, *_ = lines(40)
    assert head.split() == ["uid", "patient", "fine"]
    assert first.startswith("...4711.3  PPPP")
    assert first.endswith("…  yes")


def test_the_reason_stands_below_its_row_and_is_broken_between_words() -> None:
    _, _, second, *note = lines(80)
    assert second.split() == ["...4712.3", "P1", "no"]
    assert len(note) == 2
    assert all(line.startswith("    ") for line in note)
    assert " ".join(" ".join(note).split()) == ("The slices are not evenly spaced. " * 4).strip()


def test_wide_shows_all_and_cuts_nothing() -> None:
    head, first, _, note = lines(40, wide=True)
    assert head.split() == ["uid", "patient", "fine", "more"]
    assert "P" * 64 in first
    assert note.strip() == ROWS[1].why.strip()


def test_cells_are_words() -> None:
    values = (True, False, None, StudyState.PATIENT_CONFLICT, ("a", "b"), 7)
    assert [cell(value) for value in values] == ["yes", "no", "", "patient conflict", "a, b", "7"]


def test_json_holds_codes_and_times_in_utc() -> None:
    moment = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    assert plain({"state": StudyState.IGNORED, "at": moment, "rows": (ROWS[1],)}) == {
        "state": "IGNORED",
        "at": "2026-11-24T23:30:00+00:00",
        "rows": [{"uid": "...4712.3", "patient": "P1", "fine": False, "why": ROWS[1].why}],
    }


def test_a_record_is_shown_by_its_labels_without_what_is_empty() -> None:
    values = (
        Column[Row]("study", lambda row: row.uid),
        Column[Row]("patient ID", lambda row: row.patient),
        Column[Row]("in order", lambda row: row.fine),
    )
    out = StringIO()
    print_record(Console(file=out, width=80), Row("1.2", "", True), values, {})
    assert out.getvalue().splitlines() == ["study       1.2", "in order    yes"]


def test_one_is_one_and_none_are_many() -> None:
    assert [counted(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
