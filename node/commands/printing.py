"""How records are printed: as JSON for a script, or as tables for a person, at any width."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
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
    """A column of a table, or a labelled value of a record.

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
    record: T,
    values: Sequence[Column[T]],
    tables: Mapping[str, TableLayout[Any]],
    *,
    wide: bool = False,
) -> None:
    """Print those ``values`` of a record that say something, and below them its lists as tables.

    Parameters
    ----------
    tables : how each of its lists is shown, by the name of its field
    """
    shown = {column.name: cell(column.value(record), wide=True) for column in values if wide or not column.wide}
    width = max(map(len, shown), default=0)
    for name, text in shown.items():
        if text:
            first, *rest = _wrapped(text, UNBROKEN if wide else console.width - width - len(GAP))
            console.print(Text(name.ljust(width), style="bold") + Text(GAP + first), soft_wrap=True, highlight=False)
            for line in rest:
                console.print(Text(" " * width + GAP + line), soft_wrap=True, highlight=False)
    for name, layout in tables.items():
        rows = getattr(record, name)
        if rows:
            title = name.replace("_", " ")
            console.print()
            console.print(Text(title, style="bold"))
            print_table(console, rows, layout, title=title, wide=wide)


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


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text; UIDs and paths are never broken, since they are copied from here."""
    return wrap(text, width=max(width, NARROWEST_NOTE), break_long_words=False, break_on_hyphens=False)


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


def counted(number: int, noun: str) -> str:
    """A number of things, one or many: ``1 image``, ``2 images``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
