"""The options that the commands of training share, and what they stand for.

Light: nothing here needs torch, so that ``--help`` answers at once.
"""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from survnode.model.extras import require_extra


def usable_folder(folder: Path | None) -> Path | None:
    """The folder, if it can be written or made: looked at before any work."""
    if folder is None:
        return None
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise typer.BadParameter(f"{nearest} is a file: name a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{nearest} may not be written.")
    return folder


CohortOption = Annotated[
    str,
    typer.Option(
        "--cohort",
        metavar="NAME|FILE.toml",
        help="lung1, claro, phantom, phantom-unseen, or a file that describes a cohort.",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        exists=False,
        help="Folder of its DICOM files in any layout; phantoms are written there if it has none.",
        show_default="as the cohort's file says",
    ),
]
Clinical = Annotated[
    Path | None, typer.Option(help="CSV of its outcomes, one row a patient.", show_default="as the cohort's file says")
]
Features = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="CSV of what is known beside the image, one row a patient; any columns.",
        show_default="nothing",
    ),
]
FeaturesAlone = Annotated[bool, typer.Option("--features-alone", help="The model sees the table and no image.")]
Deidentified = Annotated[
    bool,
    typer.Option(
        "--deidentified",
        help="Take CT without SOP Class UID, or with a frame of reference a slice; said in run and card.",
    ),
]
PresetOption = Annotated[str, typer.Option("--preset", help="Network, preprocessing and fit: see `survnode presets`.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the preset; repeatable."),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        callback=usable_folder, help="Folder of slices and features, for any runs.", show_default="the user's cache"
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one a core, one with a GPU")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
AllowOverlap = Annotated[
    bool,
    typer.Option(
        "--allow-overlap", help='Measure also whom a model has seen; results say "contains training patients".'
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def cache_folder(cache: Path | None) -> Path:
    """The folder that ``--cache`` names, or else the user's."""
    from platformdirs import user_cache_path  # noqa: PLC0415  not for --help

    return cache or user_cache_path("survnode")


def processes(workers: int | None, device: str) -> int:
    """How many ``--workers`` names, or else as many as the device wants."""
    return workers or ((os.cpu_count() or 1) if device == "cpu" else 1)


class TrainingCommand(TyperCommand):
    """A command that needs the extra [train], and says so before it begins; its help needs nothing."""

    def invoke(self, ctx: Any) -> object:  # the Context of whichever click typer has
        """Run the command."""
        require_extra("train", ctx.command_path)
        return super().invoke(ctx)
