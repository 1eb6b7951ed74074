"""The command line, and the place where the parts are put together.

Nothing heavy is imported before a command needs it: ``survnode --help`` answers at once.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from survnode.model.errors import ModelError
from survnode.node.errors import InputRefused, NodeError

app = typer.Typer(
    help="A DICOM node that predicts survival from chest CT. Research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
studies_app = typer.Typer(help="The studies that were received.", no_args_is_help=True)
jobs_app = typer.Typer(help="The analyses and what came of them.", no_args_is_help=True)
model_app = typer.Typer(help="Checkpoints.", no_args_is_help=True)
app.add_typer(studies_app, name="studies")
app.add_typer(jobs_app, name="jobs")
app.add_typer(model_app, name="model")

Config = Annotated[
    Path, typer.Option("--config", envvar="SURVNODE_CONFIG", help="The node's TOML file.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
Model = Annotated[str, typer.Option(help='A checkpoint folder, or "demo" for the demonstration model.')]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]


def main() -> None:
    """Run a command: exit code 0 done, 1 refused with the reason, 2 wrong use."""
    try:
        app()
    except (NodeError, ModelError) as refusal:
        Console(stderr=True, soft_wrap=True).print(f"refused: {refusal}", style="bold red", markup=False)
        sys.exit(1)


@app.command()
def serve(config: Config) -> None:
    """Run the node until SIGTERM."""
    from survnode.node.config import load_config
    from survnode.node.service.service import Service

    Service(load_config(config)).run()


@app.command()
def check(config: Config, as_json: Json = False) -> None:
    """Look at configuration, checkpoint, weights, disk and every destination."""
    from survnode.node.commands.check import run_checks

    findings = list(run_checks(config))
    rows = [{"what": it.what, "ok": it.ok, "detail": it.detail} for it in findings]
    _show(rows, as_json, title="survnode check", mark=lambda row: "green" if row["ok"] else "red")
    if not all(it.ok for it in findings):
        raise typer.Exit(1)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="CT files, any names.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the results are written.")],
    model: Model = "demo",
    lungs: Annotated[Path | None, typer.Option(help="Also write the lung mask here (.nii.gz).")] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Analyse the CT in a folder as the node would, without a network."""
    from survnode.node.commands.predict import predict_folder

    with Console(stderr=True).status("Loading the model and analysing the CT ..."):
        outcome = predict_folder(folder, out, model=model, device=device, lungs=lungs)
    if as_json:
        sys.stdout.write(json.dumps(outcome.summary, indent=2) + "\n")
    elif outcome.reason is None:
        from survnode.node.commands.terminal import show_prediction

        show_prediction(Console(), outcome.summary, out)
    if outcome.reason is not None:
        Console(stderr=True).print(f"not analysed: {outcome.reason.sentence} {outcome.detail}", markup=False)
        raise typer.Exit(1)


@app.command()
def demo(
    ct: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A folder with one CT study; default: a phantom.")
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the received results are written.")] = Path(
        "survnode-demo"
    ),
) -> None:
    """Run a whole node on this machine: a CT goes in over DICOM, its report and slices come out."""
    from survnode.node.commands.demo import run_demo

    run_demo(ct, out)


def _passed_on(name: str, words: str) -> None:
    """A command of ``survnode.train``, which reads its own arguments; its module is imported when it is called."""

    def call(context: typer.Context) -> None:
        from survnode.train import cli

        apps = {
            "train": cli.app,
            "evaluate": cli.evaluate_app,
            "experiment": cli.experiment_app,
            "presets": cli.presets_app,
        }
        try:
            apps[name](args=list(context.args), prog_name=f"survnode {name}")
        except cli.TrainError as refusal:
            raise InputRefused(str(refusal)) from refusal

    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(name, help=words, context_settings=settings, add_help_option=False)(call)


_passed_on("train", "Train a model on a cohort, with every fold measured on patients it never saw.")
_passed_on("evaluate", "Measure a finished model on a cohort.")
_passed_on("experiment", "The paper's questions as named experiments, and their report.")
_passed_on("presets", "Every setting in which the training presets differ, and why.")


@model_app.command("show")
def show_model(name: Annotated[str, typer.Argument(metavar="CKPT")] = "demo", as_json: Json = False) -> None:
    """What a checkpoint says of itself, its hashes checked."""
    from survnode.model.checkpoint import checkpoint_folder, read_card

    card = read_card(checkpoint_folder(name)).model_dump(mode="json")
    card.pop("cohort_survival")
    if as_json:
        sys.stdout.write(json.dumps(card, indent=2) + "\n")
        return
    console = Console(soft_wrap=True)
    for key, value in card.items():
        console.print(f"[bold]{key}[/bold]", value if isinstance(value, str | int | bool) else json.dumps(value))


@studies_app.command("list")
def list_studies(config: Config, as_json: Json = False) -> None:
    """Every study and where it stands."""
    _show(_status(config).studies(), as_json, title="studies")


@studies_app.command("show")
def show_study(uid: Annotated[str, typer.Argument(metavar="STUDY_UID")], config: Config, as_json: Json = False) -> None:
    """One study with its series, jobs, results and deliveries."""
    _show_one(_status(config).study(uid), as_json)


@studies_app.command("retry")
def retry_study(
    uid: Annotated[str, typer.Argument(metavar="STUDY_UID")], config: Config, as_json: Json = False
) -> None:
    """Take up whatever failed in a study: its judgement, its jobs, its deliveries."""
    _show_one(_status(config).retry_study(uid), as_json)


@studies_app.command("put-aside")
def put_study_aside(
    uid: Annotated[str, typer.Argument(metavar="STUDY_UID")], config: Config, as_json: Json = False
) -> None:
    """Move a study whose images name several patients to quarantine, so that it can be sent again, corrected."""
    from survnode.node.commands.put_aside import put_aside
    from survnode.node.config import load_config

    settings = load_config(config)
    moved = put_aside(_database(settings), settings.received_dir, uid, now=time.time())
    _show_one({"study_instance_uid": uid, "images_in_quarantine": moved}, as_json)


@jobs_app.command("list")
def list_jobs(config: Config, as_json: Json = False) -> None:
    """Every job and where it stands."""
    _show(_status(config).jobs(), as_json, title="jobs")


@jobs_app.command("show")
def show_job(number: Annotated[int, typer.Argument(metavar="JOB")], config: Config, as_json: Json = False) -> None:
    """One job with its results and deliveries."""
    _show_one(_status(config).job(number), as_json)


@jobs_app.command("retry")
def retry_job(number: Annotated[int, typer.Argument(metavar="JOB")], config: Config, as_json: Json = False) -> None:
    """Run a failed or quarantined job again; of a finished one, send again what was refused."""
    _show_one(_status(config).retry_job(number), as_json)


@app.command()
def send(  # noqa: PLR0913, PLR0917  each is an option of the command
    config: Config,
    study: Annotated[str | None, typer.Option(metavar="STUDY_UID", help="The results of this study.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Results made at this local time or later.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Results made before this local time.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="DEVICE_UID", help="Results of this version of the model.")
    ] = None,
    destination: Annotated[str | None, typer.Option(metavar="NAME", help="Only to this one.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Send a note that rejects them (113001, DCM).")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Have the studies analysed again, by today's model.")] = False,
    as_json: Json = False,
) -> None:
    """Send results again, withdraw them, or have them made anew; what is given must all be true of them."""
    from survnode.node.commands.send import Reissue, Selection, destinations_of
    from survnode.node.config import load_config
    from survnode.node.service.children import layout_of

    if not any((study, since, until, model)):
        raise typer.BadParameter("Say which results: --study, --since, --until or --model.")
    if withdraw and anew:
        raise typer.BadParameter("Withdraw first, then have them made anew: each is a command of its own.")
    settings = load_config(config)
    begin, end = (moment.timestamp() if moment else None for moment in (since, until))
    selection = Selection(study, begin, end, model)
    reissue = Reissue(_database(settings), settings.results_dir, destinations_of(settings, destination))
    if withdraw:
        rows = reissue.withdraw(selection, layout_of(settings))
    else:
        rows = reissue.make_anew(selection) if anew else reissue.send_again(selection)
    _show(rows, as_json, title="results")


def _status(config: Path) -> Any:
    from survnode.node.commands.status import Status
    from survnode.node.config import load_config

    return Status(_database(load_config(config)))


def _database(config: Any) -> Any:
    """The database of a node that has run; database and configuration are imported only when a command needs them."""
    from survnode.node.state.database import Database

    if not config.database_path.exists():
        raise InputRefused(f"There is no database at {config.database_path}: no node has run with this configuration.")
    return Database(config.database_path)


def _show(
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
        return "ok" if value else "not ok"
    return "" if value is None else str(value)


def _show_one(row: dict[str, Any], as_json: bool) -> None:
    """Print a record as JSON, or its values and then its lists as tables."""
    if as_json:
        sys.stdout.write(json.dumps(row, indent=2) + "\n")
        return
    console = Console(soft_wrap=True)
    for name, value in row.items():
        if isinstance(value, list):
            _show(value, as_json=False, title=name)
        else:
            console.print(f"[bold]{name.replace('_', ' ')}[/bold] {_cell(value)}", highlight=False)


if __name__ == "__main__":
    main()
