"""What ``survnode send`` asks before it withdraws, and which options do not go together."""

import os
import pty
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from survnode.node.state.database import Database

from ...command_line import survnode

SEND = [sys.executable, "-m", "survnode.node.cli", "send", "--study", "1.2"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a node that has run and has no results."""
    (tmp_path / "data").mkdir()
    Database(tmp_path / "data" / "survnode.db").close()
    path = tmp_path / "survnode.toml"
    destination = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n'
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n{destination}')
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--withdraw"], "--withdraw needs --yes, or --dry-run"),
        (["--withdraw", "--yes", "--dry-run"], "nothing to say --yes to"),
        (["--yes"], "belong to --withdraw"),
        (["--dry-run"], "belong to --withdraw"),
        (["--anew", "--withdraw", "--yes"], "each is a command of its own"),
        (["--anew", "--destination", "pacs"], "--anew takes no --destination"),
    ],
)
def test_options_that_say_nothing_together_are_wrong_use(
    config: Path, options: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())  # no terminal
    done = survnode("send", "--study", "1.2", "--config", config, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_on_a_terminal_it_may_ask(config: Path) -> None:
    ours, theirs = pty.openpty()
    command = [*SEND, "--config", str(config), "--withdraw"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 1  # so it got further than a script does: there is no such study
    assert done.stderr.startswith("refused: There")
