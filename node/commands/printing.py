"""How records are printed: as JSON for a script, or as tables for a person."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show(
    rows: Sequence[dict[str, Any]],
    as_json: bool,
    *,
    title: str,
    mark: Callable[[dict[str, Any]], str] = lambda _: "",
) -> None:
    """Print rows as JSON or as a table."""
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    if not rows:
        Console().print(f"no {title}")
        return
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()), style=mark(row))
    Console().print(table)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def show_one(row: dict[str, Any], as_json: bool) -> None:
    """Print a record as JSON, or its values and then its lists as tables."""
    if as_json:
        sys.stdout.write(json.dumps(row, indent=2) + "\n")
        return
    console = Console(soft_wrap=True)
    for name, value in row.items():
        if isinstance(value, list):
            show(value, as_json=False, title=name)
        else:
            console.print(f"[bold]{name.replace('_', ' ')}[/bold] {_cell(value)}", highlight=False)
