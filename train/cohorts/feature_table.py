"""A table of features: a patient a row, whatever was measured of them beside the image; read strictly.

Radiomics, another network's embedding, laboratory values, clinical variables: each column is a number or a category.
What it is, is found from its cells, or declared in a file beside the table, ``features.toml`` for ``features.csv``::

    [hb]
    unit = "g/dl"        # or in the header: hb [g/dl]
    [stage]
    kind = "category"    # its levels may be numbers
    levels = ["1", "2", "3a", "3b"]
"""

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from survnode.model.covariates import MISSING_WORDS, Covariate, CovariateKind, covariate_row, number_of, title_of
from survnode.train.cohorts.clinical import TableRow, read_rows
from survnode.train.cohorts.errors import FeatureTableRefused, TableFault

MOST_LEVELS = 20  # a category with more is free text, or an identity


class _Declared(BaseModel):
    """What a file says of a column."""

    model_config = ConfigDict(extra="forbid")

    kind: CovariateKind | None = None
    unit: str | None = None
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureTable:
    """Values of patients, as text, and what the columns are.

    Parameters
    ----------
    values : by patient, then by the covariate's name
    """

    covariates: tuple[Covariate, ...]
    values: Mapping[str, Mapping[str, str]]

    @cached_property
    def sha256(self) -> str:
        """Changes with any value or column."""
        columns = [it.model_dump(mode="json") for it in self.covariates]
        return hashlib.sha256(json.dumps([columns, self.values], sort_keys=True).encode()).hexdigest()

    def rows(self, patients: Sequence[str]) -> NDArray[np.float32]:
        """What a network sees of these patients, (B, C); NaN where a value, or a patient, is missing."""
        return np.stack([covariate_row(self.covariates, self.values.get(who, {})) for who in patients])

    def distributed(self, patients: Sequence[str]) -> tuple[Covariate, ...]:
        """The covariates with their distribution in these patients."""
        of_patients = [self.values.get(who, {}) for who in patients]
        return tuple(it.distributed([values.get(it.name) for values in of_patients]) for it in self.covariates)

    def beside(self, other: "FeatureTable") -> "FeatureTable":
        """Both tables as one.

        Raises
        ------
        FeatureTableRefused
            They have a column in common.
        """
        both = {it.name for it in self.covariates} & {it.name for it in other.covariates}
        if both:
            rule = "must be in one of the two tables only"
            raise FeatureTableRefused("The two tables", [TableFault(None, name, "", rule) for name in sorted(both)])
        patients = [*self.values, *(who for who in other.values if who not in self.values)]
        values = {who: {**self.values.get(who, {}), **other.values.get(who, {})} for who in patients}
        return FeatureTable(self.covariates + other.covariates, values)


def read_features(
    path: Path, id_column: str = "PatientID", only: Sequence[str] = (), known: Sequence[Covariate] = ()
) -> FeatureTable:
    """The table in a CSV file with commas, or with semicolons or tabs and then also decimal commas.

    Parameters
    ----------
    id_column : the column of the PatientID; a table that has none of this name has it in the first column
    only : the columns to read; none: all of them
    known : a model's covariates: the table must have their columns, and nothing is found out about them

    Raises
    ------
    FeatureTableRefused
        With all faults at once.
    """
    header, rows = read_rows(path)
    id_column = id_column if id_column in header else next(iter(header), "")
    declared, faults = _declarations(path)
    wanted = {name: title_of(name) for name in header if name != id_column and title_of(name)[0]}
    named = only or [it.name for it in known]
    if named:
        wanted = {column: title for column, title in wanted.items() if title[0] in named}
        faults += [TableFault(None, it, "", "must be in the header") for it in named if it not in _names(wanted)]
    if not named:
        rule = "is declared and not in the header"
        faults += [TableFault(None, it, "", rule) for it in declared if it not in _names(wanted)]
    faults += [
        TableFault(None, name, "", "must be once in the header, and not empty")
        for name, count in Counter(header).items()
        if count > 1 or not title_of(name)[0]
    ]
    faults += _faulty_patients(rows, id_column)
    columns = {column: [_cell(row.cells[column], row.decimal) for row in rows] for column in wanted}
    of_model = {it.name: it for it in known}
    covariates = []
    for column, (name, unit) in wanted.items():
        if name in of_model and unit and unit != of_model[name].unit:
            rule = f"must be in {of_model[name].unit or 'no unit'}, as the model was trained, found {unit}"
            faults.append(TableFault(None, name, "", rule))
        covariate = of_model.get(name) or _covariate(name, unit, declared.get(name, _Declared()), columns[column])
        numbers = [row.number for row in rows]
        faults += _faulty_cells(column, covariate, columns[column], numbers, strict=name not in of_model)
        covariates.append(covariate)
    if not covariates and not faults:
        faults.append(TableFault(None, "", "", f"must have a column beside {id_column!r}"))
    if faults:
        raise FeatureTableRefused(path.name, faults)
    places = {row.cells[id_column]: place for place, row in enumerate(rows)}
    values = {
        who: {name: columns[column][place] for column, (name, _) in wanted.items()} for who, place in places.items()
    }
    return FeatureTable(_in_order(covariates, known), values)


def _in_order(covariates: Sequence[Covariate], known: Sequence[Covariate]) -> tuple[Covariate, ...]:
    places = {it.name: place for place, it in enumerate(known)}
    return tuple(sorted(covariates, key=lambda it: places.get(it.name, 0)))


def _names(wanted: Mapping[str, tuple[str, str]]) -> set[str]:
    return {name for name, _ in wanted.values()}


def _cell(text: str, decimal: str) -> str:
    return text.replace(decimal, ".") if decimal != "." and number_of(text.replace(decimal, ".")) is not None else text


def _declarations(path: Path) -> tuple[dict[str, _Declared], list[TableFault]]:
    """What the file beside a table says of its columns, and what is wrong with it."""
    file = path.with_suffix(".toml")
    if not file.is_file():
        return {}, []
    try:
        declared = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        return {}, [TableFault(None, "", "", f"{file.name} must be TOML: {error}")]
    columns, faults = {}, []
    for name, values in declared.items():
        try:
            columns[name] = _Declared.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            faults.append(TableFault(None, name, "", f"in {file.name}, {where}: {first['msg']}"))
    return columns, faults


def _covariate(name: str, unit: str, declared: _Declared, cells: Sequence[str]) -> Covariate:
    """What a column is: as declared, or as its cells look."""
    known = [cell for cell in cells if cell.lower() not in MISSING_WORDS]
    numeric = all(number_of(cell) is not None for cell in known) and not declared.levels
    kind = declared.kind or (CovariateKind.NUMBER if numeric else CovariateKind.CATEGORY)
    unit = unit if declared.unit is None else declared.unit
    if kind is CovariateKind.NUMBER:
        return Covariate(name=name, kind=kind, unit=unit)
    return Covariate(name=name, kind=kind, unit=unit, levels=declared.levels or tuple(sorted(set(known))))


def _faulty_cells(
    column: str, covariate: Covariate, cells: Sequence[str], numbers: Sequence[int], *, strict: bool
) -> Iterator[TableFault]:
    """What is wrong with a column; with a model's, a value that it does not know is missing, and no fault."""
    known = [(number, cell) for number, cell in zip(numbers, cells, strict=True) if cell.lower() not in MISSING_WORDS]
    if strict and not known:
        yield TableFault(None, column, "", "must have a value in at least one row")
    if strict and covariate.kind is CovariateKind.CATEGORY and len(covariate.levels) > MOST_LEVELS:
        rule = f"must be a number, or a category of at most {MOST_LEVELS} values, found {len(covariate.levels)}"
        yield TableFault(None, column, "", rule)
        return
    for number, cell in known:
        if covariate.parsed(cell) is not None:
            continue
        if covariate.kind is CovariateKind.NUMBER:
            yield TableFault(number, column, "", f"must be a number, found {cell!r}")
        elif strict:
            yield TableFault(number, column, "", f"must be one of {', '.join(covariate.levels)}, found {cell!r}")


def _faulty_patients(rows: Sequence[TableRow], id_column: str) -> Iterator[TableFault]:
    counted = Counter(row.cells[id_column] for row in rows)
    for row in rows:
        who = row.cells[id_column]
        if not who:
            yield TableFault(row.number, id_column, "", "must not be empty")
        elif counted[who] > 1:
            yield TableFault(row.number, id_column, who, "must be in one row only")
        if row.surplus > 0:
            yield TableFault(row.number, "", who, f"must not go on behind the last column, found {row.surplus} more")
