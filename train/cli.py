"""``survnode train`` and ``survnode evaluate``: long work with progress bars, then what was measured."""
# ruff: noqa: PLC0415  torch and all that needs it is loaded when a command runs, not for --help

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from survnode.train.cohorts.clinical import TimeUnit
from survnode.train.commands.experiment import app as experiment_app
from survnode.train.commands.options import (
    Cache,
    Clinical,
    CohortOption,
    CtDescription,
    Data,
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
from survnode.train.commands.terminal import COLUMNS, bars, show_evaluation
from survnode.train.errors import TrainError
from survnode.train.names import CohortName, Preset

if TYPE_CHECKING:
    from pydantic import JsonValue

    from survnode.model.checkpoint import Card
    from survnode.train.runs.demonstration import Plan

__all__ = ["TrainError", "app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(experiment_app, name="experiment")


@app.command(cls=TrainingCommand)
def train(  # noqa: PLR0913, PLR0917  each is an option of the command
    cohort: CohortOption,
    out: Annotated[Path, typer.Option(help="Folder of the run and of its checkpoint.", show_default=False)],
    data: Data = None,
    clinical: Clinical = None,
    preset: Annotated[Preset, typer.Option(help="Network, preprocessing and fit.")] = Preset.RECOMMENDED,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the preset; repeatable."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the model.", show_default="cohort and preset")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation.")] = 10,
    folds_file: Annotated[Path | None, typer.Option(help="Take the folds from this CSV (a folds.csv).")] = None,
    init: Annotated[Path | None, typer.Option(help="Start each fold from that fold of this run or checkpoint.")] = None,
    patients: Patients = 400,
    unseen: Annotated[int, typer.Option(min=8, help="Phantoms to measure the demonstration model on.")] = 160,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of folds and networks.", show_default="42; phantoms: 100")
    ] = None,
    cache: Cache = None,
    workers: Workers = None,
    device: Device = "cpu",
    id_column: IdColumn = None,
    time_column: TimeColumn = None,
    event_column: EventColumn = None,
    unit: Unit = TimeUnit.DAYS,
    treatment_column: TreatmentColumn = None,
    day_format: DayFormat = "%Y-%m-%d",
    ct_description: CtDescription = None,
    paper_exclusions: PaperExclusions = True,
    exclude_faulty: ExcludeFaulty = False,
    as_json: Json = False,
) -> None:
    """Train a model on every fold of a cohort and measure it on patients that it never saw.

    Phantoms without --data make the packaged demonstration model anew.
    """
    caches = cache or _user_cache()
    if cohort is CohortName.PHANTOM and data is None:
        _demonstrate(patients, unseen, seed, caches / "features", out, as_json=as_json)
        return
    from survnode.train.cohorts.folds import read_folds
    from survnode.train.presets import PRESETS, with_settings
    from survnode.train.runs.run import Plan, run
    from survnode.train.sources import Source, load

    recipe = with_settings(PRESETS[preset], settings or [])
    source = Source(
        cohort, _folder(data), clinical, patients, 100 if seed is None else seed, id_column, time_column, event_column,
        unit, treatment_column, day_format, ct_description, paper_exclusions, exclude_faulty,
    )  # fmt: skip
    plan = Plan(
        name or f"{cohort} {preset}", recipe, out, caches, folds, 42 if seed is None else seed, init,
        workers or _processes(device), device,
    )  # fmt: skip
    with bars() as told:
        chosen = read_folds(folds_file) if folds_file else None
        spacing_mm = recipe.preprocessing.slice_spacing_mm
        read = load(source, recipe.months, spacing_mm, caches, told, plan.workers)
        finished = run(read, plan, folds=chosen, tell=told)
    show_evaluation(finished.evaluation, plan.name, out, as_json=as_json)


@app.command(cls=TrainingCommand)
def evaluate(  # noqa: PLR0913, PLR0917  each is an option of the command
    model: Annotated[str, typer.Option(help='A checkpoint folder, or "demo" for the demonstration model.')],
    cohort: CohortOption,
    data: Annotated[Path, typer.Option(help="Folder of DICOM files in any layout.")],
    out: Annotated[Path, typer.Option(help="Where predictions and figures are written.", show_default=False)],
    clinical: Clinical = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap, and of phantoms.")] = 42,
    patients: Patients = 240,
    cache: Cache = None,
    workers: Workers = None,
    device: Device = "cpu",
    id_column: IdColumn = None,
    time_column: TimeColumn = None,
    event_column: EventColumn = None,
    unit: Unit = TimeUnit.DAYS,
    treatment_column: TreatmentColumn = None,
    day_format: DayFormat = "%Y-%m-%d",
    ct_description: CtDescription = None,
    paper_exclusions: PaperExclusions = True,
    exclude_faulty: ExcludeFaulty = False,
    as_json: Json = False,
) -> None:
    """Measure a finished model, as it is, on patients that it never saw."""
    from survnode.model.checkpoint import checkpoint_folder, read_card
    from survnode.train.cohorts.clinical import MonthRule
    from survnode.train.presets import Recipe
    from survnode.train.runs.evaluate import score
    from survnode.train.runs.run import Plan
    from survnode.train.sources import Source, load

    caches = cache or _user_cache()
    source = Source(
        cohort, data, clinical, patients, seed, id_column, time_column, event_column, unit, treatment_column,
        day_format, ct_description, paper_exclusions, exclude_faulty,
    )  # fmt: skip
    plan = Plan(model, Recipe(), out, caches, seed=seed, workers=workers or _processes(device), device=device)
    spacing_mm = read_card(checkpoint_folder(model)).preprocessing.slice_spacing_mm
    with bars() as told:
        read = load(source, MonthRule.EXACT, spacing_mm, caches, told, plan.workers)
        evaluation = score(model, read, plan, tell=told)
    show_evaluation(evaluation, f"{model} on {cohort}", out, as_json=as_json)


@app.command()
def presets(as_json: Json = False) -> None:
    """Every setting in which the presets differ from the paper's, and why."""
    from survnode.train.presets import PRESETS, REASONS, differences

    paper = PRESETS[Preset.PAPER]
    rows = [
        {"preset": str(preset), "setting": name, "paper": theirs, "value": value, "why": REASONS[name]}
        for preset, recipe in PRESETS.items()
        for name, theirs, value in differences(paper, recipe)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("preset", "setting", "paper", "here", "why")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


def _demonstrate(patients: int, unseen: int, seed: int | None, features: Path, out: Path, *, as_json: bool) -> None:
    """Make the demonstration model anew."""
    from survnode.train.runs.demonstration import Plan

    card = _train_with_progress(Plan(patients, unseen, 100 if seed is None else seed, features), out)
    if as_json:
        typer.echo(json.dumps({"checkpoint": str(out), "metrics": card.metrics}))
    else:
        _show(card, out)


def _train_with_progress(plan: "Plan", out: Path) -> "Card":
    from survnode.train.fit.loop import Epoch
    from survnode.train.recipe import Training
    from survnode.train.runs.demonstration import FOLDS, make_checkpoint

    with Progress(*COLUMNS, console=Console(stderr=True)) as progress:
        encoding = progress.add_task("CT to features", total=plan.total)
        epochs = Training.demonstration().fitting.epochs
        fitting = progress.add_task("Heads", total=FOLDS * epochs)

        def after_epoch(fold: int, epoch: Epoch) -> None:
            words = f"Head {fold + 1}: loss {epoch.loss:.3f}, validation C-td {epoch.concordance:.3f}"
            progress.update(fitting, completed=fold * epochs + epoch.number, description=words)

        return make_checkpoint(plan, out, encoded=lambda: progress.advance(encoding), after_epoch=after_epoch)


def _show(card: "Card", out: Path) -> None:
    table = Table("figure", "value", title=f"{card.name}: {out}")
    for name, value in _flat(card.metrics):
        table.add_row(name, value)
    Console().print(table)


def _flat(value: "JsonValue", path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested figures with the way to each."""
    children = value.items() if isinstance(value, dict) else enumerate(value, 1) if isinstance(value, list) else ()
    if not children:
        yield path.strip(), str(value)
    for key, child in children:
        yield from _flat(child, f"{path} {str(key).replace('_', ' ')}")


def _user_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("survnode")


def _processes(device: str) -> int:
    return (os.cpu_count() or 1) if device == "cpu" else 1


def _folder(data: Path | None) -> Path:
    if data is None:
        raise typer.BadParameter("This cohort needs --data, the folder of its DICOM files.")
    return data
