"""A node that a command asks: its configuration, its database, and how the answers are printed.

Database and configuration are imported only when a command needs them: ``survnode --help`` answers at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from survnode.node.errors import InputRefused

if TYPE_CHECKING:
    from survnode.node.commands.printing import Column, TableLayout
    from survnode.node.config import NodeConfig
    from survnode.node.state.database import Database
    from survnode.node.state.summaries import JobDetail, Listing, StudyDetail

T = TypeVar("T")


@dataclass(frozen=True)
class ConfiguredNode:
    """What a command asks, and how it answers."""

    settings: "NodeConfig"
    database: "Database"

    def find(self, study: str) -> str:
        """The UID of the study of that name."""
        from survnode.node.state.short_uids import find_study

        return find_study(self.database, study)

    def short(self, uids: Sequence[str]) -> dict[str, str]:
        """The short names of studies."""
        from survnode.node.state.short_uids import shorten

        return shorten(self.database, set(uids))

    def show_listing(
        self,
        found: "Listing[T]",
        layout: "Callable[[dict[str, str]], TableLayout[T]]",
        *,
        title: str,
        wide: bool,
        as_json: bool,
    ) -> None:
        """Print one page, below what is wrong with the destinations and above how much more there is."""
        from rich.console import Console

        from survnode.node.commands.printing import print_json, print_table
        from survnode.node.commands.status import down_lines

        warn(down_lines(self.database, self.settings), on_stderr=as_json)
        if as_json:
            print_json(found.rows)
        else:
            print_table(Console(), found.rows, layout(self._names(found.rows, wide)), title=title, wide=wide)
        if found.more:
            typer.echo(f"{found.more} more: see the next --page, or give a larger --limit.", err=as_json)

    def show_study(self, study: "StudyDetail", as_json: bool, wide: bool) -> None:
        """Print one study."""
        from survnode.node.commands.table_layouts import (
            EXPECTED_SERIES,
            OTHER_SERIES,
            SERIES,
            of_deliveries,
            of_jobs,
            of_one_study,
            of_quarantined,
        )

        short = self.short([study.study_instance_uid])
        tables: dict[str, TableLayout[Any]] = {
            "series": SERIES,
            "expected_series": EXPECTED_SERIES,
            "other_series": OTHER_SERIES,
            "quarantined": of_quarantined(short),
            "jobs": of_jobs(short),
            "deliveries": of_deliveries(short),
        }
        _show(study, of_one_study(), tables, as_json, wide)

    def show_job(self, job: "JobDetail", as_json: bool, wide: bool) -> None:
        """Print one job."""
        from survnode.node.commands.table_layouts import RESULTS, of_deliveries, of_one_job

        short = self.short([job.study_instance_uid])
        tables: dict[str, TableLayout[Any]] = {"results": RESULTS, "deliveries": of_deliveries(short)}
        _show(job, of_one_job(self.settings.results_dir), tables, as_json, wide)

    def _names(self, rows: Sequence[Any], wide: bool) -> dict[str, str]:
        uids = {row.study_instance_uid for row in rows if hasattr(row, "study_instance_uid")}
        return {uid: uid for uid in uids} if wide else self.short(sorted(uids))


def configured_node_of(config: Path) -> ConfiguredNode:
    """The node of a configuration file."""
    from survnode.node.config import load_config

    settings = load_config(config)
    return ConfiguredNode(settings, database_of(settings))


def database_of(config: "NodeConfig") -> "Database":
    """The database of a node that has run.

    Raises
    ------
    InputRefused
        No node has run with this configuration.
    """
    from survnode.node.state.database import Database

    if not config.database_path.exists():
        raise InputRefused(f"There is no database at {config.database_path}: no node has run with this configuration.")
    return Database(config.database_path)


def warn(lines: Sequence[str], *, on_stderr: bool) -> None:
    """Print lines of warning; those for a person are broken to the width of the terminal."""
    from rich.console import Console

    console = Console(stderr=on_stderr)
    for line in lines:
        console.print(f"warning: {line}", style="yellow", highlight=False, markup=False, soft_wrap=on_stderr)


def _show(
    record: T, values: "Sequence[Column[T]]", tables: "dict[str, TableLayout[Any]]", as_json: bool, wide: bool
) -> None:
    from rich.console import Console

    from survnode.node.commands.printing import print_json, print_record

    if as_json:
        print_json(record)
    else:
        print_record(Console(), record, values, tables, wide=wide)
