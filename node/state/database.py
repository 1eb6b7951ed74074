"""The durable state of the node: transactions on its tables, SQLite in WAL mode.

The table is the truth: what is committed here survives `kill -9` and a power cut (``synchronous=FULL``), and several
processes may use one file at once. A column is named as the field of its record, so `fetch` makes records of rows.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from sqlalchemy import Engine, Executable, create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from survnode.node import errors
from survnode.node.state import audit_trail
from survnode.node.state.tables import SCHEMA_VERSION, metadata

BUSY_TIMEOUT_S = 15.0

Transaction = Connection  # what the named reads and writes of this package take


class Database:
    """The tables at ``path``, made if they are absent; for any number of threads, one object a process.

    Raises
    ------
    DatabaseVersionUnknown
        The file was written by another version of this software.
    DatabaseDamaged
        The file was cut or overwritten, as far as its first pages show; `check` looks at the others.
    DatabaseFailed
        The file cannot be opened.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path, self.busy_timeout_s = path, busy_timeout_s
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

    def check(self) -> None:
        """Read every page: 0.3 s for 100 MB that are in memory.

        Raises
        ------
        DatabaseDamaged
        """
        with self.reading() as connection:
            answer = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if answer != "ok":
            raise errors.DatabaseDamaged(str(answer).splitlines()[-1])

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    @contextmanager
    def _begin(self, how: str) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(begin=how) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise typed(error.orig) from error

    def _make_or_check_schema(self) -> None:
        with self.transaction() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            known = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
            if version == 0 and known == 0:
                metadata.create_all(connection)
                audit_trail.create(connection)
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
    names = _columns_of(record)
    rows = connection.execute(statement).mappings()
    return [record(**{name: row[name] for name in names}) for row in rows]


def fetch_one(connection: Connection, record: type[RecordT], statement: Executable) -> RecordT | None:
    """The first row of ``statement`` as a record; None if there is none."""
    records = fetch(connection, record, statement)
    return records[0] if records else None


def row_of(record: _DataclassInstance) -> dict[str, Any]:
    """The columns of a record."""
    return {name: getattr(record, name) for name in _columns_of(type(record))}


@cache
def _columns_of(record: type[_DataclassInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record))


def changes(before: _DataclassInstance, after: _DataclassInstance) -> dict[str, Any]:
    """The columns in which two records of one row differ, for an update; the key is always there."""
    old = row_of(before)
    return {name: value for name, value in row_of(after).items() if name == "id" or value != old[name]}


def _engine(path: Path, busy_timeout_s: float) -> Engine:
    # isolation_level None: the driver begins nothing by itself, so that BEGIN IMMEDIATE is ours to say.
    engine = create_engine(
        f"sqlite:///{path}", connect_args={"timeout": busy_timeout_s, "isolation_level": None}, pool_size=64
    )
    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _say_begin)
    return engine


def prepare(connection: sqlite3.Connection, _record: object = None) -> None:
    """Make a new connection as durable as the others, and audited."""
    audit_trail.provide(connection)
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _say_begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def typed(error: BaseException | None) -> errors.NodeError:
    """The error of the driver as one of ours; the message leaves out the statement and its values."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return errors.DatabaseBusy("Another process held the database for too long.")
    if code == sqlite3.SQLITE_FULL:
        return errors.StorageFull("There is no room for the database.")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return errors.DatabaseDamaged(str(error))
    return errors.DatabaseFailed(f"The database failed: {error}.")
