"""What the command says and how it ends; the analysis is another's."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from survnode.model.errors import Reason
from survnode.node.cli import app
from survnode.node.commands import predict
from survnode.node.commands.predict import StudyPrediction
from survnode.node.commands.study_folders import StudyFiles
from survnode.node.work.pipeline import AnalysisOutcome

REFUSED = AnalysisOutcome((), {"status": "not analysed"}, reason=Reason.TOO_FEW_SLICES, detail="Found 3.")
Ask = Callable[..., Result]


def made(folder: Path, outcome: AnalysisOutcome | None, refusal: str = "") -> StudyPrediction:
    return StudyPrediction(StudyFiles("1.2.3", named=folder), folder / "out", outcome, refusal)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs ``predict`` where the analysis gives what the test says."""

    def ask(predictions: list[StudyPrediction], *options: str) -> Result:
        def predict_studies(*_: Any) -> Iterator[StudyPrediction]:
            yield from predictions

        monkeypatch.setattr(predict, "prepare", lambda _: ([p.study for p in predictions], None))
        monkeypatch.setattr(predict, "predict_studies", predict_studies)
        (tmp_path / "out").mkdir(exist_ok=True)
        return CliRunner().invoke(app, ["predict", str(tmp_path), "--out", str(tmp_path / "out"), *options])

    return ask


def test_one_study_without_a_report_is_refused_on_standard_error(ask: Ask, tmp_path: Path) -> None:
    ended = ask([made(tmp_path, None, "The disk is full.")])
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", "refused: The disk is full.\n")


def test_one_study_that_was_not_analysed_says_why_and_json_is_whole_all_the_same(ask: Ask, tmp_path: Path) -> None:
    ended = ask([made(tmp_path, REFUSED)], "--json")
    assert (ended.exit_code, json.loads(ended.stdout)) == (1, {"status": "not analysed"})
    assert ended.stderr == "not analysed: There are too few slices. Found 3.\n"


def test_of_several_there_is_a_table_and_a_file_and_one_refusal_is_enough_for_code_1(ask: Ask, tmp_path: Path) -> None:
    ended = ask([made(tmp_path, REFUSED), made(tmp_path, None, "It is empty.")])
    assert ended.exit_code == 1
    assert "There are too few slices. Found 3." in " ".join(ended.stdout.split())
    with (tmp_path / "out" / "studies.csv").open(newline="") as file:
        assert [(row["status"], row["why"]) for row in csv.DictReader(file)] == [
            ("not analysed", "There are too few slices. Found 3."), ("refused", "It is empty."),
        ]  # fmt: skip


def test_a_folder_that_is_not_there_is_wrong_use() -> None:
    assert CliRunner().invoke(app, ["predict", "/nowhere", "--out", "/nowhere/out"]).exit_code == 2
