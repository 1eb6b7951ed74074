"""By what patients are told apart in ``subgroups.csv``, and the decision curve in ``net-benefit.csv``."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from survnode.model.ct.budget import read_file
from survnode.train.cohorts.cohort import Cohort, DicomPatient, Patient, PatientFacts
from survnode.train.measure.benefit import net_benefits
from survnode.train.measure.subgroups import SUBGROUP_FIGURES, subgroups
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.results import Predictions

AGES = (60, 70)  # years: they part LUNG1 (median 68) into three
NOT_KNOWN = "not known"
GROUP_COLUMNS = "subgroup", "of", "patients", "deaths by the horizon", "figure", "value", "low", "high"
CURVE_COLUMNS = "threshold", "model", "low", "high", "everybody", "nobody"
HEADER = {"manufacturer": "Manufacturer", "kernel": "ConvolutionKernel"}


def write_subgroups(out: Path, plan: RunPlan, cohort: Cohort, predictions: Predictions) -> None:
    """Write every figure of each subgroup, and the net benefit at the horizon; the remark stands in every row."""
    rows: list[Sequence[object]] = []
    for it in subgroups(
        cohort.time_months,
        cohort.event,
        predictions.cif,
        predictions.fold,
        values_of(cohort.patients),
        resamples=plan.resamples,
        seed=plan.seed,
    ):
        counted = it.name, it.value, it.patients, it.deaths_by_horizon
        rows += [(*counted, SUBGROUP_FIGURES[name], *estimate.bounds) for name, estimate in it.metrics.items()]
        rows += [(*counted, "", None, None, None)] * (not it.metrics)
    _write(out / "subgroups.csv", GROUP_COLUMNS, rows, predictions)
    curve = net_benefits(predictions.cif, cohort.time_months, cohort.event, resamples=plan.resamples, seed=plan.seed)
    worth = [(it.threshold, it.model, it.low, it.high, it.everybody, 0) for it in curve]
    _write(out / "net-benefit.csv", CURVE_COLUMNS, worth, predictions)


def values_of(patients: Sequence[Patient]) -> Mapping[str, tuple[str, ...]]:
    """The value of each patient by variable; variables of which nothing is known of anybody are left out."""
    each = [_values(patient) for patient in patients]
    found = {name: tuple(values[name] or NOT_KNOWN for values in each) for name in each[0]}
    return {name: values for name, values in found.items() if set(values) != {NOT_KNOWN}}


def _values(patient: Patient) -> dict[str, str]:
    known = patient.known if isinstance(patient, DicomPatient) else PatientFacts()
    paths = patient.paths if isinstance(patient, DicomPatient) else ()
    words = {"sex": known.sex, "age": _age(known.age), "stage": known.stage, "histology": known.histology}
    return {**words, **(_header(paths[0]) if paths else dict.fromkeys(HEADER, ""))}


def _age(years: float | None) -> str:
    if years is None:
        return ""
    low, high = AGES
    return f"under {low}" if years < low else f"{low} to {high - 1}" if years < high else f"{high} and over"


def _header(path: Path) -> dict[str, str]:
    """What the scanner says of itself; of a slice, since all of a series say the same."""
    ds = read_file(path, keywords=list(HEADER.values()), force=True)
    return {name: str(ds.get(keyword) or "").strip() for name, keyword in HEADER.items()}


def _write(path: Path, names: Sequence[str], rows: Sequence[Sequence[object]], predictions: Predictions) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(predictions.header(*names))
        writer.writerows(predictions.marked(*row) for row in rows)
