"""A table of outcomes, read strictly: every faulty row is told, with its column and the rule that it breaks."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from survnode.model.timegrid import DAYS_PER_MONTH
from survnode.train.cohorts.errors import ClinicalTableRefused, TableFault

TWO_YEARS_MONTHS = 24
RELEASED_DAYS_PER_MONTH = 30
DELIMITERS = ",;\t"


class TimeUnit(StrEnum):
    """What the time column counts."""

    DAYS = "days"
    MONTHS = "months"  # of 30.4375 days
    YEARS = "years"  # of 365.25 days

    @property
    def days(self) -> float:
        """The length of one."""
        return {TimeUnit.DAYS: 1.0, TimeUnit.MONTHS: DAYS_PER_MONTH, TimeUnit.YEARS: 12 * DAYS_PER_MONTH}[self]


class MonthRule(StrEnum):
    """How days become months, and which deaths are within two years."""

    EXACT = "exact"  # months of 30.4375 days; a death within two years is one before month 24
    RELEASED = "released"  # the paper's published code: days // 30, and deaths in month 24 count as within two years

    def months(self, days: float) -> float:
        """Days as months."""
        return days / DAYS_PER_MONTH if self is MonthRule.EXACT else float(days // RELEASED_DAYS_PER_MONTH)

    def died_within_two_years(self, days: float, *, event: bool) -> bool:
        """Whether the patient was seen to die within two years."""
        if self is MonthRule.EXACT:
            return event and self.months(days) < TWO_YEARS_MONTHS
        return event and self.months(days) <= TWO_YEARS_MONTHS


@dataclass(frozen=True)
class Reading:
    """What a recipe asks of the cohorts that it trains on.

    Parameters
    ----------
    months : how days become months
    spacing_mm : between the slices that the model sees, which decides between the series of a patient
    """

    months: MonthRule = MonthRule.EXACT
    spacing_mm: float = 3.0


class Columns(BaseModel):
    """Where a table keeps what is needed, and how it writes it; any other column is left alone.

    Parameters
    ----------
    patient_id, time, event : names in the header
    unit : of the time
    age, stage, sex, histology : for what is known without the CT, and for subgroups; None: the table has none
    died, alive : how the event is written, in small letters; numbers as integers
    missing : how an unknown value is written, in small letters, besides an empty cell
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient_id: str
    time: str
    event: str
    unit: TimeUnit = TimeUnit.DAYS
    age: str | None = None
    stage: str | None = None
    sex: str | None = None
    histology: str | None = None
    died: frozenset[str] = frozenset({"1", "true", "yes", "dead", "died", "deceased"})
    alive: frozenset[str] = frozenset({"0", "false", "no", "alive", "censored"})
    missing: frozenset[str] = frozenset({"na", "n/a", "nan", "null", "none"})

    @field_validator("died", "alive", "missing")
    @classmethod
    def _in_small_letters(cls, words: frozenset[str]) -> frozenset[str]:
        return frozenset(word.lower() for word in words)

    @model_validator(mode="after")
    def _nobody_is_both(self) -> Self:
        both = sorted(self.died & self.alive)
        if both:
            msg = f"died and alive must have no word in common, found {', '.join(both)}"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class PatientOutcome:
    """One row of the table.

    Parameters
    ----------
    days : from the CT to death or to the end of follow-up
    event : True if by death
    row : as a text editor counts lines, the header is 1
    cells : the whole row by column
    """

    patient_id: str
    days: float
    event: bool
    row: int
    cells: Mapping[str, str]


def age_in(cells: Mapping[str, str], columns: Columns) -> float | None:
    """The age in a row, years; None where it is missing or no number."""
    text = cells.get(columns.age or "", "")
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def stage_in(cells: Mapping[str, str], columns: Columns) -> str:
    """The stage in a row, in capital letters; empty where it is missing."""
    return word_in(cells, columns.stage, columns).upper()


def word_in(cells: Mapping[str, str], column: str | None, columns: Columns) -> str:
    """What a row says in a column, in small letters; empty where it is missing."""
    text = cells.get(column or "", "")
    return "" if _is_missing(text, columns) else text.lower()


@dataclass(frozen=True)
class ClinicalTable:
    """The outcomes in the order of the rows, and what is wrong with the other rows."""

    outcomes: tuple[PatientOutcome, ...]
    faults: tuple[TableFault, ...]


def read_clinical(path: Path, columns: Columns, *, others: Sequence[str] = (), strict: bool = True) -> ClinicalTable:
    """The outcomes in a CSV file with commas, or with semicolons or tabs and then also decimal commas.

    A patient in two rows is a fault of each of them.

    Parameters
    ----------
    others : further columns that must be in the header

    Raises
    ------
    ClinicalTableRefused
        The header lacks a column, or ``strict`` and any row is faulty.
    """
    header, rows = read_rows(path)
    needed = columns.patient_id, columns.time, columns.event, *others
    rule = f"must be once in the header, which has {_listed(map(repr, header))}"
    unclear = [TableFault(None, name, "", rule) for name in needed if header.count(name) != 1]
    if unclear:
        raise ClinicalTableRefused(path.name, unclear)
    places: dict[str, list[int]] = {}
    for row in rows:
        places.setdefault(row.cells[columns.patient_id], []).append(row.number)
    judged = [_judge(row, columns, places[row.cells[columns.patient_id]]) for row in rows]
    outcomes = tuple(row for row in judged if isinstance(row, PatientOutcome))
    faults = tuple(fault for row in judged if not isinstance(row, PatientOutcome) for fault in row)
    if strict and faults:
        raise ClinicalTableRefused(path.name, faults)
    return ClinicalTable(outcomes, faults)


@dataclass(frozen=True)
class TableRow:
    """A row that is not empty, its cells by column; ``surplus`` counts those behind the last column."""

    number: int
    cells: dict[str, str]
    surplus: int
    decimal: str


def read_rows(path: Path) -> tuple[list[str], list[TableRow]]:
    """The header and the rows of a CSV file with commas, semicolons or tabs."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:  # a spreadsheet's export under Windows
        text = raw.decode("cp1252", errors="replace")
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    decimal = "." if delimiter == "," else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    rows = []
    for line in reader:
        values = [value.strip() for value in line]
        if any(values):
            cells = dict.fromkeys(header, "") | dict(zip(header, values, strict=False))
            rows.append(TableRow(reader.line_num, cells, sum(map(bool, values[len(header) :])), decimal))
    return header, rows


def _judge(row: TableRow, columns: Columns, rows_of_patient: Sequence[int]) -> PatientOutcome | list[TableFault]:
    """The outcome in a row, or all that is wrong with it."""
    patient_id = row.cells[columns.patient_id]
    days, event = _days(row.cells[columns.time], columns, row.decimal), _event(row.cells[columns.event], columns)
    broken = {
        "": f"must not go on behind the last column, found {row.surplus} more" if row.surplus > 0 else None,
        columns.patient_id: _identity(patient_id, rows_of_patient),
        columns.time: days if isinstance(days, str) else None,
        columns.event: event if isinstance(event, str) else None,
    }
    faults = [TableFault(row.number, column, patient_id, rule) for column, rule in broken.items() if rule]
    if faults or isinstance(days, str) or isinstance(event, str):
        return faults
    return PatientOutcome(patient_id, days, event, row.number, MappingProxyType(row.cells))


def _identity(patient_id: str, rows: Sequence[int]) -> str | None:
    """The rule that a patient's id breaks, if any."""
    if not patient_id:
        return "must not be empty"
    return f"must be in one row only, found in rows {_listed(rows)}" if len(rows) > 1 else None


def _days(text: str, columns: Columns, decimal: str) -> float | str:
    """The time in days, or the rule that it breaks."""
    if _is_missing(text, columns):
        return f"must be a number of {columns.unit}, found none"
    try:
        value = float(text.replace(decimal, "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        return f"must be a number of {columns.unit}, found {text!r}"
    return value * columns.unit.days if value >= 0 else f"must not be negative, found {text}"


def _event(text: str, columns: Columns) -> bool | str:
    """True for a death, or the rule that the cell breaks."""
    word = text.lower().removesuffix(".0")  # what a spreadsheet makes of an integer
    if word in columns.died | columns.alive:
        return word in columns.died
    written = "none" if _is_missing(text, columns) else repr(text)
    return f"must be one of {_listed(sorted(columns.died))} (dead) or {_listed(sorted(columns.alive))}, found {written}"


def _is_missing(text: str, columns: Columns) -> bool:
    return not text or text.lower() in columns.missing


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
