"""How records are printed: as JSON for a script, or as tables for a person, at any width."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from textwrap import wrap
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.text import Text

T = TypeVar("T")

GAP = "  "
INDENT = "    "
NARROWEST = 6  # characters that a column which shrinks keeps
NARROWEST_NOTE = 40
UNBROKEN = 10_000


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a table.

    Parameters
    ----------
    wide : it is shown with --wide only
    shrinks : its cells may be cut where the terminal is narrow
    """

    name: str
    value: Callable[[T], object]
    wide: bool = False
    shrinks: bool = False


@dataclass(frozen=True)
class TableLayout(Generic[T]):
    """How records of one kind are shown.

    Parameters
    ----------
    note : a sentence that is shown below its row
    style : of a row, rich's
    """

    columns: tuple[Column[T], ...]
    note: Callable[[T], str] = lambda _: ""
    style: Callable[[T], str] = lambda _: ""


def print_json(value: object) -> None:
    """Print records, or lists and dictionaries of them."""
    sys.stdout.write(json.dumps(plain(value), indent=2) + "\n")


def plain(value: Any) -> Any:
    """A record as JSON has it; times in UTC."""
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    return value.value if isinstance(value, Enum) else value


def print_table(console: Console, rows: Sequence[T], layout: TableLayout[T], *, title: str, wide: bool = False) -> None:
    """Print records as a table, or that there are none."""
    if not rows:
        console.print(f"no {title}")
        return
    for line in lines_of(rows, layout, console.width, wide=wide):
        console.print(line, soft_wrap=True, highlight=False)


def print_record(
    console: Console,
    record: object,
    tables: dict[str, TableLayout[Any]],
    *,
    hidden: Sequence[str] = (),
    wide: bool = False,
) -> None:
    """Print the values of a record, and then its lists as tables."""
    values = {name: getattr(record, name) for name in record.__dataclass_fields__ if name not in hidden}  # type: ignore[attr-defined]  # a record
    shown = {name: cell(value, wide=True) for name, value in values.items() if name not in tables}
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        if text:
            label = Text(name.replace("_", " ").ljust(width), style="bold")
            console.print(label + Text(GAP + text), soft_wrap=True, highlight=False)
    for name, layout in tables.items():
        if values[name]:
            console.print()
            console.print(Text(name.replace("_", " "), style="bold"))
            print_table(console, values[name], layout, title=name, wide=wide)


def lines_of(rows: Sequence[T], layout: TableLayout[T], width: int, *, wide: bool = False) -> list[Text]:
    """The lines of a table: its head, and each row with the note below it."""
    columns = [column for column in layout.columns if wide or not column.wide]
    cells = [[cell(column.value(row), wide=wide) for column in columns] for row in rows]
    widths = [max(map(len, texts)) for texts in zip([column.name for column in columns], *cells, strict=True)]
    if not wide:
        widths = _fitted(widths, [column.shrinks for column in columns], width)
    head = GAP.join(column.name.ljust(width) for column, width in zip(columns, widths, strict=True))
    lines = [Text(head.rstrip(), style="bold")]
    for row, texts in zip(rows, cells, strict=True):
        line = GAP.join(_cut(text, width).ljust(width) for text, width in zip(texts, widths, strict=True))
        lines.append(Text(line.rstrip(), style=layout.style(row)))
        lines += _note_lines(layout.note(row), UNBROKEN if wide else width)
    return lines


def _note_lines(note: str, width: int) -> list[Text]:
    lines = wrap(note, width=max(width, NARROWEST_NOTE), initial_indent=INDENT, subsequent_indent=INDENT)
    return [Text(line, style="dim") for line in lines]


def cell(value: object, *, wide: bool = False) -> str:
    """A value as a person reads it; times are local."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S" if wide else "%m-%d %H:%M")
    if isinstance(value, Enum):
        return str(value.value).lower().replace("_", " ")
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _fitted(widths: Sequence[int], shrinks: Sequence[bool], width: int) -> list[int]:
    """The widths of columns such that a line fits, as far as those that shrink allow; the widest shrinks first."""
    fitted = list(widths)
    while sum(fitted) + len(GAP) * (len(fitted) - 1) > width:
        candidates = [index for index, may in enumerate(shrinks) if may and fitted[index] > NARROWEST]
        if not candidates:
            break
        fitted[max(candidates, key=lambda index: fitted[index])] -= 1
    return fitted


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
