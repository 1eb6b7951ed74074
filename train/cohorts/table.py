"""A cohort from any CSV of outcomes and any tree of DICOM files, joined by the PatientID in the headers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from survnode.model.ct.selection import SeriesChoice, compare
from survnode.train.cohorts.clinical import PatientOutcome, Reading, age_in, read_clinical, stage_in, word_in
from survnode.train.cohorts.cohort import Cohort, DicomPatient, PatientFacts
from survnode.train.cohorts.description import TableDescription
from survnode.train.cohorts.dicom_tree import Progress, TreeSeries, index_tree
from survnode.train.cohorts.errors import CohortIncomplete, TableFault
from survnode.train.cohorts.exclusions import Exclusion, ExclusionReason
from survnode.train.cohorts.judged import judge_series
from survnode.train.cohorts.nifti import read_nifti_cohort

SeriesOfPatient = Mapping[str, Sequence[TreeSeries]]


def read_table(
    described: TableDescription,
    index: Path,
    reading: Reading,
    *,
    indexed: Progress = lambda *_: None,
    judged: Progress = lambda *_: None,
) -> Cohort:
    """The patients with an outcome and a CT that can be analysed; everybody else with a reason.

    Parameters
    ----------
    index : the file that remembers headers, see `index_tree`
    indexed, judged : called with what is done, of how many files and of how many series

    Raises
    ------
    CohortIncomplete
        The description does not say where CT and outcomes lie.
    ClinicalTableRefused
        See `read_clinical`.
    TreeMissing
    """
    if described.clinical is None or described.data is None:
        raise CohortIncomplete(f"The cohort {described.name} needs its table of outcomes and its DICOM files.")
    table = read_clinical(
        described.clinical, described.columns, others=_others(described), strict=not described.exclude_faulty
    )
    if described.nifti is not None:
        return read_nifti_cohort(described, table.outcomes, _faulty(table.faults), reading)
    tree = index_tree(described.data, index, progress=indexed)
    series, drawings = (_by_patient(tree.series, modalities) for modalities in (("CT",), ("RTSTRUCT", "SEG")))
    known = {outcome.patient_id for outcome in table.outcomes} | {fault.patient_id for fault in table.faults}
    wanted = {outcome.patient_id: _in_question(outcome, series, described) for outcome in table.outcomes}
    every = [candidate for candidates in wanted.values() for candidate in candidates]
    of_series = judge_series(every, index, deidentified=described.deidentified, progress=judged)
    choices = {
        patient_id: compare((of_series[candidate.series_instance_uid] for candidate in candidates), reading.spacing_mm)
        for patient_id, candidates in wanted.items()
        if candidates
    }
    patients, exclusions = [], []
    for outcome in table.outcomes:
        excluded = _exclusion(outcome, series, choices.get(outcome.patient_id), described)
        if excluded is not None:
            exclusions.append(excluded)
        else:
            chosen = choices[outcome.patient_id]
            source = _source(wanted[outcome.patient_id], chosen)
            patients.append(_patient(outcome, reading, described, source, drawings.get(outcome.patient_id, ())))
    exclusions += _faulty(table.faults)
    exclusions += [Exclusion(who, ExclusionReason.NO_OUTCOME) for who in sorted(series) if who not in known]
    return Cohort(
        described.name,
        tuple(patients),
        tuple(exclusions),
        tree.unreadable,
        deidentified=described.deidentified,
    )


def _by_patient(series: Iterable[TreeSeries], modalities: Sequence[str]) -> dict[str, list[TreeSeries]]:
    """The series of these modalities."""
    found: dict[str, list[TreeSeries]] = {}
    for candidate in series:
        if candidate.modality in modalities:
            found.setdefault(candidate.patient_id, []).append(candidate)
    return found


def _others(described: TableDescription) -> tuple[str, ...]:
    """The columns that the table must have besides those of every table."""
    pretreatment = described.pretreatment
    if pretreatment is None or pretreatment.treatment_column is None:
        return ()
    return (pretreatment.treatment_column,)


def _in_question(outcome: PatientOutcome, series: SeriesOfPatient, described: TableDescription) -> Sequence[TreeSeries]:
    """The CT series of a patient from which one is chosen."""
    candidates = series.get(outcome.patient_id, ())
    return candidates if described.pretreatment is None else described.pretreatment.of(outcome, candidates)


def _exclusion(
    outcome: PatientOutcome, series: SeriesOfPatient, choice: SeriesChoice | None, described: TableDescription
) -> Exclusion | None:
    """Why the patient is not in the cohort; None if they are."""
    patient_id = outcome.patient_id
    if patient_id in described.exclusions:
        why = f"{described.exclusions[patient_id]} {_by_geometry(choice)}"
        return Exclusion(patient_id, ExclusionReason.LISTED, why)
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


@dataclass(frozen=True)
class _Source:
    """The series that a patient is analysed by, and why the others are passed over."""

    series: TreeSeries
    passed_over: tuple[tuple[str, str], ...]


def _source(candidates: Sequence[TreeSeries], choice: SeriesChoice) -> _Source:
    chosen = next(series for series in candidates if series.series_instance_uid == choice.series_instance_uid)
    others = (verdict for verdict in choice.verdicts if not verdict.chosen)
    return _Source(chosen, tuple((verdict.series_instance_uid, verdict.sentence) for verdict in others))


def _patient(
    outcome: PatientOutcome,
    reading: Reading,
    described: TableDescription,
    source: _Source,
    drawings: Sequence[TreeSeries],
) -> DicomPatient:
    return DicomPatient(
        id=outcome.patient_id,
        time_months=reading.months.months(outcome.days),
        event=outcome.event,
        died_within_two_years=described.strata.died_within_two_years(outcome.days, event=outcome.event),
        series_instance_uid=source.series.series_instance_uid,
        paths=source.series.paths,
        key=source.series.key,
        passed_over=source.passed_over,
        deidentified=described.deidentified,
        known=PatientFacts(
            age=age_in(outcome.cells, described.columns),
            stage=stage_in(outcome.cells, described.columns),
            drawings=tuple(path for series in drawings for path in series.paths),
            tumour=described.tumour,
            sex=word_in(outcome.cells, described.columns.sex, described.columns),
            histology=word_in(outcome.cells, described.columns.histology, described.columns),
        ),
    )


def _faulty(faults: Iterable[TableFault]) -> list[Exclusion]:
    """One exclusion for each faulty patient; rows without an id are told one by one."""
    rules: dict[str, list[str]] = {}
    for fault in faults:
        rules.setdefault(fault.patient_id or f"(row {fault.row})", []).append(str(fault))
    return [Exclusion(who, ExclusionReason.FAULTY_ROW, "; ".join(broken)) for who, broken in rules.items()]
