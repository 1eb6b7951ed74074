"""Options that several commands have."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path, typer.Option("--config", envvar="SURVNODE_CONFIG", help="The node's TOML file.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show every column, with whole UIDs, however wide.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Rows at most.")]
PageNumber = Annotated[int, typer.Option("--page", min=1, help="Which page, counted from 1; a page has --limit rows.")]
StudyName = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="The Study Instance UID, or enough of its end to tell it from all others."),
]
Accession = Annotated[str | None, typer.Option("--accession", metavar="NUMBER", help="With this accession number.")]
PatientID = Annotated[str | None, typer.Option("--patient-id", metavar="ID", help="Of this patient.")]
Since = Annotated[datetime | None, typer.Option(help="Received at this local time or later.")]
Until = Annotated[datetime | None, typer.Option(help="Received before this local time.")]

# The members of `summaries.Standing` and `records.JobState`, which are not imported before a command runs.
STANDINGS = "receiving, waiting, analysed, not_analysed, withdrawn, failed, ignored"
JOB_STATES = "queued, running, finished, failed, quarantined, superseded"
StudyStanding = Annotated[str | None, typer.Option("--state", metavar="STATE", help=f"Where it stands: {STANDINGS}.")]
StateOfJob = Annotated[str | None, typer.Option("--state", metavar="STATE", help=f"Where it stands: {JOB_STATES}.")]
