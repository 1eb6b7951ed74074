"""CLARO and other hospitals' cohorts: their own columns, and only the CT from before the treatment.

CLARO is private: 119 patients with stage III cancer. Its columns are not published, so they are settings.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from survnode.train.cohorts.clinical import Columns, Outcome
from survnode.train.cohorts.dicom_tree import TreeSeries
from survnode.train.cohorts.table import Rules

COLUMNS = Columns(patient_id="PatientID", time="Survival.time", event="deadstatus.event")


@dataclass(frozen=True)
class Pretreatment:
    """Which CT series of a patient are from before the treatment.

    With a column of the day on which treatment began: those of the last study up to that day; none where the cell
    cannot be read as a day. Without one: those of the earliest study. Studies without a date count only there, as the
    earliest.

    Parameters
    ----------
    treatment_column : of the clinical table
    day_format : of its cells, as `datetime.strptime` reads them
    description : regular expression, any case, that the description of the study or the series must contain
    """

    treatment_column: str | None = None
    day_format: str = "%Y-%m-%d"
    description: str | None = None

    def __call__(self, outcome: Outcome, series: Sequence[TreeSeries]) -> Sequence[TreeSeries]:
        """The series in question, all of one study; empty if none is known to be from before the treatment."""
        if self.description is not None:
            wanted = re.compile(self.description, re.IGNORECASE)
            series = [one for one in series if wanted.search(one.description)]
        if self.treatment_column is None:
            return _of_one_study(series, last=False)
        begun = self._day(outcome.cells.get(self.treatment_column, ""))
        if begun is None:
            return ()
        until = begun.strftime("%Y%m%d")
        return _of_one_study([one for one in series if "" < one.study_date <= until], last=True)

    def _day(self, text: str) -> date | None:
        try:
            return datetime.strptime(text, self.day_format).date()  # noqa: DTZ007  a day has no time zone
        except ValueError:
            return None


def rules(columns: Columns = COLUMNS, pretreatment: Pretreatment | None = None, *, name: str = "claro") -> Rules:
    """How the cohort is read."""
    pretreatment = pretreatment or Pretreatment()
    if pretreatment.treatment_column is not None:
        columns = replace(columns, others=(*columns.others, pretreatment.treatment_column))
    return Rules(name, columns, pretreatment=pretreatment)


def _of_one_study(series: Sequence[TreeSeries], *, last: bool) -> Sequence[TreeSeries]:
    if not series:
        return ()
    studies = sorted({(one.study_date, one.study_instance_uid) for one in series})
    study = studies[-1 if last else 0][1]
    return [one for one in series if one.study_instance_uid == study]
