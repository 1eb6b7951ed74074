"""The command line, and the place where the parts are put together.

Nothing heavy is imported before a command needs it: ``survnode --help`` answers at once.
"""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.main import get_command

from survnode.node.commands.administration import (
    associations_app,
    check,
    deliveries_app,
    jobs_app,
    show_reissued,
    status,
    studies_app,
)
from survnode.node.commands.asked import database_of
from survnode.node.commands.ending import EXIT_CODES, Commands, run
from survnode.node.commands.options import Config, Json


class _Commands(Commands):
    """The node's commands, and those of training, whose module is imported when one of them, or help, is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, the node's first."""
        return [*super().list_commands(ctx), *_training_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, None if there is none."""
        return super().get_command(ctx, cmd_name) or _training_commands().get(cmd_name)


def _training_commands() -> dict[str, Any]:
    from survnode.train.cli import app as training

    group: Any = get_command(training)
    return dict(group.commands)


app = typer.Typer(
    cls=_Commands,
    help="A DICOM node that predicts survival from chest CT. Research use only.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
model_app = typer.Typer(help="Checkpoints.", no_args_is_help=True)
app.add_typer(studies_app, name="studies")
app.add_typer(jobs_app, name="jobs")
app.add_typer(deliveries_app, name="deliveries")
app.add_typer(associations_app, name="associations")
app.add_typer(model_app, name="model")

Model = Annotated[str, typer.Option(help='A checkpoint folder, or "demo" for the demonstration model.')]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"survnode {version('survnode')}")
        raise typer.Exit


def main() -> None:
    """Run a command; how it ends is in `survnode.node.commands.ending`."""
    run(app, _refusals_of_training)


@app.callback()
def survnode(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """A DICOM node that predicts survival from chest CT. Research use only."""


def _refusals_of_training() -> type[Exception]:
    from survnode.train.cli import TrainError

    return TrainError


@app.command()
def serve(config: Config) -> None:
    """Run the node until SIGTERM."""
    from survnode.node.config import load_config
    from survnode.node.service.service import Service

    Service(load_config(config)).run()


app.command()(check)
app.command()(status)


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


@app.command()
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
    destination: Annotated[str | None, typer.Option(metavar="NAME", help="Only to this one.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Send a note that rejects them (113001, DCM).")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Have the studies analysed again, by today's model.")] = False,
    as_json: Json = False,
) -> None:
    """Send results again, withdraw them, or have them made anew: those that fit all that is given."""
    from survnode.node.commands.send import Reissue, destinations_of
    from survnode.node.config import load_config
    from survnode.node.service.children import layout_of
    from survnode.node.state.reissuing import Selection
    from survnode.node.state.short_uids import find_study

    if not any((study, since, until, model)):
        raise typer.BadParameter("Say which results: --study, --since, --until or --model.")
    if withdraw and anew:
        raise typer.BadParameter("Withdraw first, then have them made anew: each is a command of its own.")
    settings = load_config(config)
    begin, end = (moment.timestamp() if moment else None for moment in (since, until))
    database = database_of(settings)
    selection = Selection(study and find_study(database, study), begin, end, model)
    reissue = Reissue(database, settings.results_dir, destinations_of(settings, destination))
    if withdraw:
        rows = reissue.withdraw(selection, layout_of(settings))
    else:
        rows = reissue.make_anew(selection) if anew else reissue.send_again(selection)
    show_reissued(rows, as_json)


if __name__ == "__main__":
    main()
