"""How a prediction looks in a terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from survnode.node.commands.predict import PredictionRow
from survnode.node.commands.printing import Column, TableLayout, print_table
from survnode.node.results.findings import DEMONSTRATION

STUDIES: TableLayout[PredictionRow] = TableLayout(
    (
        Column("folder", lambda row: row.source, shrinks=True),
        Column("status", lambda row: row.status),
        Column("survival", lambda row: row.survival),
    ),
    note=lambda row: row.why or f"results: {row.results}",
)
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_HEIGHT = 10  # lines
_WIDTH = 2  # characters a month


def show_prediction(console: Console, summary: dict[str, Any], folder: Path) -> None:
    """Print the survival, its curve, the most weighed slices and the files of a ``prediction.json``."""
    model, months = summary["model"], len(summary["months"])
    console.print()
    in_words = summary["in_words"]
    console.print(
        f"Predicted {months}-month overall survival: {in_words['survival']}",
        style="bold",
        markup=False,
        highlight=False,
    )
    console.print(in_words["series"], markup=False, highlight=False)
    median = summary["median_survival_months"]
    console.print(f"median: {f'beyond {months}' if median is None else median} months", highlight=False)
    for line in survival_chart([100.0, *summary["survival_percent"]]):
        console.print(line, style="cyan", highlight=False, markup=False)
    console.print(_slices(summary["ranked_slices"]))
    console.print(_files(summary["objects"], folder))
    console.print(f"model {model['name']} {model['version']}, lungs by {model['lungs']}", highlight=False)
    if model["demonstration"]:
        console.print(f"[bold yellow]{DEMONSTRATION}.[/bold yellow]")
    console.print("[bold]Research use only.[/bold]")


def survival_chart(percent: Sequence[float]) -> list[str]:
    """Lines of a chart of ``percent`` (0 to 100) at months 0, 1, 2, ...: an area in eighths of a line."""
    lines = []
    for row in reversed(range(_HEIGHT)):
        filled = [min(max(value / 100 * _HEIGHT - row, 0.0), 1.0) for value in percent]
        label = f"{(row + 1) * 100 // _HEIGHT:>4} % " if row % 2 else " " * 7
        lines.append(label + "".join(_EIGHTHS[round(8 * share)] * _WIDTH for share in filled))
    ticks = [str(month).ljust(6 * _WIDTH) for month in range(0, len(percent), 6)]
    return [*lines, " " * 7 + "".join(ticks).rstrip() + " months"]


def _slices(ranked: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="most weighed slices", title_justify="left")
    table.add_column("rank", justify="right")
    table.add_column("source image", justify="right")
    table.add_column("weight", justify="right")
    for item in ranked:
        image = item["instance_number"] if item["frame_number"] is None else f"frame {item['frame_number']}"
        table.add_row(str(item["rank"]), str(image), f"{item['weight_percent']:.2f} %")
    return table


def _files(objects: Sequence[dict[str, Any]], folder: Path) -> Table:
    table = Table(title=f"written to {folder}", title_justify="left")
    table.add_column("file")
    table.add_column("what")
    for item in objects:
        table.add_row(item["file"], item["role"].replace("_", " "))
    return table


def show_studies(console: Console, rows: Sequence[PredictionRow], folder: Path) -> None:
    """Print what became of each of several studies."""
    print_table(console, rows, STUDIES, title=f"{len(rows)} studies, written to {folder}")
    console.print("[bold]Research use only.[/bold]")
