"""Every command, train's too, is fed what nobody should give it: it ends in one sentence and never in a traceback.

The tree of commands is walked, so a new command or option is fed as well. A command gets all that it requires, in a
form in which its work cannot begin; then one of its parameters after the other is wrong in every way of its kind.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from survnode.node import cli
from survnode.node.commands.exit_codes import run

AT_LEAST = 20  # commands: a walk that met none has tested nothing
UNREADABLE = bytes(range(256)) * 4


@dataclass(frozen=True)
class Case:
    """One command line, and which of its parameters is wrong in which way."""

    words: tuple[str, ...]
    wrong: str

    def __str__(self) -> str:
        return f"{' '.join(self.words[:2])} {self.wrong}"


def leaves(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The commands below ``command`` that do something, and their names from the root."""
    if not hasattr(command, "list_commands"):
        yield names, command
        return
    for name in command.list_commands(None):
        yield from leaves(command.get_command(None, name), *names, name)


COMMANDS = dict(leaves(get_command(cli.app)))
PATHS = {  # by what it is: made below in the folder that the test runs in
    "absent": "absent/absent",
    "a folder": "folder",
    "a text file": "file.txt",
    "unreadable bytes": "bytes.bin",
    "an image": "image.png",
    "below a file": "file.txt/below",
    "empty": "",
    "not Unicode": os.fsdecode(b"\xff\xfe"),
}
VALUES = {  # whatever the parameter is: what is right for one is the wrong type for the next
    **PATHS,
    "a word": "no-such-thing",
    "long": "x" * 5000,
    "negative": "-1",
    "a fraction": "1.5",
    "huge": "9" * 30,
    "a moment": "2026-01-01",
}
RIGHT = {  # what lets a command begin and not work: the configuration of a node that never ran, a cohort without files
    "config": "survnode.toml",
    "cohort": "lung1",
    "second": "claro",
    "model": "folder",
    "out": "out",
    "data": "folder",
    "second_data": "folder",
    "folders": "folder",
    "ct": "folder",
    "study": "1.2.3",
}


def words_of(parameter: Any, value: str) -> tuple[str, ...]:
    return (value,) if parameter.param_type_name == "argument" else (max(parameter.opts, key=len), value)


def given(parameter: Any) -> tuple[str, ...]:
    """The words of a parameter that is right."""
    return words_of(parameter, RIGHT.get(parameter.name, "1"))


def cases(names: tuple[str, ...], command: Any) -> Iterator[Case]:
    parameters = [it for it in command.params if not getattr(it, "is_flag", False) and it.name != "help"]
    needed = [it for it in parameters if it.required or it.name in {"config", "cohort", "data", "ct"}]
    for wrong in parameters:
        for kind, value in VALUES.items():
            others = [word for it in needed if it is not wrong for word in given(it)]
            yield Case((*names, *others, *words_of(wrong, value)), f"{wrong.name} {kind}")
    yield Case((*names, *(word for it in needed for word in given(it)), "--no-such-option"), "unknown option")
    yield Case((*names, *(word for it in needed for word in given(it)), "one", "word", "more"), "words too many")


def test_the_walk_meets_the_commands() -> None:
    assert len(COMMANDS) >= AT_LEAST
    assert {("serve",), ("train",), ("experiment", "run"), ("studies", "show")} <= set(COMMANDS)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that `PATHS` and `RIGHT` name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SURVNODE_CONFIG", raising=False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("A line of words, which is neither TOML nor CSV nor DICOM.\n")
    (tmp_path / "bytes.bin").write_bytes(UNREADABLE)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + UNREADABLE)
    # A node with this configuration can neither start, its folder being a file, nor has it ever run.
    (tmp_path / "survnode.toml").write_text('data_dir = "file.txt"\n')
    return tmp_path


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_whatever_a_command_is_given_it_ends_in_a_sentence(
    names: tuple[str, ...], here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert here.exists()
    faults = []
    for case in cases(names, COMMANDS[names]):
        monkeypatch.setattr(sys, "argv", ["survnode", *case.words])
        code = 0
        try:
            run(cli.app, cli._refusals_of_training)
        except SystemExit as end:
            code = int(str(end.code))
        except BaseException as error:  # noqa: BLE001  each is a finding, and the next case is to be seen too
            faults.append(f"{case}: {type(error).__name__}: {error}")
        out, err = capfd.readouterr()
        faults += [f"{case}: {fault}" for fault in judged(names, code, out, err)]
    assert faults == []


ANSWERS = {("check",), ("presets",), ("experiment", "list"), ("model", "show")}  # they may have something to say


def judged(names: tuple[str, ...], code: int, out: str, err: str) -> Iterator[str]:
    """What is wrong with how a command ended."""
    if "Traceback" in err or "Traceback" in out:
        yield "a traceback"
    if names in ANSWERS and out:
        return
    if code not in {1, 2}:
        yield f"exit code {code}"
    if out:
        yield f"standard output: {out[:80]!r}"
    if not err.lstrip().startswith(("refused: ", "wrong use: ", "not analysed: ")):
        yield f"standard error: {err[:200]!r}"
