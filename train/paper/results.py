"""What a system predicted for patients that it had not seen, as the tables and figures want it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Result:
    """A system's predictions for its test patients, in the order of the cohort.

    Parameters
    ----------
    patients : (B,) ids
    folds : (B,) the fold that tested each patient
    time_months, event : (B,) what became of them
    cif : (B, K), as `Prediction.cif`
    attention : for each patient (S,), feet to head, sums to 1; empty from a network without slices
    """

    patients: tuple[str, ...]
    folds: NDArray[np.int64]
    time_months: FloatArray
    event: NDArray[np.bool_]
    cif: FloatArray
    attention: tuple[FloatArray, ...] = ()

    def of(self, patients: tuple[str, ...]) -> Self:
        """The same for these patients only, in their order."""
        row_of = {patient: row for row, patient in enumerate(self.patients)}
        rows = [row_of[patient] for patient in patients]
        return type(self)(
            patients,
            self.folds[rows],
            self.time_months[rows],
            self.event[rows],
            self.cif[rows],
            tuple(self.attention[row] for row in rows) if self.attention else (),
        )

    def incidence_at(self, row: int) -> float:
        """The predicted cumulative incidence of a patient at the end of the month in which follow-up ended."""
        last = self.cif.shape[1] - 1
        return float(self.cif[row, min(int(self.time_months[row]), last)])
