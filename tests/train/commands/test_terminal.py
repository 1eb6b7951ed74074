"""What a person sees of long work: whole names, figures in words, warnings, and how to go on."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from survnode.train.commands.terminal import Bars, bars, show_entries, show_evaluation
from survnode.train.errors import SystemRefused
from survnode.train.measure.evaluate import Evaluation, evaluate


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    cif = np.linspace(0.1, 0.9, 8)[:, None] * np.linspace(0.04, 1, 24)
    event = np.array([False, False, True, False, True, True, True, True])
    return evaluate(np.array([40.0, 30, 20, 26, 15, 9, 11, 3]), event, cif, resamples=20)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_figures_have_their_words_and_not_the_names_of_the_program(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    show_evaluation(evaluation, "tiny", Path("OUT"), as_json=False)
    shown = capsys.readouterr().out
    assert "C-td (Antolini, ties half)" in shown
    assert "AUC at 24 months" in shown
    assert "_" not in shown.replace("adj_antolini", "")  # pycox's own name
    assert max(map(len, shown.splitlines())) <= 80
    assert "8 patients, 5 deaths, 5 within 24 months" in " ".join(shown.split())


def test_json_has_every_figure_by_its_name(evaluation: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    show_evaluation(evaluation, "tiny", Path("OUT"), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["metrics"].keys() == evaluation.metrics.keys()
    assert (told["out"], told["patients"], told["deaths"]) == ("OUT", 8, 5)


def test_no_name_is_cut_in_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "preprocessing.slice_filter=" + "[run]" * 20
    show_entries([(name, ["why " * 30])])
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == name
    assert len(lines) == 2
    assert all(line.startswith("    why") and len(line) <= 80 for line in lines)


def test_warning_is_shown_among_the_bars() -> None:
    shown = io.StringIO()
    Bars(Progress(console=Console(file=shown)))("warning", sentence="The figures [do not] tell.")
    assert shown.getvalue() == "warning: The figures [do not] tell.\n"


def test_full_disk_is_refused_in_words_that_say_how_to_go_on() -> None:
    with (
        pytest.raises(SystemRefused, match=r"No space left.*is kept\. The same command goes on"),
        bars(),
    ):
        raise OSError(28, "No space left on device")


def test_interruption_says_how_to_go_on() -> None:
    with pytest.raises(KeyboardInterrupt, match="The same command goes on where it was"), bars():
        raise KeyboardInterrupt
