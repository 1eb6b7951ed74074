"""The commands of a node's administrator: what came, what became of it, and to take up again what failed."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from survnode.node.commands.options import Config, Json
from survnode.node.commands.printing import show, show_one
from survnode.node.errors import InputRefused

studies_app = typer.Typer(help="The studies that were received.", no_args_is_help=True)
jobs_app = typer.Typer(help="The analyses and what came of them.", no_args_is_help=True)


def check(config: Config, as_json: Json = False) -> None:
    """Look at configuration, checkpoint, weights, disk and every destination."""
    from survnode.node.commands.check import run_checks

    findings = list(run_checks(config))
    rows = [{"what": it.what, "ok": it.ok, "detail": it.detail} for it in findings]
    show(rows, as_json, title="survnode check", mark=lambda row: "green" if row["ok"] else "red")
    if not all(it.ok for it in findings):
        raise typer.Exit(1)


@studies_app.command("list")
def list_studies(config: Config, as_json: Json = False) -> None:
    """Every study and where it stands."""
    show(_status(config).studies(), as_json, title="studies")


@studies_app.command("show")
def show_study(uid: Annotated[str, typer.Argument(metavar="STUDY_UID")], config: Config, as_json: Json = False) -> None:
    """One study with its series, jobs, results and deliveries."""
    show_one(_status(config).study(uid), as_json)


@studies_app.command("retry")
def retry_study(
    uid: Annotated[str, typer.Argument(metavar="STUDY_UID")], config: Config, as_json: Json = False
) -> None:
    """Take up whatever failed in a study: its judgement, its jobs, its deliveries."""
    show_one(_status(config).retry_study(uid), as_json)


@studies_app.command("put-aside")
def put_study_aside(
    uid: Annotated[str, typer.Argument(metavar="STUDY_UID")], config: Config, as_json: Json = False
) -> None:
    """Move a study whose images name several patients to quarantine, so that it can be sent again, corrected."""
    from survnode.node.commands.put_aside import put_aside
    from survnode.node.config import load_config

    settings = load_config(config)
    moved = put_aside(database_of(settings), settings.received_dir, uid, now=time.time())
    show_one({"study_instance_uid": uid, "images_in_quarantine": moved}, as_json)


@jobs_app.command("list")
def list_jobs(config: Config, as_json: Json = False) -> None:
    """Every job and where it stands."""
    show(_status(config).jobs(), as_json, title="jobs")


@jobs_app.command("show")
def show_job(number: Annotated[int, typer.Argument(metavar="JOB")], config: Config, as_json: Json = False) -> None:
    """One job with its results and deliveries."""
    show_one(_status(config).job(number), as_json)


@jobs_app.command("retry")
def retry_job(number: Annotated[int, typer.Argument(metavar="JOB")], config: Config, as_json: Json = False) -> None:
    """Run a failed or quarantined job again; of a finished one, send again what was refused."""
    show_one(_status(config).retry_job(number), as_json)


def database_of(config: Any) -> Any:
    """The database of a node that has run; database and configuration are imported only when a command needs them."""
    from survnode.node.state.database import Database

    if not config.database_path.exists():
        raise InputRefused(f"There is no database at {config.database_path}: no node has run with this configuration.")
    return Database(config.database_path)


def _status(config: Path) -> Any:
    from survnode.node.commands.status import Status
    from survnode.node.config import load_config

    return Status(database_of(load_config(config)))
