"""``survnode experiment``: the paper's questions by name."""
# ruff: noqa: PLC0415  torch and all that needs it is loaded when a command runs, not for --help

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from survnode.train.commands.options import (
    AllowOverlap,
    Cache,
    Clinical,
    CohortOption,
    Data,
    Deidentified,
    Device,
    Features,
    Json,
    PresetOption,
    Settings,
    TrainingCommand,
    Workers,
    cache_folder,
    processes,
    usable_folder,
)
from survnode.train.commands.terminal import Bars, bars, show_entries

if TYPE_CHECKING:
    from survnode.train.cohorts.cohort import Cohort
    from survnode.train.cohorts.description import CohortDescription
    from survnode.train.cohorts.feature_table import FeatureTable
    from survnode.train.paper.bench import Bench
    from survnode.train.paper.experiments import BesideImage, Experiment, Population

app = typer.Typer(
    help="The paper's questions as named experiments, and their report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="See list; without a name: all of them.")]
Encoder = Annotated[str, typer.Option(help="In the place of the paper's; efficientnet_lite0 needs no download.")]


@app.command("list")
def list_experiments(encoder: Encoder = "efficientnet_b0", as_json: Json = False) -> None:
    """The questions, and the systems that each compares."""
    known = _experiments(encoder)
    if as_json:
        typer.echo(json.dumps([_as_json(experiment) for experiment in known.values()], indent=2))
        return
    show_entries(map(_entry, known.values()))


def _entry(experiment: "Experiment") -> tuple[str, list[str]]:
    titles = "; ".join(dict.fromkeys(system.title for system in experiment.systems))
    runs = f"{len(experiment.systems)} runs" if len(experiment.systems) > 1 else "1 run"
    return f"{experiment.name} ({experiment.shows}, {runs})", [experiment.question, titles]


@app.command("run", cls=TrainingCommand)
def run_experiments(  # noqa: PLR0913, PLR0917  each is an option of the command
    cohort: CohortOption,
    out: Annotated[Path, typer.Option(callback=usable_folder, help="Folder of the experiments.", show_default=False)],
    names: Names = None,
    data: Data = None,
    clinical: Clinical = None,
    deidentified: Deidentified = False,
    features: Features = None,
    second: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE.toml", help="The small cohort of q4-transfer; without it q4 cannot run."),
    ] = None,
    second_data: Data = None,
    second_clinical: Clinical = None,
    preset: PresetOption = "paper",
    settings: Settings = None,
    encoder: Encoder = "efficientnet_b0",
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and networks.")] = 42,
    allow_overlap: AllowOverlap = False,
    cache: Cache = None,
    workers: Workers = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Train and test what the named experiments compare; what is there already is not made again.

    A system whose weights or cohort are not there says so, and the others run. Exit code 1: none of them ran.
    q5-cost trains nothing: alone it prints what each system costs, and reads no cohort.
    """
    if second is None and (second_data is not None or second_clinical is not None):
        raise typer.BadParameter("--second-data and --second-clinical do nothing without --second.")
    from survnode.model.net.trunks import EncoderName
    from survnode.train.cohorts.description import describe
    from survnode.train.paper.bench import Bench
    from survnode.train.presets import preset_recipe, with_settings

    chosen = _chosen(names, encoder)
    if not any(experiment.trains for experiment in chosen):
        _show_costs(chosen, as_json=as_json)
        return
    first = describe(cohort, data, clinical, deidentified=deidentified)
    bench = Bench(
        out=out,
        caches=cache_folder(cache),
        recipe=with_settings(preset_recipe(preset), settings or []),
        encoder=EncoderName(encoder),
        folds=folds,
        seed=seed,
        workers=processes(workers, device),
        device=device,
        tables=_tables(first, features),
        allow_overlap=allow_overlap,
    )
    other = None if second is None else describe(second, second_data, second_clinical, deidentified=deidentified)
    with bars() as listener:
        cohorts, missing = _cohorts(first, other, bench, listener)
        rows = list(_run(bench, chosen, cohorts, missing, listener))
    _show(rows, out, as_json=as_json)
    if not any(row["patients"] for row in rows):
        raise typer.Exit(1)


@app.command(cls=TrainingCommand)
def report(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the experiments.")],
    as_json: Json = False,
) -> None:
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
    from survnode.train.presets import PRESETS, Preset, differences

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
    first: "CohortDescription", second: "CohortDescription | None", bench: "Bench", listener: Bars
) -> "tuple[dict[Population, Cohort], dict[Population, str]]":
    """The cohorts, and why the second one is not there; without the first one there is nothing to do."""
    from survnode.train.errors import TrainError
    from survnode.train.paper.experiments import Population

    cohorts = {Population.FIRST: _load(first, bench, listener)}
    if second is None:
        return cohorts, {}
    try:
        cohorts[Population.SECOND] = _load(second, bench, listener)
    except TrainError as error:
        return cohorts, {Population.SECOND: str(error)}
    return cohorts, {}


def _tables(first: "CohortDescription", features: Path | None) -> "dict[BesideImage, FeatureTable | str]":
    """What is known beside the image; a table of features must be right, a clinical one may have its reasons."""
    from survnode.train.cohorts.description import TableDescription
    from survnode.train.cohorts.feature_table import read_features
    from survnode.train.errors import TrainError
    from survnode.train.paper.experiments import BesideImage

    tables: dict[BesideImage, FeatureTable | str] = {}
    if features is not None:
        tables[BesideImage.FEATURES] = read_features(features)
    if isinstance(first, TableDescription) and first.clinical is not None and first.clinical_variables:
        try:
            tables[BesideImage.CLINICAL] = read_features(
                first.clinical, first.columns.patient_id, first.clinical_variables
            )
        except TrainError as error:
            tables[BesideImage.CLINICAL] = str(error)
    return tables


def _load(described: "CohortDescription", bench: "Bench", listener: Bars) -> "Cohort":
    from survnode.train.cohorts.reading import load

    return load(described, bench.caches, bench.recipe.reading, listener=listener, workers=bench.workers)


def _run(
    bench: "Bench",
    chosen: "Iterable[Experiment]",
    cohorts: "dict[Population, Cohort]",
    missing: "dict[Population, str]",
    listener: Bars,
) -> Iterator[dict[str, JsonValue]]:
    """Run, then one row a system: what came of it."""
    from survnode.train.paper.bench import read_findings, run_systems
    from survnode.train.paper.experiments import needed
    from survnode.train.paper.tables import mean_of_folds

    systems = needed(chosen, bench.reference)
    run_systems(bench, systems, cohorts, missing, listener)
    findings = read_findings(bench, systems, cohorts)
    for system in systems:
        result = findings.results.get(system.name)
        yield {
            "system": system.name,
            "patients": 0 if result is None else len(result.patients),
            "ctd": None if result is None else _rounded(mean_of_folds(result)),
            "remark": findings.why(system),
        }


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _show(rows: list[dict[str, JsonValue]], out: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"out": str(out), "systems": rows}, indent=2))
        return
    table = Table("system", "patients", "C-td, mean of folds", "remark", title=str(out))
    for row in rows:
        table.add_row(*("–" if value is None else str(value) for value in row.values()))
    Console().print(table)


def _show_costs(chosen: "Iterable[Experiment]", *, as_json: bool) -> None:
    """Print what the systems cost."""
    from survnode.train.paper.report import cost_or_reason

    systems = dict.fromkeys(system for experiment in chosen for system in experiment.systems)
    costs = [(f"{system.title}, {system.strategy}", cost_or_reason(system)) for system in systems]
    rows: list[dict[str, JsonValue]] = [
        {"system": title, "parameters": None, "trained": None, "gflops": None, "remark": cost}
        if isinstance(cost, str)
        else {
            "system": title,
            "parameters": cost.parameters,
            "trained": cost.trained,
            "gflops": round(cost.flops / 1e9, 1),
            "remark": "",
        }
        for title, cost in costs
    ]
    if as_json:
        typer.echo(json.dumps({"systems": rows}, indent=2))
        return
    table = Table("system", "parameters", "of them trained", "GFLOPs at 72 slices", "remark")
    for row in rows:
        table.add_row(*("–" if value is None else str(value) for value in row.values()))
    Console().print(table)


def _as_json(experiment: "Experiment") -> dict[str, JsonValue]:
    systems: list[JsonValue] = [
        {"name": system.name, "title": system.title, "strategy": system.strategy, "start": str(system.start)}
        for system in experiment.systems
    ]
    return {"name": experiment.name, "question": experiment.question, "shows": experiment.shows, "systems": systems}
