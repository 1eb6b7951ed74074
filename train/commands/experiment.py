"""``survnode experiment``: the paper's questions by name."""
# ruff: noqa: PLC0415  torch and all that needs it is loaded when a command runs, not for --help

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from survnode.train.cohorts.clinical import TimeUnit
from survnode.train.commands.options import (
    Cache,
    Clinical,
    CohortOption,
    CtDescription,
    DayFormat,
    Device,
    EventColumn,
    ExcludeFaulty,
    IdColumn,
    Json,
    PaperExclusions,
    Patients,
    TimeColumn,
    TrainingCommand,
    TreatmentColumn,
    Unit,
    Workers,
)
from survnode.train.commands.terminal import Bars, bars
from survnode.train.names import CohortName, Preset

if TYPE_CHECKING:
    from survnode.train.cohorts.cohort import Cohort
    from survnode.train.paper.bench import Bench
    from survnode.train.paper.experiments import Experiment, Population
    from survnode.train.sources import Source

app = typer.Typer(
    help="The paper's questions as named experiments, and their report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="See list; without a name: all of them.")]
Encoder = Annotated[str, typer.Option(help="In the place of the paper's; efficientnet_lite0 needs no download.")]
Out = Annotated[Path, typer.Option(help="Folder of the experiments.", show_default=False)]


@app.command("list")
def list_experiments(encoder: Encoder = "efficientnet_b0", as_json: Json = False) -> None:
    """The questions, and the systems that each compares."""
    known = _experiments(encoder)
    if as_json:
        typer.echo(json.dumps([_as_json(one) for one in known.values()], indent=2))
        return
    table = Table("name", "remakes", "question", "systems", "runs", show_lines=True)
    for one in known.values():
        titles = dict.fromkeys(system.title for system in one.systems)
        table.add_row(one.name, one.shows, one.question, "; ".join(titles), str(len(one.systems)))
    Console().print(table)


@app.command("run", cls=TrainingCommand)
def run_experiments(  # noqa: PLR0913, PLR0917  each is an option of the command
    cohort: CohortOption,
    data: Annotated[Path, typer.Option(help="Folder of DICOM files in any layout.", show_default=False)],
    out: Out,
    names: Names = None,
    clinical: Clinical = None,
    second: Annotated[CohortName, typer.Option(help="The small cohort of q4-transfer.")] = CohortName.CLARO,
    second_data: Annotated[Path | None, typer.Option(help="Its DICOM files; without them q4 cannot run.")] = None,
    second_clinical: Annotated[Path | None, typer.Option(help="Its CSV of outcomes.")] = None,
    second_id_column: IdColumn = None,
    second_time_column: TimeColumn = None,
    second_event_column: EventColumn = None,
    second_unit: Unit = TimeUnit.DAYS,
    second_treatment_column: TreatmentColumn = None,
    second_day_format: DayFormat = "%Y-%m-%d",
    second_ct_description: CtDescription = None,
    preset: Annotated[Preset, typer.Option(help="Preprocessing and fit.")] = Preset.PAPER,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting; repeatable.")
    ] = None,
    encoder: Encoder = "efficientnet_b0",
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and networks.")] = 42,
    patients: Patients = 240,
    id_column: IdColumn = None,
    time_column: TimeColumn = None,
    event_column: EventColumn = None,
    unit: Unit = TimeUnit.DAYS,
    treatment_column: TreatmentColumn = None,
    day_format: DayFormat = "%Y-%m-%d",
    ct_description: CtDescription = None,
    paper_exclusions: PaperExclusions = True,
    exclude_faulty: ExcludeFaulty = False,
    cache: Cache = None,
    workers: Workers = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Train and test what the named experiments compare; what is there already is not made again.

    A system whose weights or cohort are not there says so, and the others run. Exit code 1: none of them ran.
    """
    from platformdirs import user_cache_path

    from survnode.model.net.trunks import EncoderName
    from survnode.train.paper.bench import Bench
    from survnode.train.presets import PRESETS, with_settings
    from survnode.train.sources import Source

    chosen = _chosen(names, encoder)
    bench = Bench(
        out, cache or user_cache_path("survnode"), with_settings(PRESETS[preset], settings or []), EncoderName(encoder),
        folds, seed, workers or ((os.cpu_count() or 1) if device == "cpu" else 1), device,
    )  # fmt: skip
    first = Source(
        cohort, data, clinical, patients, id_column=id_column, time_column=time_column, event_column=event_column,
        unit=unit, treatment_column=treatment_column, day_format=day_format, description=ct_description,
        paper_exclusions=paper_exclusions, exclude_faulty=exclude_faulty,
    )  # fmt: skip
    other = None if second_data is None else Source(
        second, second_data, second_clinical, patients, seed=2, id_column=second_id_column,
        time_column=second_time_column, event_column=second_event_column, unit=second_unit,
        treatment_column=second_treatment_column, day_format=second_day_format, description=second_ct_description,
        exclude_faulty=exclude_faulty,
    )  # fmt: skip
    with bars() as told:
        cohorts, missing = _cohorts(first, other, bench, told)
        rows = list(_run(bench, chosen, cohorts, missing, told))
    _show(rows, out, as_json=as_json)
    if not any(row["patients"] for row in rows):
        raise typer.Exit(1)


@app.command(cls=TrainingCommand)
def report(out: Out, as_json: Json = False) -> None:
    """Write the paper's tables and figures of whatever has run, as HTML with CSV, PNG and SVG, to OUT/report."""
    from survnode.train.paper.bench import read_bench, read_cohorts, read_findings, slices_of
    from survnode.train.paper.experiments import Population, experiments, needed
    from survnode.train.paper.report import write_report

    bench, cohorts = read_bench(out), read_cohorts(out)
    known = experiments(bench.encoder)
    findings = read_findings(bench, needed(known.values(), bench.reference), cohorts)
    first = cohorts[Population.FIRST]
    page = write_report(
        out / "report", known, findings, list(cohorts.values()), lambda who: slices_of(bench, first, who), origin(bench)
    )
    typer.echo(json.dumps({"report": str(page)}) if as_json else str(page))


def origin(bench: "Bench") -> str:
    """A sentence on how the systems of a folder were trained."""
    from survnode.train.presets import PRESETS, differences

    changed = [f"{name} = {value}" for name, _, value in differences(PRESETS[Preset.PAPER], bench.recipe)]
    settings = f"Settings other than the paper's: {', '.join(changed)}." if changed else "Settings: the paper's."
    return f"{bench.folds} folds, seed {bench.seed}, reference encoder {bench.encoder}. {settings}"


def _experiments(encoder: str) -> "dict[str, Experiment]":
    from survnode.model.net.trunks import EncoderName
    from survnode.train.paper.experiments import experiments

    if encoder not in list(EncoderName):
        raise typer.BadParameter(f"expected one of {', '.join(EncoderName)}, not {encoder}", param_hint="--encoder")
    return experiments(EncoderName(encoder))


def _chosen(names: list[str] | None, encoder: str) -> "list[Experiment]":
    known = _experiments(encoder)
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise typer.BadParameter(f"expected some of {', '.join(known)}, not {', '.join(unknown)}", param_hint="NAME")
    return [known[name] for name in names or known]


def _cohorts(
    first: "Source", second: "Source | None", bench: "Bench", told: Bars
) -> "tuple[dict[Population, Cohort], dict[Population, str]]":
    """The cohorts, and why the second one is not there; without the first one there is nothing to do."""
    from survnode.train.errors import TrainError
    from survnode.train.paper.experiments import Population
    from survnode.train.sources import load

    months, spacing_mm = bench.recipe.months, bench.recipe.preprocessing.slice_spacing_mm
    cohorts = {Population.FIRST: load(first, months, spacing_mm, bench.caches, told, bench.workers)}
    if second is None:
        return cohorts, {}
    try:
        cohorts[Population.SECOND] = load(second, months, spacing_mm, bench.caches, told, bench.workers)
    except TrainError as error:
        return cohorts, {Population.SECOND: str(error)}
    return cohorts, {}


def _run(
    bench: "Bench",
    chosen: "Iterable[Experiment]",
    cohorts: "dict[Population, Cohort]",
    missing: "dict[Population, str]",
    told: Bars,
) -> Iterator[dict[str, JsonValue]]:
    """Run, then one row a system: what came of it."""
    from survnode.train.paper.bench import read_findings, run_systems
    from survnode.train.paper.experiments import needed
    from survnode.train.paper.tables import pooled

    systems = needed(chosen, bench.reference)
    run_systems(bench, systems, cohorts, missing, told)
    findings = read_findings(bench, systems, cohorts)
    for system in systems:
        result = findings.results.get(system.name)
        yield {
            "system": system.name,
            "patients": 0 if result is None else len(result.patients),
            "ctd": None if result is None else round(pooled(result), 4),
            "remark": findings.why(system),
        }


def _show(rows: list[dict[str, JsonValue]], out: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"out": str(out), "systems": rows}, indent=2))
        return
    table = Table("system", "patients", "C-td, pooled", "remark", title=str(out))
    for row in rows:
        table.add_row(*("–" if value is None else str(value) for value in row.values()))
    Console().print(table)


def _as_json(one: "Experiment") -> dict[str, JsonValue]:
    systems: list[JsonValue] = [
        {"name": system.name, "title": system.title, "strategy": system.strategy, "start": str(system.start)}
        for system in one.systems
    ]
    return {"name": one.name, "question": one.question, "shows": one.shows, "systems": systems}
