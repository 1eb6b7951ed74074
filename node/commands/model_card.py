"""What a checkpoint says of itself, for a person: a line a value, indented below what it belongs to."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from survnode.node.commands.printing import GAP, NARROWEST_NOTE, cell

INDENT = "  "
INTERVAL = frozenset({"value", "low", "high"})


def lines_of(card: Mapping[str, Any], width: int, indent: str = "") -> Iterator[str]:
    """The lines of a card as JSON has it: first its single values, then its sections."""
    values = {_name(key): _text(value) for key, value in card.items() if _is_line(value)}
    column = max(map(len, values), default=0)
    for name, text in values.items():
        yield from _line(indent + name.ljust(column), text, width)
    for key, value in card.items():
        if not _is_line(value):
            yield from [] if indent else [""]
            yield indent + _name(key)
            yield from _below(value, width, indent + INDENT)


def _below(value: Mapping[str, Any] | Sequence[Any], width: int, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from lines_of(value, width, indent)
        return
    for number, item in enumerate(value, start=1):
        yield from _line(f"{indent}{number}", ", ".join(f"{_name(key)} {_text(item[key])}" for key in item), width)


def _is_line(value: object) -> bool:
    """Whether it is shown beside its name, and not below."""
    if isinstance(value, Mapping):
        return set(value) == INTERVAL
    return not (isinstance(value, list) and any(isinstance(item, Mapping) for item in value))


def _line(label: str, text: str, width: int) -> Iterator[str]:
    room = max(width - len(label) - len(GAP), NARROWEST_NOTE)
    first, *rest = wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    yield f"{label}{GAP}{first}".rstrip()
    yield from (" " * len(label) + GAP + line for line in rest)


def _name(key: str) -> str:
    return key.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and value["value"] is None:
        return "not defined"
    if isinstance(value, Mapping) and value["low"] is None:
        return f"{value['value']:.3f}"
    if isinstance(value, Mapping):
        return f"{value['value']:.3f} (95 % interval {value['low']:.3f} to {value['high']:.3f})"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value is None or not str(value) else cell(value)
