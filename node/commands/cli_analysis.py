"""The commands that analyse a CT: ``predict`` without a network, ``demo`` with a whole node."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from survnode.node.commands.exit_codes import ExitCode
from survnode.node.commands.options import Json

if TYPE_CHECKING:
    from survnode.node.commands.predict import StudyPrediction

Model = Annotated[str, typer.Option(help='A checkpoint folder, or "demo" for the demonstration model.')]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
Objects = Annotated[  # the roles that are not made by default: `survnode.node.commands.predict.OPTIONAL`
    list[str] | None,
    typer.Option(metavar="NAME", help="Also make this: pdf, segmentation, attention_report or all; repeatable."),
]


def predict(  # noqa: PLR0913, PLR0917  each is an option of the command
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", exists=True, file_okay=False, help="CT files, any names.")
    ],
    out: Annotated[Path, typer.Option(file_okay=False, show_default=False, help="Where the results are written.")],
    model: Model = "demo",
    objects: Objects = None,
    lungs: Annotated[Path | None, typer.Option(help="Also write the lung mask of one study here (.nii.gz).")] = None,
    features: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="CSV of what is known beside the images, by PatientID."),
    ] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Analyse the CT in one or more folders as the node would, without a network.

    Of one study the results are written to OUT; of several, each has a folder of its own in OUT, named by its Study
    Instance UID, and OUT/studies.csv says what became of each. Exit code 1: one or more were not analysed.
    """
    from survnode.node.commands.predict import PredictRequest, predict_studies, prepare, row_of, write_rows

    request = PredictRequest(tuple(folders), out, model, device, objects or (), lungs, features)
    predictions: list[StudyPrediction] = []
    with _progress() as progress:
        task = progress.add_task("loading the model", total=None)
        studies, pipeline = prepare(request)
        progress.update(task, total=len(studies))
        for done in predict_studies(request, studies, pipeline, lambda what: progress.update(task, description=what)):
            predictions.append(done)
            progress.advance(task)
    if len(predictions) > 1:
        write_rows([row_of(prediction) for prediction in predictions], out / "studies.csv")
    _show_predictions(predictions, out, as_json=as_json)
    if not all(prediction.analysed for prediction in predictions):
        raise typer.Exit(ExitCode.REFUSED)


def demo(
    ct: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A folder with one CT study; default: a phantom.")
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the received results are written.")] = Path(
        "survnode-demo"
    ),
    objects: Objects = None,
) -> None:
    """Run a whole node on this machine: a CT goes in over DICOM, its report and slices come out."""
    from survnode.node.commands.demo import run_demo

    if not run_demo(ct, out, objects or ()):
        raise typer.Exit(ExitCode.REFUSED)


def _progress() -> Progress:
    columns = (SpinnerColumn("line"), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _show_predictions(predictions: "list[StudyPrediction]", out: Path, *, as_json: bool) -> None:
    from survnode.node.commands.predict import row_of
    from survnode.node.commands.printing import print_json
    from survnode.node.commands.terminal import show_prediction, show_studies

    if len(predictions) > 1:
        rows = [row_of(prediction) for prediction in predictions]
        print_json(rows) if as_json else show_studies(Console(), rows, out)
        return
    (alone,) = predictions
    if alone.outcome is not None and as_json:
        sys.stdout.write(json.dumps(alone.outcome.summary, indent=2) + "\n")
    elif alone.outcome is not None and alone.analysed:
        show_prediction(Console(), alone.outcome.summary, out)
    if not alone.analysed:
        word = "refused" if alone.outcome is None else "not analysed"
        Console(stderr=True, soft_wrap=True).print(f"{word}: {alone.why_not}", markup=False, highlight=False)
