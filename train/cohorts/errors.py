"""What can keep a cohort from being read.

::

    CohortError (a TrainError)
    ├── DescriptionRefused     the file that describes a cohort breaks rules: all of them are named
    ├── CohortIncomplete       nothing says where the cohort's CT or outcomes lie
    ├── ClinicalTableRefused   the table of outcomes has faulty rows, or lacks columns: all of them are named
    ├── FeatureTableRefused    a table of features has faulty cells, or is of other patients: all faults are named
    ├── TreeMissing            the folder of DICOM files is not there
    ├── OneCtExpected          a folder does not hold the CT of one study
    ├── FoldsImpossible        too few patients of one outcome for that many folds
    └── FoldsRefused           a file of folds that contradicts itself
"""

from collections.abc import Sequence
from dataclasses import dataclass

from survnode.train.errors import TrainError


@dataclass(frozen=True)
class TableFault:
    """One broken rule of a table.

    Parameters
    ----------
    row : as a text editor counts lines, the header is 1; None for the whole table
    column : its name in the header; empty for the row as a whole
    patient_id : of the row; empty where it has none
    rule : what was expected and what came
    """

    row: int | None
    column: str
    patient_id: str
    rule: str

    def __str__(self) -> str:
        """Where, and what."""
        where = [f"row {self.row}"] * (self.row is not None) + [f"column {self.column!r}"] * bool(self.column)
        return f"{', '.join(where)}: {self.rule}"


class CohortError(TrainError):
    """The root of everything that the cohorts refuse."""


class DescriptionRefused(CohortError):
    """A file that describes a cohort breaks rules; ``faults`` holds every one of them."""

    def __init__(self, file: str, faults: Sequence[str]) -> None:
        self.file, self.faults = file, tuple(faults)
        lines = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(f"The cohort {file} has {len(self.faults)} fault{'s' * (len(self.faults) != 1)}:{lines}")


class CohortIncomplete(CohortError):
    """Neither the description nor the command says where a cohort's CT or outcomes lie."""


class _TableRefused(CohortError):
    """A table breaks rules."""

    def __init__(self, table: str, faults: Sequence[TableFault]) -> None:
        self.table, self.faults = table, tuple(faults)
        lines = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(f"{table} has {len(self.faults)} fault{'s' * (len(self.faults) != 1)}:{lines}")


class ClinicalTableRefused(_TableRefused):
    """A table of outcomes breaks rules; ``faults`` holds every one of them, in the order of the rows."""


class FeatureTableRefused(_TableRefused):
    """A table of features breaks rules; ``faults`` holds every one of them."""


class TreeMissing(CohortError):
    """The folder of DICOM files is not there: check the path and whether the disk is mounted."""


class FoldsImpossible(CohortError):
    """Both outcomes must occur often enough to be in every fold: ask for fewer folds or add patients."""


class FoldsRefused(CohortError):
    """A file of folds is not what `survnode.train.cohorts.folds.write_folds` writes."""


class OneCtExpected(CohortError):
    """A folder that should hold the CT of one study holds none, or those of several."""
