"""Who is not in a cohort, or in it with a warning, and why: nobody is left out in silence."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from survnode.model.ct.coverage import CoverageWarning
from survnode.model.errors import Explained, Reason


class ExclusionReason(Explained):
    """Why a patient is not in the cohort, where the CT itself is not the reason."""

    LISTED = "LISTED", "The patient is on the cohort's list of exclusions."
    FAULTY_ROW = "FAULTY_ROW", "The row in the clinical table breaks a rule."
    NO_CT = "NO_CT", "The clinical table has the patient, the DICOM files hold no CT of this PatientID."
    NO_OUTCOME = "NO_OUTCOME", "The DICOM files hold a CT, the clinical table has no row with this PatientID."
    NO_PRETREATMENT_CT = "NO_PRETREATMENT_CT", "No CT is known to be from before the treatment."


@dataclass(frozen=True)
class Exclusion:
    """A patient who is not in the cohort.

    Parameters
    ----------
    reason : of the table, or why the CT cannot be analysed
    detail : what was expected and what came
    """

    patient_id: str
    reason: ExclusionReason | Reason
    detail: str = ""


@dataclass(frozen=True)
class Warned:
    """A patient who is in the cohort, with what is to be known of the CT."""

    patient_id: str
    warning: CoverageWarning


def write_exclusions(path: Path, exclusions: Iterable[Exclusion], warned: Iterable[Warned] = ()) -> None:
    """Write one row for each patient who is left out (analysed: no), and for each warning of another one (yes)."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "reason", "sentence", "detail", "analysed"])
        writer.writerows([it.patient_id, it.reason, it.reason.sentence, it.detail, "no"] for it in exclusions)
        writer.writerows([it.patient_id, it.warning, it.warning.sentence, "", "yes"] for it in warned)
