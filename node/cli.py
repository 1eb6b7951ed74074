"""The command line, and the place where the parts are put together.

Nothing heavy is imported before a command needs it: ``survnode --help`` answers at once.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.main import get_command

from survnode.node.commands.cli_administration import (
    associations_app,
    check,
    deliveries_app,
    jobs_app,
    status,
    studies_app,
)
from survnode.node.commands.cli_analysis import demo, predict
from survnode.node.commands.cli_audit import audit_app
from survnode.node.commands.cli_fetch import fetch
from survnode.node.commands.cli_quarantine import quarantine_app
from survnode.node.commands.cli_send import send
from survnode.node.commands.exit_codes import EXIT_CODES, Commands, run
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
rules_app = typer.Typer(help="What the configuration's rules do with studies.", no_args_is_help=True)
app.add_typer(studies_app, name="studies")
app.add_typer(jobs_app, name="jobs")
app.add_typer(deliveries_app, name="deliveries")
app.add_typer(associations_app, name="associations")
app.add_typer(audit_app, name="audit")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(model_app, name="model")
app.add_typer(rules_app, name="rules")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"survnode {version('survnode')}")
        raise typer.Exit


def main() -> None:
    """Run a command; how it ends is in `survnode.node.commands.exit_codes`."""
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
    """Run the node until SIGTERM; SIGHUP has it read again who may send."""
    from survnode.node.config import load_config
    from survnode.node.service.service import Service

    Service(load_config(config), config).run()


app.command()(check)
app.command()(status)


app.command()(predict)
app.command()(demo)


@rules_app.command("test")
def try_rules(
    folder: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="DICOM files.")],
    config: Config,
    calling: Annotated[str, typer.Option(metavar="AE_TITLE", help="The sender to assume.")] = "",
    called: Annotated[
        str, typer.Option(metavar="AE_TITLE", help="The AE title that it calls; default: the node's first.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Say of each study in a folder what would become of it; nothing is sent or stored."""
    from survnode.node.commands.printing import print_json
    from survnode.node.commands.try_rules import foresee, lines_of
    from survnode.node.config import load_config

    settings = load_config(config)
    foreseen = foresee(folder, settings, calling, called or settings.receiver.ae_title)
    if as_json:
        print_json(foreseen)
    else:
        for study in foreseen:
            Console(highlight=False, soft_wrap=True).print("\n".join(lines_of(study)), "", sep="\n", markup=False)


@model_app.command("show")
def show_model(name: Annotated[str, typer.Argument(metavar="CKPT")] = "demo", as_json: Json = False) -> None:
    """What a checkpoint says of itself, its hashes checked."""
    from survnode.model.checkpoint import checkpoint_folder, read_card
    from survnode.node.commands.model_card import lines_of
    from survnode.node.commands.printing import print_json

    card = read_card(checkpoint_folder(name)).model_dump(mode="json")
    card.pop("cohort_survival")
    if as_json:
        print_json(card)
    else:
        console = Console(highlight=False, soft_wrap=True)
        console.print("\n".join(lines_of(card, console.width)), markup=False)


app.command()(send)
app.command()(fetch)


if __name__ == "__main__":
    main()
