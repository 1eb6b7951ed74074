"""``survnode stress``: how far a prediction moves when the CT is disturbed."""
# ruff: noqa: PLC0415  torch and all that needs it is loaded when a command runs, not for --help

import csv
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from survnode.train.commands.options import Device, Json, usable_folder
from survnode.train.commands.terminal import COLUMNS, Bars

if TYPE_CHECKING:
    from survnode.train.measure.stress import Movement, StressedPrediction

CSV_COLUMNS = (
    "disturbance", "strength", "unit", "survival before", "survival after", "change", "largest change over the months",
    "rank correlation of attention", "reason", "detail", "warnings",
)  # fmt: skip


def stress(
    checkpoint: Annotated[str, typer.Argument(help='A checkpoint folder, or "demo" for the demonstration model.')],
    ct: Annotated[Path, typer.Option(metavar="DIR", help="Holds the DICOM files of one study.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(callback=usable_folder, help="Where stress.csv and the figure are written.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 42,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Show how far the prediction of one CT moves under noise, kernel, thickness, shift, contrast and crops.

    Nothing is known beside the image: a model that cannot do without is refused.
    """
    from survnode.model.checkpoint import checkpoint_folder, load_checkpoint
    from survnode.model.predict import Predictor
    from survnode.train.cohorts.one_ct import read_one_ct
    from survnode.train.measure.disturbances import disturbances, lung_extent_mm
    from survnode.train.measure.stress import stress as measure_stress

    predictor = Predictor(load_checkpoint(checkpoint_folder(checkpoint)), device)
    settings = predictor.card.preprocessing
    volume = read_one_ct(ct, settings.slice_spacing_mm)
    with closing(Bars(Progress(*COLUMNS, console=Console(stderr=True)))) as listener:
        stack = predictor.preprocess(volume)
        undisturbed = predictor.predict_stack(stack, volume.images)
        stressed = measure_stress(
            volume,
            predictor.predict,
            undisturbed,
            disturbances(lung_extent_mm(stack.lungs, settings.spacing_mm), seed),
            lambda done, total: listener("progress", stage="disturbances", done=done, total=total),
        )
        if out is not None:
            write_stress(out, stressed)
    show_stress(stressed, as_json=as_json)


def write_stress(out: Path, stressed: "StressedPrediction") -> None:
    """Write ``stress.csv``, ``stress.png`` and ``stress.svg``."""
    from survnode.train.paper.figures import save
    from survnode.train.paper.stress_figure import stress_figure

    out.mkdir(parents=True, exist_ok=True)
    with (out / "stress.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        writer.writerows(_row(it, stressed) for it in stressed.movements)
    save(stress_figure(stressed), out / "stress")


def _row(movement: "Movement", stressed: "StressedPrediction") -> tuple[JsonValue, ...]:
    """The values of `CSV_COLUMNS`."""
    it = movement.disturbance
    return (
        str(it.kind),
        it.strength,
        it.unit,
        float(stressed.undisturbed.survival[-1]),
        None if movement.survival is None else float(movement.survival[-1]),
        movement.change,
        movement.largest_change,
        movement.attention_correlation,
        None if movement.reason is None else str(movement.reason),
        movement.detail,
        " ".join(movement.warnings),
    )


def show_stress(stressed: "StressedPrediction", *, as_json: bool) -> None:
    """Print a row a disturbance."""
    if as_json:
        typer.echo(json.dumps(_as_json(stressed)))
        return
    before = f"{100 * float(stressed.undisturbed.survival[-1]):.1f} %"
    month = stressed.horizon_months
    table = Table(
        "disturbance", "strength", f"survival at {month} months", "change", "largest over months", "attention",
        title=f"As it is, the CT's predicted survival at {month} months is {before}",
        caption=_furthest(stressed),
    )  # fmt: skip
    table.columns[2].overflow = "fold"  # no code is cut, however narrow the terminal is
    for movement in stressed.movements:
        table.add_row(*_cells(movement))
    Console().print(table)


def _cells(movement: "Movement") -> tuple[str, ...]:
    it = movement.disturbance
    named = str(it.kind), f"{it.strength:g} {it.unit}"
    if movement.survival is None:
        return (*named, f"refused: {movement.reason}", "", "", "")
    after = " ".join([f"{100 * float(movement.survival[-1]):.1f} %", *movement.warnings])
    rank = movement.attention_correlation
    changes = _points(movement.change), _points(movement.largest_change)
    return (*named, after, *changes, "not defined" if rank is None else f"{rank:.2f}")


def _points(change: float | None) -> str:
    return "" if change is None else f"{100 * change:+.1f}"


def _furthest(stressed: "StressedPrediction") -> str:
    it = stressed.furthest
    refused = sum(movement.survival is None for movement in stressed.movements)
    parts = ["Changes are in percentage points; attention is told by its rank correlation."]
    parts.append(f"{refused} of {len(stressed.movements)} disturbed CT are refused.")
    if it is not None:
        parts.append(f"Furthest: {it.disturbance} ({_points(it.change)}).")
    return " ".join([*parts, "One CT says nothing of others. Research use only."])


def _as_json(stressed: "StressedPrediction") -> JsonValue:
    names = [name.replace(" ", "_") for name in CSV_COLUMNS]
    rows: list[JsonValue] = [dict(zip(names, _row(it, stressed), strict=True)) for it in stressed.movements]
    model = stressed.undisturbed.model
    return {
        "model": model.name,
        "device_uid": model.device_uid,
        "horizon_months": stressed.horizon_months,
        "survival": stressed.undisturbed.survival.tolist(),
        "disturbances": rows,
    }
