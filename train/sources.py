"""A cohort by its name: where it lies, and how it is read."""

from dataclasses import dataclass, replace
from pathlib import Path

from survnode.train.cohorts import claro, lung1, phantom_tree
from survnode.train.cohorts.clinical import Columns, MonthRule, TimeUnit
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.table import Rules, load_cohort
from survnode.train.errors import CohortUnnamed
from survnode.train.journal import PROGRESS, Tell
from survnode.train.names import CohortName


@dataclass(frozen=True)
class Source:
    """What the command line says of a cohort; see `survnode.train.commands.options`."""

    cohort: CohortName
    data: Path
    clinical: Path | None = None
    patients: int = 240
    seed: int = 1
    id_column: str | None = None
    time_column: str | None = None
    event_column: str | None = None
    unit: TimeUnit = TimeUnit.DAYS
    treatment_column: str | None = None
    day_format: str = "%Y-%m-%d"
    description: str | None = None
    paper_exclusions: bool = True
    exclude_faulty: bool = False


def load(source: Source, months: MonthRule, spacing_mm: float, caches: Path, tell: Tell, workers: int = 1) -> Cohort:
    """The cohort; phantoms are written first where there are none.

    Parameters
    ----------
    spacing_mm : between the slices that the model sees
    caches : what headers say is kept there
    workers : processes that paint phantoms

    Raises
    ------
    CohortUnnamed
        A table or its columns were not named.
    ClinicalTableRefused, TreeMissing
    """
    rules = rules_of(source, months)
    clinical = source.clinical
    if clinical is None and source.cohort is CohortName.PHANTOM:
        clinical = _phantoms(source, tell, workers)
    if clinical is None:
        raise CohortUnnamed(f"The cohort {source.cohort} needs --clinical, a CSV of outcomes.")
    if not clinical.is_file():
        raise CohortUnnamed(f"{clinical} is not a file.")

    def report(stage: str, done: int, total: int) -> None:
        tell(PROGRESS, stage=stage, done=done, total=total)

    return load_cohort(
        clinical,
        source.data,
        rules,
        caches / "headers.sqlite",
        spacing_mm=spacing_mm,
        indexed=lambda done, total: report("headers", done, total),
        judged=lambda done, total: report("series", done, total),
    )


def rules_of(source: Source, months: MonthRule) -> Rules:
    """How the cohort is read."""
    match source.cohort:
        case CohortName.LUNG1:
            rules = lung1.rules(months, paper_exclusions=source.paper_exclusions)
        case CohortName.CLARO:
            pretreatment = claro.Pretreatment(source.treatment_column, source.day_format, source.description)
            rules = replace(claro.rules(_columns(source, claro.COLUMNS), pretreatment), months=months)
        case CohortName.TABLE:
            rules = Rules("table", _columns(source, None), months)
        case CohortName.PHANTOM:
            rules = phantom_tree.rules(months)
    return replace(rules, exclude_faulty=source.exclude_faulty)


def _columns(source: Source, default: Columns | None) -> Columns:
    named = {"patient_id": source.id_column, "time": source.time_column, "event": source.event_column}
    given = {field: name for field, name in named.items() if name is not None}
    if default is None and len(given) < len(named):
        raise CohortUnnamed("A table of outcomes needs --id-column, --time-column and --event-column.")
    columns = replace(default or Columns("", "", ""), unit=source.unit)
    return replace(columns, **given)  # type: ignore[arg-type]  # three fields that are text


def _phantoms(source: Source, tell: Tell, workers: int) -> Path:
    """The table of the phantoms at ``data``, written if it is not there."""
    clinical = source.data / phantom_tree.CLINICAL
    if not clinical.exists():
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            tell(PROGRESS, stage="phantoms", done=done, total=source.patients)

        drawn = phantom_tree.draw(source.patients, source.seed)
        phantom_tree.write_tree(source.data, drawn, workers=workers, done=count)
    return clinical
