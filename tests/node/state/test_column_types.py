"""Each column type through a real database: what was written is read, and what stands in the file is what it says."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, TypeDecorator, create_engine, insert, select, text

from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.errors import Reason
from survnode.node.state.column_types import (
    CompletenessColumn,
    ExpectedSeriesColumn,
    LinesColumn,
    MemberColumn,
    UIDsColumn,
    VerdictsColumn,
)
from survnode.node.state.records import CheckState, Completeness, ExpectedSeries, StudyState

RoundTrip = Callable[[TypeDecorator[Any], object], tuple[object, object]]


@pytest.fixture
def round_trip() -> RoundTrip:
    def through(column_type: TypeDecorator[Any], value: object) -> tuple[object, object]:
        metadata = MetaData()
        table = Table("kept", metadata, Column("id", Integer, primary_key=True), Column("value", column_type))
        engine = create_engine("sqlite://")
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(insert(table).values(value=value))
            read = connection.execute(select(table.c.value)).scalar_one()
            kept = connection.execute(text("SELECT value FROM kept")).scalar_one()
        engine.dispose()
        return read, kept

    return through


VERDICTS = (
    SeriesVerdict("1.2.3", 60, True, None),
    SeriesVerdict("1.2.4", 3, False, Reason.TOO_FEW_SLICES, "3 slices."),
)


@pytest.mark.parametrize(
    ("column_type", "value", "kept"),
    [
        (MemberColumn(StudyState), StudyState.IGNORED, "IGNORED"),
        (MemberColumn(StudyState), None, None),
        (UIDsColumn(), ("1.2", "1.10"), "1.2\n1.10"),
        (UIDsColumn(), (), ""),
        (LinesColumn(), ("pacs", "another archive"), "pacs\nanother archive"),
        (LinesColumn(), (), ""),
        (LinesColumn(), None, None),
        (ExpectedSeriesColumn(), (ExpectedSeries("1.2", 60), ExpectedSeries("1.3", 2)), '{"1.2": 60, "1.3": 2}'),
        (ExpectedSeriesColumn(), (), "{}"),
        (
            CompletenessColumn(),
            Completeness(CheckState.INCOMPLETE, 40, 41),
            '{"state": "INCOMPLETE", "received": 40, "expected": 41, "others_lacking": 0}',
        ),
        (CompletenessColumn(), None, None),
    ],
)
def test_what_was_written_is_read_and_stands_as_text(
    round_trip: RoundTrip, column_type: TypeDecorator[Any], value: object, kept: str | None
) -> None:
    assert round_trip(column_type, value) == (value, kept)


def test_verdicts_come_back_with_their_reasons(round_trip: RoundTrip) -> None:
    read, _ = round_trip(VerdictsColumn(), VERDICTS)
    assert read == VERDICTS
