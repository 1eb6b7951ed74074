"""Commands of survnode, run in the process of the test: one of its own would load half of its packages anew.

A test of what only a process has (signals, pipes, what it loads, how it is started) starts one.
"""

import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from survnode.node.cli import main

from .conftest import forget_log


@dataclass(frozen=True)
class Ended:
    """How a command ended: what a shell sees of it."""

    returncode: int
    stdout: str
    stderr: str


def survnode(*words: str | Path) -> Ended:
    """Run one command."""
    out, err = TextIOWrapper(BytesIO()), TextIOWrapper(BytesIO())
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["survnode", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        forget_log()
    return Ended(int(str(end.value.code)), _written(out), _written(err))


def _written(stream: TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, BytesIO)
    return buffer.getvalue().decode()
