"""What a site knows of its patients beside their images: a row of a CSV file, or of a table of an SQL database.

Nothing is kept of it: each analysis asks anew. No error and no log holds what was asked for or what was found.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from sqlalchemy import Engine, MetaData, NullPool, Table, create_engine, select
from sqlalchemy.exc import SQLAlchemyError

from survnode.model.covariates import GivenValues, title_of
from survnode.node.config.sections import LookupConfig, SiteKey
from survnode.node.errors import SiteTableFailed

DELIMITERS = ",;\t"
UNREADABLE = SQLAlchemyError, ImportError  # the driver of a database is not installed


@dataclass(frozen=True)
class SiteTable:
    """Where a site's values are.

    Parameters
    ----------
    place : a CSV file, or the URL of a database as SQLAlchemy writes it
    key : of the study; the column that is searched has its name, unless ``key_column`` says another
    table : of the database
    """

    place: Path | str
    key: SiteKey = SiteKey.PATIENT_ID
    key_column: str = ""
    table: str = ""

    @property
    def name(self) -> str:
        """For people: neither a path nor a password."""
        return f"the table {self.place.name if isinstance(self.place, Path) else self.table}"

    @property
    def column(self) -> str:
        """The column that is searched."""
        return self.key_column or str(self.key)

    def known_of(self, ds: Dataset) -> GivenValues:
        """The row of the study that ``ds`` belongs to; nothing where there is none, or more than one.

        Raises
        ------
        SiteTableFailed
            The file or the database cannot be read.
        """
        wanted = str(ds.get(str(self.key), "") or "").strip()
        rows = self._rows(wanted) if wanted else []
        return GivenValues(self.name, rows[0] if len(rows) == 1 else {})

    def columns(self) -> tuple[str, ...]:
        """The names of its columns, without their units; raises as `known_of`."""
        if isinstance(self.place, Path):
            return tuple(title_of(name)[0] for name in _reader(self.place).fieldnames or ())
        try:
            return tuple(column.name for column in self._reflected().columns)
        except UNREADABLE as error:
            raise self._failed(error) from None

    def _rows(self, wanted: str) -> list[Mapping[str, str]]:
        if isinstance(self.place, Path):
            return _csv_rows(self.place, self.column, wanted)
        try:
            table = self._reflected()
            with self._engine().connect() as connection:
                rows = connection.execute(select(table).where(table.c[self.column] == wanted).limit(2)).mappings().all()
        except UNREADABLE as error:
            raise self._failed(error) from None
        except KeyError:
            raise SiteTableFailed(f"The table {self.table} has no column {self.column}.") from None
        return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]

    def _reflected(self) -> Table:
        return Table(self.table, MetaData(), autoload_with=self._engine())

    def _engine(self) -> Engine:
        return create_engine(str(self.place), poolclass=NullPool)

    def _failed(self, error: Exception) -> SiteTableFailed:
        """Its kind alone: a driver's words quote the statement, its values and the password."""
        return SiteTableFailed(f"The table {self.table} could not be read from its database: {type(error).__name__}.")


def _csv_rows(path: Path, column: str, wanted: str) -> list[Mapping[str, str]]:
    reader = _reader(path)
    if column not in (reader.fieldnames or ()):
        raise SiteTableFailed(f"{path} has no column {column}.")
    comma = reader.reader.dialect.delimiter != ","  # then numbers have decimal commas
    return [
        {name: _number(text or "", comma=comma) for name, text in row.items() if name is not None}
        for row in reader
        if (row[column] or "").strip() == wanted
    ]


def _number(text: str, *, comma: bool) -> str:
    whole, separator, rest = text.strip().partition(",")
    decimal = comma and separator and rest.isdigit() and whole.lstrip("+-").isdigit()
    return f"{whole}.{rest}" if decimal else text.strip()


def _reader(path: Path) -> "csv.DictReader[str]":
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise SiteTableFailed(f"{path} cannot be read: {error.strerror}.") from error
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    return csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)


def site_table_of(config: LookupConfig | None) -> SiteTable | None:
    """The table that a configuration names."""
    if config is None:
        return None
    place = config.csv if config.csv is not None else str(config.database)
    return SiteTable(place, config.key, config.key_column or "", config.table or "")
