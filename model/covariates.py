"""What is known of a patient beside the image: which covariates a model takes, and what their values mean to it.

A checkpoint describes its covariates (`Covariate`); a table of features, a CT's header or a site's lookup gives their
values, as text or numbers. `covariate_row` makes the numbers that the network sees, where NaN stands for what is
missing: numbers as they are, a category as one column a level.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none", "unknown", "?"})
_WITH_UNIT = re.compile(r"(?P<name>.*\S)\s*\[(?P<unit>[^\]]*)\]")
PERCENTS = (0, 5, 25, 50, 75, 95, 100)


class CovariateKind(StrEnum):
    """What values a covariate has."""

    NUMBER = "number"
    CATEGORY = "category"


class Covariate(BaseModel):
    """One covariate, and how it was distributed in training.

    Parameters
    ----------
    levels : of a category, in the order of the network's columns
    missing : share of the training patients without a value
    percentiles : of a number, at `PERCENTS`
    shares : of a category, of each level among the known values
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    kind: CovariateKind
    unit: str = ""
    levels: tuple[str, ...] = ()
    missing: float = Field(default=0.0, ge=0, le=1)
    percentiles: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """What the network calls it: its name, or one a level."""
        if self.kind is CovariateKind.NUMBER:
            return (self.name,)
        return tuple(f"{self.name}={level}" for level in self.levels)

    @property
    def titled(self) -> str:
        """Its name and unit, for people."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    def row(self, text: str | float | None) -> tuple[float, ...]:
        """The network's columns of a value; NaN where it is missing or no value of this covariate."""
        value = self.parsed(text)
        if value is None:
            return (math.nan,) * len(self.columns)
        if isinstance(value, float):
            return (value,)
        return tuple(float(level == value) for level in self.levels)

    def parsed(self, text: str | float | None) -> str | float | None:
        """The value as a finite number or as one of the levels, which may be written in other letters; or None."""
        if text is None or str(text).strip().lower() in MISSING_WORDS:
            return None
        if self.kind is CovariateKind.NUMBER:
            return number_of(str(text))
        word = str(text).strip().lower()
        return next((level for level in self.levels if level.lower() == word), None)

    def lies_outside(self, value: str | float) -> bool:
        """Whether a number is below or above everything that the model was trained on."""
        return bool(
            isinstance(value, float) and self.percentiles and not self.percentiles[0] <= value <= self.percentiles[-1]
        )

    def distributed(self, values: Sequence[str | float | None]) -> "Covariate":
        """The same with the distribution of these values."""
        known = [value for value in map(self.parsed, values) if value is not None]
        update: dict[str, object] = {"missing": round(1 - len(known) / max(len(values), 1), 4)}
        if self.kind is CovariateKind.NUMBER:
            update["percentiles"] = tuple(
                np.percentile(np.array(known, np.float64), PERCENTS).tolist() if known else ()
            )
        else:
            update["shares"] = tuple(round(known.count(level) / max(len(known), 1), 4) for level in self.levels)
        return self.model_copy(update=update)


@dataclass(frozen=True)
class CovariateValue:
    """A value that a prediction was made with, or why there was none.

    Parameters
    ----------
    value : None if it was missing
    source : where it was found, for people; empty if nowhere
    fault : why what stood there was not used; empty if nothing stood there, or it was used
    """

    covariate: Covariate
    value: str | float | None
    source: str = ""
    fault: str = ""

    @property
    def outside(self) -> bool:
        """Whether it lies outside of what the model was trained on."""
        return self.value is not None and self.covariate.lies_outside(self.value)

    @property
    def sentence(self) -> str:
        """What a report says of it."""
        if self.value is None:
            return f"{self.covariate.titled}: missing{f': {self.fault}' if self.fault else ''}."
        said = f"{self.value:g}" if isinstance(self.value, float) else self.value
        line = f"{self.covariate.titled}: {said} (from {self.source})."
        if self.outside:
            low, high = self.covariate.percentiles[0], self.covariate.percentiles[-1]
            line += f" The model was trained on {low:g} to {high:g}: this value lies outside."
        return line


@dataclass(frozen=True)
class GivenValues:
    """What one source says of a patient: text by column, whose title may hold a unit.

    Parameters
    ----------
    name : of the source, for people
    """

    name: str
    values: Mapping[str, str]


def gathered(covariates: Sequence[Covariate], sources: Sequence[GivenValues]) -> tuple[CovariateValue, ...]:
    """The value of each covariate, from the first source that has one; no text of a source is repeated in words."""
    return tuple(_found(it, sources) for it in covariates)


def _found(covariate: Covariate, sources: Sequence[GivenValues]) -> CovariateValue:
    fault = ""
    for source in sources:
        for column, text in source.values.items():
            name, unit = title_of(column)
            if name != covariate.name or text.strip().lower() in MISSING_WORDS:
                continue
            value = covariate.parsed(text)
            if unit and unit != covariate.unit:
                fault = f"{source.name} has it in {unit}, the model wants {covariate.unit or 'no unit'}"
            elif value is None:
                fault = f"what {source.name} says is no value that the model knows"
            else:
                return CovariateValue(covariate, value, source.name)
    return CovariateValue(covariate, None, fault=fault)


def title_of(column: str) -> tuple[str, str]:
    """Name and unit of a table's column: ``hb [g/dl]``."""
    found = _WITH_UNIT.fullmatch(column.strip())
    return (found["name"], found["unit"].strip()) if found else (column.strip(), "")


def number_of(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def covariate_row(covariates: Sequence[Covariate], values: Mapping[str, str | float | None]) -> NDArray[np.float32]:
    """What the network sees of a patient, (C,); NaN where a value is missing."""
    return np.array([number for it in covariates for number in it.row(values.get(it.name))], np.float32)


def columns_of(covariates: Sequence[Covariate]) -> tuple[str, ...]:
    """The names of the network's columns, (C,)."""
    return tuple(name for it in covariates for name in it.columns)
