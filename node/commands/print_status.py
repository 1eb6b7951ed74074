"""`survnode status` for a person."""

from collections.abc import Callable, Sequence
from dataclasses import fields

from rich.console import Console

from survnode.node.commands.printing import cell, print_table
from survnode.node.commands.status import NodeStatus
from survnode.node.commands.table_layouts import ASSOCIATIONS, DESTINATIONS
from survnode.node.state.summaries import StudyCounts

WIDTH = 10


def print_status(status: NodeStatus, short: Callable[[Sequence[str]], dict[str, str]]) -> None:
    """Print how a node does; ``short`` gives studies their short names."""
    console = Console()
    where = f"{status.ae_title} at {status.host}:{status.port}, {status.data_dir}"
    _say(console, "node", f"{_life(status)}: {where}")
    _say(console, "disk", f"{status.free_gib:g} GiB free, at least {status.needed_gib:g} needed")
    _say(console, "today", _counted(status.today))
    _say(console, "waiting", _waiting(status, short))
    _say(console, "failed", f"{_studies(status.failed)}: a person must act" if status.failed else "none")
    if status.destinations:
        console.print()
        print_table(console, status.destinations, DESTINATIONS, title="destinations")
    else:
        _say(console, "sent to", "no destination: results go nowhere")
    if status.rejected:
        console.print("\nlast associations that were turned away", highlight=False)
        print_table(console, status.rejected, ASSOCIATIONS, title="associations")


def _say(console: Console, name: str, text: str) -> None:
    console.print(f"[bold]{name.ljust(WIDTH)}[/bold]", end="")
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _life(status: NodeStatus) -> str:
    if not status.running:
        return "does not run"
    return "runs" if status.listening else "starting, not yet listening"


def _counted(counts: StudyCounts) -> str:
    parts = [(getattr(counts, field.name), field.name.replace("_", " ")) for field in fields(counts)[1:]]
    listed = ", ".join(f"{number} {name}" for number, name in parts if number)
    return f"{_studies(counts.received)} received" + (f": {listed}" if listed else "")


def _waiting(status: NodeStatus, short: Callable[[Sequence[str]], dict[str, str]]) -> str:
    oldest = status.oldest_waiting
    if oldest is None:
        return "none"
    uid = oldest.study_instance_uid
    return f"{_studies(status.waiting)}; the oldest, {short([uid])[uid]}, was received {cell(oldest.last_received)}"


def _studies(number: int) -> str:
    return f"{number} {'study' if number == 1 else 'studies'}"
