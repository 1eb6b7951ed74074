"""``survnode train`` and its neighbours: long work with progress bars, then what was measured."""
# ruff: noqa: PLC0415  torch and all that needs it is loaded when a command runs, not for --help

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from survnode.train.commands.experiment import app as experiment_app
from survnode.train.commands.options import (
    AllowOverlap,
    Cache,
    Clinical,
    CohortOption,
    Data,
    Deidentified,
    Device,
    Features,
    FeaturesAlone,
    Json,
    PresetOption,
    Settings,
    TrainingCommand,
    Workers,
    cache_folder,
    processes,
    usable_folder,
)
from survnode.train.commands.stress import stress
from survnode.train.commands.terminal import bars, show_entries, show_evaluation
from survnode.train.errors import TrainError

__all__ = ["TrainError", "app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(experiment_app, name="experiment")


@app.command(cls=TrainingCommand)
def train(  # noqa: PLR0913, PLR0917  each is an option of the command
    cohort: CohortOption,
    out: Annotated[
        Path,
        typer.Option(callback=usable_folder, help="Folder of the run and of its checkpoint.", show_default=False),
    ],
    data: Data = None,
    clinical: Clinical = None,
    deidentified: Deidentified = False,
    unseen: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.toml",
            help="Measure all folds together on this cohort, instead of each on its test part.",
        ),
    ] = None,
    preset: PresetOption = "recommended",
    settings: Settings = None,
    name: Annotated[str | None, typer.Option(help="Of the model.", show_default="cohort and preset")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Of the cross-validation.", show_default="10")] = None,
    folds_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Take the folds from this CSV (a folds.csv).")
    ] = None,
    features: Features = None,
    features_alone: FeaturesAlone = False,
    init: Annotated[Path | None, typer.Option(help="Start each fold from that fold of this run or checkpoint.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and networks.")] = 42,
    allow_overlap: AllowOverlap = False,
    cache: Cache = None,
    workers: Workers = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Train a model on every fold of a cohort and measure it on patients that it never saw."""
    if folds_file is not None and (folds is not None or unseen is not None):
        raise typer.BadParameter("--folds-file says all of the folds: leave --folds and --unseen out.")
    from survnode.train.cohorts.description import describe
    from survnode.train.cohorts.feature_table import read_features
    from survnode.train.cohorts.folds import read_folds
    from survnode.train.cohorts.reading import load
    from survnode.train.presets import preset_recipe, with_settings, with_table
    from survnode.train.runs.plan import RunPlan
    from survnode.train.runs.run import run

    if features_alone and features is None:
        raise typer.BadParameter("--features-alone does nothing without --features.")
    table = None if features is None else read_features(features)
    recipe = with_settings(with_table(preset_recipe(preset), table, alone=features_alone), settings or [])
    described, other = (
        describe(cohort, data, clinical, deidentified=deidentified),
        None if unseen is None else describe(unseen),
    )
    plan = RunPlan(
        name=name or f"{described.name} {preset}",
        recipe=recipe,
        out=out,
        caches=cache_folder(cache),
        folds=folds or 10,
        seed=seed,
        init=init,
        workers=processes(workers, device),
        device=device,
        allow_overlap=allow_overlap,
        table=table,
    )
    with bars() as listener:
        chosen = None if folds_file is None else read_folds(folds_file)
        patients = load(described, plan.caches, recipe.reading, listener=listener, workers=plan.workers)
        measured = (
            None if other is None else load(other, plan.caches, recipe.reading, listener=listener, workers=plan.workers)
        )
        finished = run(patients, plan, folds=chosen, unseen=measured, listener=listener)
    show_evaluation(finished.evaluation, plan.name, out, as_json=as_json)


@app.command(cls=TrainingCommand)
def evaluate(  # noqa: PLR0913, PLR0917  each is an option of the command
    model: Annotated[str, typer.Option(help='A checkpoint folder, or "demo" for the demonstration model.')],
    cohort: CohortOption,
    out: Annotated[
        Path,
        typer.Option(callback=usable_folder, help="Where predictions and figures are written.", show_default=False),
    ],
    data: Data = None,
    clinical: Clinical = None,
    deidentified: Deidentified = False,
    features: Features = None,
    cross_validated: Annotated[
        bool, typer.Option("--cross-validated", help="Each patient only by the members that never saw them.")
    ] = False,
    allow_overlap: AllowOverlap = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 42,
    cache: Cache = None,
    workers: Workers = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Measure a finished model, as it is, on patients that it never saw."""
    from survnode.model.checkpoint import checkpoint_folder, read_card
    from survnode.train.cohorts.description import describe
    from survnode.train.cohorts.reading import load
    from survnode.train.runs.evaluate import recipe_of, score, table_for
    from survnode.train.runs.plan import RunPlan

    card = read_card(checkpoint_folder(model))
    described, recipe = describe(cohort, data, clinical, deidentified=deidentified), recipe_of(card)
    count = processes(workers, device)
    plan = RunPlan(
        model,
        recipe,
        out,
        cache_folder(cache),
        seed=seed,
        workers=count,
        device=device,
        allow_overlap=allow_overlap,
        table=table_for(card, features),
    )
    with bars() as listener:
        patients = load(described, plan.caches, recipe.reading, listener=listener, workers=count)
        evaluation = score(model, patients, plan, cross_validated=cross_validated, listener=listener)
    show_evaluation(evaluation, f"{model} on {described.name}", out, as_json=as_json)


app.command()(stress)


@app.command()
def presets(as_json: Json = False) -> None:
    """Every setting in which the presets differ from the paper's, and why."""
    from survnode.train.presets import LEFT_OUT, PRESETS, REASONS, Preset, differences

    paper = PRESETS[Preset.PAPER]
    rows: list[dict[str, JsonValue]] = [
        {"preset": str(preset), "setting": name, "paper": theirs, "value": value, "why": REASONS[name]}
        for preset, recipe in PRESETS.items()
        for name, theirs, value in differences(paper, recipe)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    show_entries([*_by_setting(rows), ("what of the released code is left out of `released`", LEFT_OUT)])


def _by_setting(rows: list[dict[str, JsonValue]]) -> Iterator[tuple[str, list[str]]]:
    """A setting as --set takes it, and which presets have it: many share theirs."""
    presets: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        setting = f"{row['setting']}={_as_set(row['value'])}"
        presets.setdefault((setting, _as_set(row["paper"]), str(row["why"])), []).append(str(row["preset"]))
    for (setting, paper, why), names in presets.items():
        yield setting, [f"{' and '.join(names)}; paper: {paper}", why]


def _as_set(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)
