"""Columns as a person reads them: times as moments in UTC, DIMSE statuses in hexadecimal."""

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Dialect, Float, Integer, Label, TypeDecorator, type_coerce


class _Moment(TypeDecorator[datetime]):
    impl = Float
    cache_ok = True

    def process_result_value(self, value: float | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.fromtimestamp(value, UTC)


class _Hexadecimal(TypeDecorator[str]):
    impl = Integer
    cache_ok = True

    def process_result_value(self, value: int | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else f"0x{value:04X}"


def moment(seconds: ColumnElement[float], name: str) -> Label[datetime]:
    """A column of seconds since the epoch as moments."""
    return type_coerce(seconds, _Moment).label(name)


def hexadecimal(number: ColumnElement[int], name: str) -> Label[str]:
    """A column of numbers as 0x0000."""
    return type_coerce(number, _Hexadecimal).label(name)
