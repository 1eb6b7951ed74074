"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path, typer.Option("--config", envvar="SURVNODE_CONFIG", help="The node's TOML file.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
