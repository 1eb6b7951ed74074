"""The options that ``survnode train`` and ``survnode evaluate`` share.

Light: nothing here needs torch, so that ``--help`` answers at once.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from survnode.model.extras import require_extra
from survnode.train.cohorts.clinical import TimeUnit
from survnode.train.names import CohortName

CohortOption = Annotated[
    CohortName,
    typer.Option("--cohort", help="table: any CSV and DICOM tree; phantom: computed, no download."),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder of DICOM files in any layout. With phantoms: where they are written if it is not there."),
]
Clinical = Annotated[
    Path | None, typer.Option(help="CSV of outcomes, one row a patient.", show_default="DIR/clinical.csv of phantoms")
]
Cache = Annotated[
    Path | None, typer.Option(help="Folder of slices and features, for any runs.", show_default="the user's cache")
]
Patients = Annotated[int, typer.Option(min=8, help="Phantoms to write, or to learn from.")]
IdColumn = Annotated[str | None, typer.Option(help="Column of the PatientID (claro, table).")]
TimeColumn = Annotated[str | None, typer.Option(help="Column of the time from CT to death or end of follow-up.")]
EventColumn = Annotated[str | None, typer.Option(help="Column that says whether the patient died.")]
Unit = Annotated[TimeUnit, typer.Option(help="Of the time column (claro, table).")]
TreatmentColumn = Annotated[
    str | None, typer.Option(help="Column of the day on which treatment began: only a CT up to it counts (claro).")
]
DayFormat = Annotated[str, typer.Option(help="Of the treatment column.")]
CtDescription = Annotated[
    str | None, typer.Option(help="Regular expression that a study's or series' description must match (claro).")
]
PaperExclusions = Annotated[
    bool, typer.Option(help="Leave out the seven patients that the paper leaves out (lung1); geometry always counts.")
]
ExcludeFaulty = Annotated[
    bool, typer.Option("--exclude-faulty", help="Leave patients with a faulty row out instead of refusing the table.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one a core, one with a GPU")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


class TrainingCommand(TyperCommand):
    """A command that needs the extra [train], and says so before it begins; its help needs nothing."""

    def invoke(self, ctx: Any) -> object:  # the Context of whichever click typer has
        """Run the command."""
        require_extra("train", ctx.command_path)
        return super().invoke(ctx)
