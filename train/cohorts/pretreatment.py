"""Which CT of a patient is from before the treatment, where the outcome is counted from."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from survnode.train.cohorts.clinical import PatientOutcome
from survnode.train.cohorts.dicom_tree import TreeSeries

ISO_DAY = "%Y-%m-%d"


def expression(text: str) -> str:
    """The text, if it is a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        msg = f"must be a regular expression ({error})"
        raise ValueError(msg) from error
    return text


class Pretreatment(BaseModel):
    """How the CT from before the treatment is known.

    With a column of the day on which treatment began: the last study up to that day; none where the cell cannot be read
    as a day. Without one: the earliest study. Studies without a date count only there, as the earliest.

    Parameters
    ----------
    treatment_column : of the clinical table
    day_format : of its cells, as `datetime.strptime` reads them
    description : regular expression, any case, that the description of the study or the series must contain
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    treatment_column: str | None = None
    day_format: str = ISO_DAY
    description: str | None = None

    @field_validator("description")
    @classmethod
    def _is_an_expression(cls, text: str | None) -> str | None:
        return None if text is None else expression(text)

    @field_validator("day_format")
    @classmethod
    def _names_a_day(cls, text: str) -> str:
        day = datetime(2019, 2, 28)  # noqa: DTZ001  a day has no time zone
        try:
            read = datetime.strptime(day.strftime(text), text)  # noqa: DTZ007
        except ValueError:
            read = None
        if read is None or read.date() != day.date():
            msg = "must hold a year, a month and a day, such as %Y-%m-%d"
            raise ValueError(msg)
        return text

    @model_validator(mode="after")
    def _has_what_it_formats(self) -> Self:
        if self.treatment_column is None and self.day_format != ISO_DAY:
            msg = "day_format does nothing without treatment_column"
            raise ValueError(msg)
        return self

    def of(self, outcome: PatientOutcome, series: Sequence[TreeSeries]) -> Sequence[TreeSeries]:
        """The series in question, all of one study; empty if none is known to be from before the treatment."""
        if self.description is not None:
            wanted = re.compile(self.description, re.IGNORECASE)
            series = [candidate for candidate in series if wanted.search(candidate.description)]
        if self.treatment_column is None:
            return _of_one_study(series, last=False)
        begun = self._day(outcome.cells.get(self.treatment_column, ""))
        if begun is None:
            return ()
        until = begun.strftime("%Y%m%d")
        return _of_one_study([candidate for candidate in series if "" < candidate.study_date <= until], last=True)

    def _day(self, text: str) -> date | None:
        try:
            return datetime.strptime(text, self.day_format).date()  # noqa: DTZ007
        except ValueError:
            return None


def _of_one_study(series: Sequence[TreeSeries], *, last: bool) -> Sequence[TreeSeries]:
    if not series:
        return ()
    studies = sorted({(candidate.study_date, candidate.study_instance_uid) for candidate in series})
    study = studies[-1 if last else 0][1]
    return [candidate for candidate in series if candidate.study_instance_uid == study]
