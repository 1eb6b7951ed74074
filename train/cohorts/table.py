"""A cohort from any CSV of outcomes and any tree of DICOM files, joined by the PatientID in the headers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from survnode.model.ct.selection import SeriesChoice, compare
from survnode.train.cohorts.clinical import Columns, MonthRule, Outcome, read_clinical
from survnode.train.cohorts.cohort import Cohort, Patient
from survnode.train.cohorts.dicom_tree import Progress, TreeSeries, index_tree
from survnode.train.cohorts.errors import Fault
from survnode.train.cohorts.exclusions import Exclusion, ExclusionReason
from survnode.train.cohorts.judged import judge_series

SeriesOfPatient = Mapping[str, Sequence[TreeSeries]]


def every_series(outcome: Outcome, series: Sequence[TreeSeries]) -> Sequence[TreeSeries]:
    """All CT series of a patient: no choice by time or words."""
    del outcome
    return series


@dataclass(frozen=True)
class Rules:
    """How a cohort is read.

    Parameters
    ----------
    months : how days become months
    strata : which deaths count as within two years when folds are made
    listed : patients to leave out, and why
    pretreatment : which CT series of a patient come into question
    exclude_faulty : leave patients with a faulty row out instead of refusing the table
    """

    name: str
    columns: Columns
    months: MonthRule = MonthRule.EXACT
    strata: MonthRule = MonthRule.EXACT
    listed: Mapping[str, str] = field(default_factory=dict)
    pretreatment: Callable[[Outcome, Sequence[TreeSeries]], Sequence[TreeSeries]] = every_series
    exclude_faulty: bool = False


def load_cohort(
    clinical: Path,
    tree: Path,
    rules: Rules,
    index: Path,
    *,
    spacing_mm: float,
    indexed: Progress = lambda *_: None,
    judged: Progress = lambda *_: None,
) -> Cohort:
    """The patients with an outcome and a CT that can be analysed; everybody else with a reason.

    Parameters
    ----------
    clinical, tree : the table of outcomes, and the folder of DICOM files in any layout
    index : the file that remembers headers, see `index_tree`
    spacing_mm : between the slices that the model sees, which decides between the series of a patient
    indexed, judged : called with what is done, of how many files and of how many series

    Raises
    ------
    ClinicalTableRefused
        See `read_clinical`.
    TreeMissing
    """
    table = read_clinical(clinical, rules.columns, strict=not rules.exclude_faulty)
    found = index_tree(tree, index, progress=indexed)
    series: dict[str, list[TreeSeries]] = {}
    for one in found.series:
        if one.modality == "CT":
            series.setdefault(one.patient_id, []).append(one)
    known = {outcome.patient_id for outcome in table.outcomes} | {fault.patient_id for fault in table.faults}
    wanted = {outcome.patient_id: _in_question(outcome, series, rules) for outcome in table.outcomes}
    every = [one for candidates in wanted.values() for one in candidates]
    of_series = judge_series(every, index, progress=judged)
    choices = {
        patient_id: compare((of_series[one.series_instance_uid] for one in candidates), spacing_mm)
        for patient_id, candidates in wanted.items()
        if candidates
    }
    patients, exclusions = [], []
    for outcome in table.outcomes:
        excluded = _exclusion(outcome, series, choices.get(outcome.patient_id), rules)
        if excluded is not None:
            exclusions.append(excluded)
        else:
            patients.append(_patient(outcome, wanted[outcome.patient_id], choices[outcome.patient_id], rules))
    exclusions += _faulty(table.faults)
    exclusions += [Exclusion(one, ExclusionReason.NO_OUTCOME) for one in sorted(series) if one not in known]
    return Cohort(rules.name, tuple(patients), tuple(exclusions), found.unreadable)


def _in_question(outcome: Outcome, series: SeriesOfPatient, rules: Rules) -> Sequence[TreeSeries]:
    candidates = series.get(outcome.patient_id, ())
    return rules.pretreatment(outcome, candidates) if candidates else ()


def _exclusion(
    outcome: Outcome, series: SeriesOfPatient, choice: SeriesChoice | None, rules: Rules
) -> Exclusion | None:
    """Why the patient is not in the cohort; None if they are."""
    patient_id = outcome.patient_id
    if patient_id in rules.listed:
        return Exclusion(patient_id, ExclusionReason.LISTED, f"{rules.listed[patient_id]} {_by_geometry(choice)}")
    if patient_id not in series:
        return Exclusion(patient_id, ExclusionReason.NO_CT)
    if choice is None:
        return Exclusion(patient_id, ExclusionReason.NO_PRETREATMENT_CT, f"Of {len(series[patient_id])} CT series.")
    if choice.reason is not None:
        return Exclusion(patient_id, choice.reason, choice.detail)
    return None


def _by_geometry(choice: SeriesChoice | None) -> str:
    """What the headers say of a patient on the list."""
    if choice is None:
        return "There is no CT to judge."
    if choice.reason is None:
        return "The geometry of the CT shows no fault."
    return f"The geometry agrees: {choice.reason}. {choice.detail}".strip()


def _patient(outcome: Outcome, candidates: Sequence[TreeSeries], choice: SeriesChoice, rules: Rules) -> Patient:
    chosen = next(one for one in candidates if one.series_instance_uid == choice.series_instance_uid)
    return Patient(
        id=outcome.patient_id,
        time_months=rules.months.months(outcome.days),
        event=outcome.event,
        died_within_two_years=rules.strata.died_within_two_years(outcome.days, event=outcome.event),
        series_instance_uid=chosen.series_instance_uid,
        paths=chosen.paths,
        key=chosen.key,
        passed_over=tuple(
            (verdict.series_instance_uid, verdict.sentence) for verdict in choice.verdicts if not verdict.chosen
        ),
    )


def _faulty(faults: Iterable[Fault]) -> list[Exclusion]:
    """One exclusion for each faulty patient; rows without an id are told one by one."""
    told: dict[str, list[str]] = {}
    for fault in faults:
        told.setdefault(fault.patient_id or f"(row {fault.row})", []).append(str(fault))
    return [Exclusion(who, ExclusionReason.FAULTY_ROW, "; ".join(rules)) for who, rules in told.items()]
