"""The commands of a node's administrator: what came, what became of it, and to take up again what failed."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from survnode.node.commands.configured_node import configured_node_of, warn
from survnode.node.commands.options import (
    Accession,
    Config,
    Json,
    Limit,
    PageNumber,
    PatientID,
    Since,
    StateOfJob,
    StudyName,
    StudyStanding,
    Until,
    Wide,
)

T = TypeVar("T", bound=StrEnum)

studies_app = typer.Typer(help="The studies that were received.", no_args_is_help=True)
jobs_app = typer.Typer(help="The analyses and what came of them.", no_args_is_help=True)
deliveries_app = typer.Typer(help="The results on their way to destinations.", no_args_is_help=True)
associations_app = typer.Typer(help="Who called, and how it ended.", no_args_is_help=True)


def check(config: Config, as_json: Json = False) -> None:
    """Try what `serve` will do, and whether every destination answers."""
    from rich.console import Console

    from survnode.node.commands.check import run_checks
    from survnode.node.commands.printing import print_json, print_table
    from survnode.node.commands.table_layouts import FINDINGS

    findings = list(run_checks(config))
    if as_json:
        print_json(findings)
    else:
        print_table(Console(), findings, FINDINGS, title="findings")
    if not all(it.ok for it in findings):
        raise typer.Exit(1)


def status(config: Config, as_json: Json = False) -> None:
    """How the node does: today at a glance, what waits, each destination, who was turned away."""
    from survnode.node.commands.print_status import print_status
    from survnode.node.commands.printing import print_json
    from survnode.node.commands.status import read_status

    node = configured_node_of(config)
    node_status = read_status(node.database, node.settings, datetime.now().astimezone())
    warn(node_status.warnings, on_stderr=as_json)
    if as_json:
        print_json(node_status)
    else:
        print_status(node_status, node.short)


@studies_app.command("list")
def list_studies(  # noqa: PLR0913, PLR0917  each is an option of the command
    config: Config,
    accession: Accession = None,
    patient_id: PatientID = None,
    since: Since = None,
    until: Until = None,
    state: StudyStanding = None,
    limit: Limit = 50,
    page: PageNumber = 1,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """The studies and where they stand, the one that received last first."""
    from survnode.node.commands.table_layouts import of_studies
    from survnode.node.state import study_summaries
    from survnode.node.state.summaries import Page, Search, Standing

    node = configured_node_of(config)
    search = Search(accession, patient_id, *_moments(since, until))
    listing = study_summaries.list_studies(node.database, search, _member(Standing, state), Page(limit, page))
    node.show_listing(listing, of_studies, title="studies", wide=wide, as_json=as_json)


@studies_app.command("show")
def show_study(study: StudyName, config: Config, wide: Wide = False, as_json: Json = False) -> None:
    """One study with its series, jobs, results and deliveries."""
    from survnode.node.state.study_summaries import read_study

    node = configured_node_of(config)
    node.show_study(read_study(node.database, node.find(study)), as_json, wide)


@studies_app.command("retry")
def retry_study(study: StudyName, config: Config, wide: Wide = False, as_json: Json = False) -> None:
    """Take up what failed in a study, and send at once what waits."""
    from survnode.node.commands.retry import retry_study

    node = configured_node_of(config)
    node.show_study(retry_study(node.database, node.find(study)), as_json, wide)


@studies_app.command("put-aside")
def put_study_aside(study: StudyName, config: Config, as_json: Json = False) -> None:
    """Move a study whose images name several patients to quarantine, so that it can be sent again, corrected."""
    from survnode.node.commands.printing import counted, print_json
    from survnode.node.commands.put_aside import put_aside

    node = configured_node_of(config)
    uid = node.find(study)
    moved = put_aside(node.database, node.settings.received_dir, uid, now=time.time())
    if as_json:
        print_json({"study_instance_uid": uid, "images_in_quarantine": moved})
    else:
        typer.echo(f"Moved {counted(moved, 'image')} of study {uid} to quarantine.")


@jobs_app.command("list")
def list_jobs(  # noqa: PLR0913, PLR0917  each is an option of the command
    config: Config,
    accession: Accession = None,
    patient_id: PatientID = None,
    since: Since = None,
    until: Until = None,
    state: StateOfJob = None,
    limit: Limit = 50,
    page: PageNumber = 1,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """The jobs and where they stand, newest first; the times are those of their studies."""
    from survnode.node.commands.table_layouts import of_jobs
    from survnode.node.state import study_summaries
    from survnode.node.state.records import JobState
    from survnode.node.state.summaries import Page, Search

    node = configured_node_of(config)
    search = Search(accession, patient_id, *_moments(since, until))
    listing = study_summaries.list_jobs(node.database, search, _member(JobState, state), Page(limit, page))
    node.show_listing(listing, of_jobs, title="jobs", wide=wide, as_json=as_json)


@jobs_app.command("show")
def show_job(
    number: Annotated[int, typer.Argument(metavar="JOB")], config: Config, wide: Wide = False, as_json: Json = False
) -> None:
    """One job with its results and deliveries."""
    from survnode.node.state.study_summaries import read_job

    node = configured_node_of(config)
    node.show_job(read_job(node.database, number), as_json, wide)


@jobs_app.command("retry")
def retry_job(
    number: Annotated[int, typer.Argument(metavar="JOB")], config: Config, wide: Wide = False, as_json: Json = False
) -> None:
    """Run a failed or quarantined job again; of a finished one, send at once what waits or was refused."""
    from survnode.node.commands.retry import retry_job

    node = configured_node_of(config)
    node.show_job(retry_job(node.database, number), as_json, wide)


@deliveries_app.command("list")
def list_deliveries(  # noqa: PLR0913, PLR0917  each is an option of the command
    config: Config,
    waiting: Annotated[bool, typer.Option("--waiting", help="Those that are still to be sent.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Those that were refused or given up.")] = False,
    destination: Annotated[str | None, typer.Option(metavar="NAME", help="Those to this destination.")] = None,
    limit: Limit = 50,
    page: PageNumber = 1,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """Each result object on its way to each destination, newest first."""
    from survnode.node.commands.table_layouts import of_deliveries
    from survnode.node.state import delivery_summaries
    from survnode.node.state.records import DeliveryState
    from survnode.node.state.summaries import Page

    node = configured_node_of(config)
    if destination is not None:
        configured = [known.name for known in node.settings.destinations]
        delivery_summaries.check_destination(node.database, destination, configured)
    states = (*((DeliveryState.WAITING,) if waiting else ()), *(delivery_summaries.FAILED if failed else ()))
    listing = delivery_summaries.list_deliveries(node.database, states, destination, Page(limit, page))
    node.show_listing(listing, of_deliveries, title="deliveries", wide=wide, as_json=as_json)


@associations_app.command("list")
def list_associations(
    config: Config,
    rejected: Annotated[bool, typer.Option("--rejected", help="Those that this node turned away.")] = False,
    limit: Limit = 50,
    page: PageNumber = 1,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """The associations that ended, newest first."""
    from survnode.node.commands.table_layouts import ASSOCIATIONS
    from survnode.node.state import associations
    from survnode.node.state.summaries import Page

    node = configured_node_of(config)
    listing = associations.list_associations(node.database, turned_away=rejected, page=Page(limit, page))
    node.show_listing(listing, lambda _: ASSOCIATIONS, title="associations", wide=wide, as_json=as_json)


def show_reissued(rows: Sequence[Any], short: Mapping[str, str], as_json: bool) -> None:
    """Print what was sent again, withdrawn or had made anew."""
    from rich.console import Console

    from survnode.node.commands.printing import print_json, print_table
    from survnode.node.commands.table_layouts import of_reissued

    if as_json:
        print_json(rows)
    else:
        print_table(Console(), rows, of_reissued(short), title="results")


def _moments(since: datetime | None, until: datetime | None) -> tuple[float | None, float | None]:
    begin, end = (moment.timestamp() if moment else None for moment in (since, until))
    return begin, end


def _member(states: type[T], name: str | None) -> T | None:
    """The state of that name, however its words are joined."""
    if name is None:
        return None
    try:
        return states[name.strip().upper().replace("-", "_").replace(" ", "_")]
    except KeyError:
        known = ", ".join(state.lower() for state in states.__members__)
        raise typer.BadParameter(f"{name} is not one of: {known}.") from None
