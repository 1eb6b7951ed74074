"""The command that deals with results which went out before: again, withdrawn, or made anew."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from survnode.node.commands.cli_administration import show_reissued
from survnode.node.commands.configured_node import database_of
from survnode.node.commands.options import Config, Json
from survnode.node.errors import InputRefused

if TYPE_CHECKING:
    from survnode.node.commands.send import Reissued


def send(  # noqa: PLR0913, PLR0917  each is an option of the command
    config: Config,
    study: Annotated[
        str | None, typer.Option(metavar="STUDY", help="The results of this study: its UID or the end of it.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Results made at this local time or later.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Results made before this local time.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="DEVICE_UID", help="Results of this version of the model.")
    ] = None,
    destination: Annotated[str | None, typer.Option(metavar="NAME", help="Only to this destination.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Send a note that rejects them (113001, DCM).")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what --withdraw would withdraw.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Withdraw without asking.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Have the studies analysed again, by today's model.")] = False,
    as_json: Json = False,
) -> None:
    """Send results again, withdraw them, or have them made anew: those that fit all that is given."""
    if not any((study, since, until, model)):
        raise typer.BadParameter("Say which results: --study, --since, --until or --model.")
    _check_modes(withdraw=withdraw, dry_run=dry_run, yes=yes, anew=anew, destination=destination)
    from survnode.node.commands.send import Reissue, destinations_of
    from survnode.node.config import load_config
    from survnode.node.service.child_bodies import layout_of
    from survnode.node.state.reissuing import Selection
    from survnode.node.state.short_uids import find_study, shorten

    settings = load_config(config)
    begin, end = (moment.timestamp() if moment else None for moment in (since, until))
    database = database_of(settings)
    selection = Selection(study and find_study(database, study), begin, end, model)
    named = destinations_of(settings, destination)
    reissue = Reissue(database, settings.results_dir, named, despite_rules=destination is not None)
    if not withdraw:
        rows = reissue.make_anew(selection) if anew else reissue.send_again(selection)
    elif dry_run:
        rows = reissue.would_withdraw(selection)
    else:
        if not yes:
            _ask(reissue.would_withdraw(selection))
        rows = reissue.withdraw(selection, layout_of(settings))
    show_reissued(rows, shorten(database, {row.study_instance_uid for row in rows}), as_json)


def _check_modes(*, withdraw: bool, dry_run: bool, yes: bool, anew: bool, destination: str | None) -> None:
    if withdraw and anew:
        raise typer.BadParameter("Withdraw first, then have them made anew: each is a command of its own.")
    if anew and destination:
        raise typer.BadParameter("What is made anew goes to every destination: --anew takes no --destination.")
    if (dry_run or yes) and not withdraw:
        raise typer.BadParameter("--dry-run and --yes belong to --withdraw.")
    if dry_run and yes:
        raise typer.BadParameter("--dry-run withdraws nothing, so there is nothing to say --yes to.")
    if withdraw and not (dry_run or yes or sys.stdin.isatty()):
        raise typer.BadParameter(
            "There is no terminal to ask at: --withdraw needs --yes, or --dry-run to see what it would do."
        )


def _ask(rows: "Sequence[Reissued]") -> None:
    """Ask whether to go on; standard output stays the results' own.

    Raises
    ------
    InputRefused
        The answer is no.
    """
    objects, places = sum(row.objects for row in rows), ", ".join(sorted({str(row.destination) for row in rows}))
    sent = f"{objects} object{'s'[: objects != 1]} sent to {places}"
    question = f"Withdraw {sent}, and send nothing that still waits?"
    if not typer.confirm(question, err=True):
        raise InputRefused("Nothing was withdrawn.")
