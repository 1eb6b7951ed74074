"""NSCLC-Radiomics (LUNG1), as The Cancer Imaging Archive gives it away: doi 10.7937/K9/TCIA.2015.PF0M9REI.

422 patients, 423 CT series in any of the archive's layouts; segmentations (RTSTRUCT, SEG) are not looked at.
"""

from pathlib import Path

from survnode.train.cohorts.clinical import Columns, MonthRule, Outcome, TimeUnit, read_clinical
from survnode.train.cohorts.table import Rules

COLUMNS = Columns(
    patient_id="PatientID",
    time="Survival.time",
    event="deadstatus.event",
    unit=TimeUnit.DAYS,
    died=frozenset({"1"}),
    alive=frozenset({"0"}),
    missing=frozenset({"na"}),
)
EXCLUDED_BY_THE_PAPER = ("014", "021", "085", "095", "128", "194", "246")


def rules(months: MonthRule = MonthRule.EXACT, *, paper_exclusions: bool = True) -> Rules:
    """How LUNG1 is read.

    Folds are stratified by the rule of the paper's published code, whatever ``months`` is: they are the paper's folds.

    Parameters
    ----------
    paper_exclusions : leave out the seven patients that the paper names; without it, geometry alone decides
    """
    why = "The paper excludes the patient: slices are missing."
    listed = {f"LUNG1-{number}": why for number in EXCLUDED_BY_THE_PAPER} if paper_exclusions else {}
    return Rules("lung1", COLUMNS, months, MonthRule.RELEASED, listed)


def paper_outcomes(clinical: Path) -> tuple[Outcome, ...]:
    """The outcomes of the paper's 415 patients, from the table alone.

    Raises
    ------
    ClinicalTableRefused
    """
    excluded = rules().listed
    return tuple(one for one in read_clinical(clinical, COLUMNS).outcomes if one.patient_id not in excluded)
