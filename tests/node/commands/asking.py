"""A configuration file, and commands that are given it on a terminal of 80 columns."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from survnode.node.cli import app

Ask = Callable[..., Result]
PACS = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n'


def asking(folder: Path, monkeypatch: pytest.MonkeyPatch, *, more: str = PACS) -> Ask:
    """Runs a command with the configuration of a node whose data lie in ``folder``."""
    monkeypatch.setenv("COLUMNS", "80")
    config = folder / "survnode.toml"
    config.write_text(f'data_dir = "{folder}"\nreceiver = {{ min_free_gib = 0 }}\n{more}')
    return lambda *words: CliRunner().invoke(app, [*words, "--config", str(config)])
