import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from survnode.train.commands.experiment import app, origin
from survnode.train.errors import NothingToMeasure
from survnode.train.names import Preset
from survnode.train.paper.bench import Bench
from survnode.train.presets import PRESETS

TABLE = "id,months,died\n" + "".join(f"P{k},{3 * k},{k % 2}\n" for k in range(1, 9))


def invoke(*words: str) -> Any:  # JSON
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_question_is_listed() -> None:
    assert [one["name"] for one in invoke("list")] == [
        "q1-3d", "q2-fusion", "q3-encoders", "q4-transfer", "q5-cost", "attention",
    ]  # fmt: skip


def test_the_list_fits_a_terminal() -> None:
    result = CliRunner().invoke(app, ["list"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "q4-transfer" in result.stdout


@pytest.mark.parametrize(("wrong", "said"), [(["q9"], "q4-transfer"), (["--encoder", "lenet"], "efficientnet_b0")])
def test_what_is_not_known_is_wrong_use_and_the_known_names_are_told(
    wrong: list[str], said: str, tmp_path: Path
) -> None:
    words = ["run", "--cohort", "table", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *wrong]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert said in result.output


def test_a_report_of_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingToMeasure):
        CliRunner().invoke(app, ["report", "--out", str(tmp_path)], catch_exceptions=False)


def test_when_nothing_could_run_the_reasons_are_shown_and_the_exit_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    (tmp_path / "ct").mkdir()
    (tmp_path / "table.csv").write_text(TABLE)
    words = [
        "run", "q2-fusion", "--cohort", "table", "--data", str(tmp_path / "ct"), "--clinical",
        str(tmp_path / "table.csv"), "--id-column", "id", "--time-column", "months", "--event-column", "died",
        "--unit", "months", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 1
    rows = json.loads(result.stdout)["systems"]
    assert len(rows) == 3
    assert all("efficientnet_b0-imagenet" in row["remark"] for row in rows)
    page = Path(invoke("report", "--out", str(tmp_path / "out"))["report"])
    assert "efficientnet_b0-imagenet" in page.read_text(encoding="utf-8")


def test_the_second_cohort_of_q4_may_be_read_by_the_day_of_its_treatment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    (tmp_path / "ct").mkdir()
    (tmp_path / "table.csv").write_text(TABLE)
    columns = ("id-column", "id", "time-column", "months", "event-column", "died", "unit", "months")
    named = [f"--{word}" if place % 2 == 0 else word for place, word in enumerate(columns)]
    second = [f"--second-{word}" if place % 2 == 0 else word for place, word in enumerate(columns)]
    table, tree = str(tmp_path / "table.csv"), str(tmp_path / "ct")
    words = [
        "run", "q4-transfer", "--cohort", "table", "--data", tree, "--clinical", table, *named, "--second-data", tree,
        "--second-clinical", table, *second, "--second-treatment-column", "begun", "--second-day-format", "%d.%m.%Y",
        "--second-ct-description", "planning", "--out", str(tmp_path / "out"), "--cache", str(tmp_path), "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    remarks = {row["system"]: row["remark"] for row in json.loads(result.stdout)["systems"]}
    assert "column 'begun'" in remarks["claro-transfer-0"]


def test_the_report_says_which_settings_are_not_the_papers() -> None:
    paper = Bench(Path(), Path(), PRESETS[Preset.PAPER])
    assert origin(paper) == "10 folds, seed 42, reference encoder efficientnet_b0. Settings: the paper's."
    assert "fitting.schedule = cosine" in origin(Bench(Path(), Path(), PRESETS[Preset.RECOMMENDED]))
