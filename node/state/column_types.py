"""Column types: values of the records as SQLite keeps them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum

from sqlalchemy import Dialect, String, TypeDecorator

from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.errors import Reason
from survnode.node.state.records import CheckState, Completeness, ExpectedSeries


class MemberColumn(TypeDecorator[StrEnum]):
    """A member of a StrEnum, stored as its value."""

    impl = String
    cache_ok = True

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The value of a member."""
        return None if value is None else str(value.value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002
        """The member of a value."""
        return None if value is None else self.members(value)


class UIDsColumn(TypeDecorator[tuple[str, ...]]):
    """A tuple of UIDs, stored as one string."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str:  # noqa: ARG002
        """What SQLite keeps."""
        return "\n".join(value or ())

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002
        """What was kept."""
        return tuple((value or "").split())


class LinesColumn(TypeDecorator[tuple[str, ...]]):
    """A tuple of texts, stored as lines; NULL is None, and no texts are an empty string."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """What SQLite keeps."""
        return None if value is None else "\n".join(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:  # noqa: ARG002
        """What was kept."""
        return None if value is None else tuple(value.splitlines())


class VerdictsColumn(TypeDecorator[tuple[SeriesVerdict, ...]]):
    """What was decided about each series, stored as JSON."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Sequence[SeriesVerdict] | None, dialect: Dialect) -> str:  # noqa: ARG002
        """What SQLite keeps."""
        return json.dumps([asdict(verdict) for verdict in value or ()])

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[SeriesVerdict, ...]:  # noqa: ARG002
        """What was kept."""
        rows = json.loads(value or "[]")
        return tuple(SeriesVerdict(**{**row, "reason": row["reason"] and Reason[row["reason"]]}) for row in rows)


class ExpectedSeriesColumn(TypeDecorator[tuple[ExpectedSeries, ...]]):
    """What a source holds of a study, stored as JSON: instances by series."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Sequence[ExpectedSeries] | None, dialect: Dialect) -> str:  # noqa: ARG002
        """What SQLite keeps."""
        return json.dumps({series.series_instance_uid: series.instances for series in value or ()})

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[ExpectedSeries, ...]:  # noqa: ARG002
        """What was kept."""
        return tuple(ExpectedSeries(uid, number) for uid, number in json.loads(value or "{}").items())


class CompletenessColumn(TypeDecorator[Completeness]):
    """Whether a job's images came whole, stored as JSON."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Completeness | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """What SQLite keeps."""
        return None if value is None else json.dumps(asdict(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Completeness | None:  # noqa: ARG002
        """What was kept."""
        if value is None:
            return None
        row = json.loads(value)
        return Completeness(**{**row, "state": CheckState[row["state"]]})
