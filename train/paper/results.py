"""What a system predicted for patients that it had not seen, as the tables and figures want it."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from survnode.train.cohorts.cohort import Cohort

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
    remark : what a reader must know of every figure of these predictions; empty if there is nothing
    """

    patients: tuple[str, ...]
    folds: NDArray[np.int64]
    time_months: FloatArray
    event: NDArray[np.bool_]
    cif: FloatArray
    attention: tuple[FloatArray, ...] = ()
    remark: str = ""

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
            self.remark,
        )

    def incidence_at(self, row: int) -> float:
        """The predicted cumulative incidence of a patient when follow-up ended, in a line between the months' ends."""
        curve = np.concatenate([[0.0], self.cif[row]])
        return float(np.interp(self.time_months[row], np.arange(len(curve)), curve))


def read_run(folder: Path, cohort: Cohort) -> Result:
    """The predictions in the folder of a finished run, see `survnode.train.runs.run`."""
    rows = _by_patient(folder / "predictions.csv")
    patients = tuple(rows)
    attention = _by_patient(folder / "attention.csv") if (folder / "attention.csv").exists() else {}
    of_patient = {patient.id: patient for patient in cohort.patients}
    return Result(
        patients,
        np.array([int(rows[patient][0]["fold"]) for patient in patients], np.int64),
        np.array([of_patient[patient].time_months for patient in patients], np.float64),
        np.array([of_patient[patient].event for patient in patients], np.bool_),
        np.stack([_column(rows[patient], "cif") for patient in patients]),
        tuple(_column(attention[patient], "attention") for patient in patients) if attention else (),
        rows[patients[0]][0].get("remark", ""),
    )


def _by_patient(path: Path) -> dict[str, list[Mapping[str, str]]]:
    """The rows of each patient, in the order of the file."""
    rows: dict[str, list[Mapping[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["patient"], []).append(row)
    return rows


def _column(rows: list[Mapping[str, str]], name: str) -> FloatArray:
    return np.array([float(row[name]) for row in rows], np.float64)
