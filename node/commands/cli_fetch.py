"""The command that has studies come from an archive."""

from datetime import datetime
from typing import Annotated

import typer

from survnode.node.commands.configured_node import database_of
from survnode.node.commands.options import Config, Json


def fetch(  # noqa: PLR0913, PLR0917  each is an option of the command
    config: Config,
    study: Annotated[str | None, typer.Option(metavar="UID", help="The study of this Study Instance UID.")] = None,
    accession: Annotated[str | None, typer.Option(metavar="NUMBER", help="Those of this accession number.")] = None,
    since: Annotated[
        datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Those of this study date or later.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="From this source of the configuration; default: the first.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until each was analysed, or has another end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be fetched.")] = False,
    as_json: Json = False,
) -> None:
    """Have the CT of studies sent here by an archive: of those that fit all that is given."""
    if not any((study, accession, since)):
        raise typer.BadParameter("Say which studies: --study, --accession or --since.")
    if wait and dry_run:
        raise typer.BadParameter("--dry-run fetches nothing, so there is nothing to --wait for.")
    from rich.console import Console
    from rich.progress import track

    from survnode.node.commands import fetch as fetched
    from survnode.node.commands.printing import print_json, print_table
    from survnode.node.commands.table_layouts import FETCHED
    from survnode.node.config import load_config
    from survnode.node.service.querying import keep_of, source_of_settings

    settings = load_config(config)
    peer = source_of_settings(fetched.named_source(settings, source), settings.receiver.ae_title)
    keys = fetched.keys_of(study, accession, since.strftime("%Y%m%d") if since else None)
    if not dry_run:
        fetched.require_receiver(settings)
    studies = fetched.find_wanted(peer, keys)
    if dry_run:
        known = database_of(settings) if settings.database_path.exists() else None
        rows = list(fetched.look_up(known, peer, studies))
    else:
        database = database_of(settings)
        coming = fetched.fetch_studies(database, peer, studies, keep_of(settings, database))
        progress = Console(stderr=True)
        silent = as_json or not progress.is_terminal
        rows = list(track(coming, "fetching", len(studies), console=progress, transient=True, disable=silent))
        rows = fetched.await_end(database, rows) if wait else rows
    if as_json:
        print_json(rows)
    else:
        print_table(Console(), rows, FETCHED, title="studies")
    if any(row.note for row in rows):
        raise typer.Exit(1)
