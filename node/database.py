"""The durable state of the node: tables and transactions, SQLite in WAL mode.

The table is the truth: what is committed here survives `kill -9` and a power cut (``synchronous=FULL``), and several
processes may use one file at once. A column is named as the field of its record, so `fetch` makes records of rows.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from sqlalchemy import (
    Boolean,
    Column,
    Dialect,
    Engine,
    Executable,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    create_engine,
    event,
    select,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from survnode.model.errors import Reason
from survnode.node import errors
from survnode.node.records import (
    CommitmentState,
    DeliveryState,
    InstanceState,
    JobState,
    ResultRole,
    SeriesVerdict,
    StudyState,
)

SCHEMA_VERSION = 2
BUSY_TIMEOUT_S = 15.0


class _Member(TypeDecorator[StrEnum]):
    """A member of a StrEnum, stored as its value."""

    impl = String
    cache_ok = True

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else str(value.value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002
        return None if value is None else self.members(value)


class _UIDs(TypeDecorator[tuple[str, ...]]):
    """A tuple of UIDs, stored as one string."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str:  # noqa: ARG002
        return "\n".join(value or ())

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002
        return tuple((value or "").split())


class _Verdicts(TypeDecorator[tuple[SeriesVerdict, ...]]):
    """What was decided about each series, stored as JSON."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Sequence[SeriesVerdict] | None, dialect: Dialect) -> str:  # noqa: ARG002
        return json.dumps([asdict(verdict) for verdict in value or ()])

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[SeriesVerdict, ...]:  # noqa: ARG002
        found = json.loads(value or "[]")
        return tuple(SeriesVerdict(**{**row, "reason": row["reason"] and Reason[row["reason"]]}) for row in found)


metadata = MetaData()

studies = Table(
    "studies",
    metadata,
    Column("study_instance_uid", String, primary_key=True),
    Column("patient_id", String, nullable=False),
    Column("patient_conflict", Boolean, nullable=False, default=False),
    Column("first_received_at", Float, nullable=False),
    Column("last_received_at", Float, nullable=False),
    Column("due_at", Float, index=True),
    Column("revision", Integer, nullable=False),
    Column("state", _Member(StudyState), nullable=False),
    Column("error", String, nullable=False, default=""),
)

instances = Table(
    "instances",
    metadata,
    Column("sop_instance_uid", String, primary_key=True),
    Column("sop_class_uid", String, nullable=False),
    Column("study_instance_uid", ForeignKey("studies.study_instance_uid"), nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("transfer_syntax_uid", String, nullable=False),
    Column("patient_id", String, nullable=False),
    Column("calling_ae_title", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("path", String, nullable=False, unique=True),
    Column("received_at", Float, nullable=False),
    Column("state", _Member(InstanceState), nullable=False),
    Index("instances_of_series", "study_instance_uid", "series_instance_uid"),
)

quarantined = Table(
    "quarantined",
    metadata,
    Column("sop_instance_uid", String, primary_key=True),
    Column("sha256", String, primary_key=True),
    Column("study_instance_uid", String, nullable=False),
    Column("calling_ae_title", String, nullable=False),
    Column("path", String, nullable=False),
    Column("received_at", Float, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_instance_uid", ForeignKey("studies.study_instance_uid"), nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("sop_instance_uids", _UIDs, nullable=False),
    Column("input_digest", String, nullable=False),
    Column("device_uid", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", _Member(Reason)),
    Column("detail", String, nullable=False, default=""),
    Column("verdicts", _Verdicts, nullable=False),
    Column("state", _Member(JobState), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("kills", Integer, nullable=False, default=0),
    Column("token", Integer, nullable=False, default=0),
    Column("worker", String),
    Column("lease_until", Float),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("error", String, nullable=False, default=""),
    UniqueConstraint("study_instance_uid", "version"),
    Index("jobs_to_claim", "state", "due_at"),
    sqlite_autoincrement=True,
)

results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("role", _Member(ResultRole), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("sop_class_uid", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("path", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("variant_of", ForeignKey("results.id")),
    UniqueConstraint("job_id", "sop_instance_uid"),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("result_id", ForeignKey("results.id"), nullable=False),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("destination", String, nullable=False),
    Column("state", _Member(DeliveryState), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("first_tried_at", Float),
    Column("settled_at", Float),
    Column("status", Integer),
    Column("error", String, nullable=False, default=""),
    Column("commitment", _Member(CommitmentState), nullable=False, default=CommitmentState.NONE),
    Column("commitment_uid", String, index=True),
    Column("commitment_tries", Integer, nullable=False, default=0),
    Column("commitment_due_at", Float),
    Column("commitment_error", String, nullable=False, default=""),
    UniqueConstraint("result_id", "destination"),
    Index("deliveries_to_send", "destination", "state", "due_at"),
    sqlite_autoincrement=True,
)

profiles = Table(
    "profiles",
    metadata,
    Column("destination", String, primary_key=True),
    Column("accepted", _UIDs, nullable=False),
    Column("probed_at", Float, nullable=False),
)


class Database:
    """The tables at ``path``, made if they are absent; for any number of threads, one object a process.

    Raises
    ------
    DatabaseVersionUnknown
        The file was written by another version of this software.
    DatabaseFailed
        The file cannot be opened, or is none of SQLite's.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self._engine = _engine(path, busy_timeout_s)
        try:
            self._make_or_check_schema()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection that alone may write until the block ends; what it wrote is on disk then, or undone.

        Raises
        ------
        DatabaseBusy, StorageFull, DatabaseFailed
        """
        with self._begin("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one moment of the database, whoever writes meanwhile."""
        with self._begin("BEGIN") as connection:
            yield connection

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    @contextmanager
    def _begin(self, how: str) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(begin=how) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise _typed(error) from error

    def _make_or_check_schema(self) -> None:
        with self.transaction() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            known = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
            if version == 0 and known == 0:
                metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                msg = (
                    f"The database {self.path} has version {version}, this software knows {SCHEMA_VERSION}: "
                    "use the software that wrote it, or another data folder."
                )
                raise errors.DatabaseVersionUnknown(msg)


class _DataclassInstance(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


RecordT = TypeVar("RecordT", bound=_DataclassInstance)


def fetch(connection: Connection, record: type[RecordT], statement: Executable) -> list[RecordT]:
    """The rows of ``statement`` as records; it may select more columns than the record has fields."""
    names = [field.name for field in fields(record)]
    rows = connection.execute(statement).mappings()
    return [record(**{name: row[name] for name in names}) for row in rows]


def fetch_one(connection: Connection, record: type[RecordT], statement: Executable) -> RecordT | None:
    """The first row of ``statement`` as a record; None if there is none."""
    found = fetch(connection, record, statement)
    return found[0] if found else None


def withdrawn_jobs(destination: str | None = None) -> Select[tuple[int]]:
    """The jobs whose results were withdrawn, by a note or before they were sent; from one destination or from any."""
    note = (deliveries.c.state == DeliveryState.WITHDRAWN) | (results.c.role == ResultRole.WITHDRAWAL)
    found = select(deliveries.c.job_id).join(results, results.c.id == deliveries.c.result_id).where(note).distinct()
    return found if destination is None else found.where(deliveries.c.destination == destination)


def row_of(record: _DataclassInstance) -> dict[str, Any]:
    """The columns of a record."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _engine(path: Path, busy_timeout_s: float) -> Engine:
    # isolation_level None: the driver begins nothing by itself, so that BEGIN IMMEDIATE is ours to say.
    engine = create_engine(
        f"sqlite:///{path}", connect_args={"timeout": busy_timeout_s, "isolation_level": None}, pool_size=64
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _say_begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _say_begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _typed(error: DBAPIError) -> errors.NodeError:
    """The error of the driver as one of ours; the message leaves out the statement and its values."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return errors.DatabaseBusy("Another process held the database for too long.")
    if code == sqlite3.SQLITE_FULL:
        return errors.StorageFull("There is no room for the database.")
    return errors.DatabaseFailed(f"The database failed: {error.orig}.")
