"""``survnode train``: long work with a progress bar, then what was measured."""
# ruff: noqa: PLC0415  torch and all that needs it is loaded when a command runs, not for --help

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from pydantic import JsonValue

    from survnode.model.checkpoint import Card
    from survnode.train.demonstration import Plan

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class CohortName(StrEnum):
    """Whose CT and outcomes."""

    PHANTOM = "phantom"


@app.command()
def train(
    cohort: Annotated[CohortName, typer.Option(help="Whom to learn from. Phantoms are computed: no download.")],
    out: Annotated[Path, typer.Option(help="Folder of the new checkpoint.", show_default=False)],
    patients: Annotated[int, typer.Option(min=8, help="To learn from; a quarter as many more choose the epoch.")] = 240,
    unseen: Annotated[int, typer.Option(min=8, help="To measure the finished model on, and nothing else.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the cohort and of the training.")] = 1,
    cache: Annotated[Path | None, typer.Option(help="Folder of the features.", show_default="the user's cache")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Train a model and measure it on patients that it never saw."""
    from platformdirs import user_cache_path

    from survnode.train.demonstration import Plan

    del cohort  # there is one so far
    features = cache or user_cache_path("survnode") / "features"
    card = _train_with_progress(Plan(patients, patients // 4, unseen, seed, features), out)
    if as_json:
        typer.echo(json.dumps({"checkpoint": str(out), "metrics": card.metrics}))
    else:
        _show(card, out)


def _train_with_progress(plan: "Plan", out: Path) -> "Card":
    from survnode.train.config import Training
    from survnode.train.demonstration import make_checkpoint
    from survnode.train.fit.loop import Epoch

    columns = TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        encoding = progress.add_task("CT to features", total=plan.total)
        fitting = progress.add_task("Head", total=Training.demonstration().fitting.epochs)

        def after_epoch(epoch: Epoch) -> None:
            words = f"Head: loss {epoch.loss:.3f}, validation C-td {epoch.concordance:.3f}"
            progress.update(fitting, completed=epoch.number, description=words)

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
