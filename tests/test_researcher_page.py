"""docs/researcher.md is true: its files are read, its commands are understood."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from survnode.train.cli import app
from survnode.train.cohorts.clinical import TimeUnit
from survnode.train.cohorts.description import TableDescription, describe, read_description

PAGE = (Path(__file__).parents[1] / "docs" / "researcher.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


def test_cohort_of_the_page_is_read(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    described = read_description(tmp_path / "mine.toml")
    assert isinstance(described, TableDescription)
    assert (described.data, described.columns.unit) == (tmp_path / "ct", TimeUnit.DAYS)
    assert described.pretreatment is not None
    assert described.pretreatment.treatment_column == "treatment_began"


@pytest.mark.parametrize("line", COMMANDS)
def test_command_of_the_page_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "BENCH").mkdir()
    (tmp_path / "mine.toml").write_text(blocks("toml")[0], encoding="utf-8")
    program, *words = shlex.split(line)
    assert program == "survnode"
    command = get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    context = command.make_context("survnode", words)
    for cohort in (context.params.get("cohort"), context.params.get("unseen"), context.params.get("second")):
        if cohort is not None:
            describe(cohort, Path("data"), None if "phantom" in cohort else Path("table.csv"))
