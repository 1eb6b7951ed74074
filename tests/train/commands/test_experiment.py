import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from survnode.train.commands.experiment import app, origin
from survnode.train.errors import NothingToMeasure
from survnode.train.paper.bench import Bench
from survnode.train.presets import PRESETS, Preset

TABLE = "id,months,died\n" + "".join(f"P{k},{3 * k},{k % 2}\n" for k in range(1, 9))


def describe(folder: Path, more: str = "") -> Path:
    """The file of a cohort of a table and a tree without CT."""
    (folder / "ct").mkdir(exist_ok=True)
    (folder / "table.csv").write_text(TABLE)
    path = folder / f"cohort-{len(more)}.toml"
    columns = 'patient_id = "id"\ntime = "months"\nevent = "died"\nunit = "months"'
    path.write_text(f'name = "mine"\ndata = "ct"\nclinical = "table.csv"\n[columns]\n{columns}\n{more}')
    return path


def invoke(*words: str) -> Any:  # JSON
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_question_is_listed() -> None:
    assert [one["name"] for one in invoke("list")] == [
        "q1-3d", "q2-fusion", "q3-encoders", "q4-transfer", "q5-cost", "q6-heads",
            "q7-beside-the-image", "attention",
    ]  # fmt: skip


def test_the_list_fits_a_terminal() -> None:
    result = CliRunner().invoke(app, ["list"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "q4-transfer" in result.stdout


@pytest.mark.parametrize(("wrong", "said"), [(["q9"], "q4-transfer"), (["--encoder", "lenet"], "efficientnet_b0")])
def test_what_is_not_known_is_wrong_use_and_the_known_names_are_told(
    wrong: list[str], said: str, tmp_path: Path
) -> None:
    words = ["run", "--cohort", "lung1", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *wrong]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert said in result.output


def test_the_costs_are_printed_and_nothing_is_read_or_written(tmp_path: Path) -> None:
    words = ["run", "q5-cost", "--cohort", "lung1", "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    costs = {row["system"]: row["gflops"] for row in json.loads(result.stdout)["systems"]}
    assert costs["EfficientNet-B0, soft attention, feature extractor"] == pytest.approx(54.4, abs=0.1)
    assert not (tmp_path / "out").exists()


def test_options_that_would_do_nothing_are_wrong_use(tmp_path: Path) -> None:
    words = ["run", "--cohort", str(describe(tmp_path)), "--second-data", str(tmp_path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--second" in result.output


@pytest.mark.parametrize("folder", ["", "absent"])
def test_a_report_of_a_folder_without_experiments_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(NothingToMeasure):
        CliRunner().invoke(app, ["report", "--out", str(tmp_path / folder)], catch_exceptions=False)


def test_when_nothing_could_run_the_reasons_are_shown_and_the_exit_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    words = [
        "run", "q2-fusion", "--cohort", str(describe(tmp_path)), "--out", str(tmp_path / "out"),
        "--cache", str(tmp_path / "cache"), "--json",
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
    treated = '[pretreatment]\ntreatment_column = "begun"\nday_format = "%d.%m.%Y"\ndescription = "planning"'
    words = [
        "run", "q4-transfer", "--cohort", str(describe(tmp_path)), "--second", str(describe(tmp_path, treated)),
        "--out", str(tmp_path / "out"), "--cache", str(tmp_path), "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    remarks = {row["system"]: row["remark"] for row in json.loads(result.stdout)["systems"]}
    assert "column 'begun'" in remarks["claro-transfer-0"]


def test_the_report_says_which_settings_are_not_the_papers() -> None:
    paper = Bench(Path(), Path(), PRESETS[Preset.PAPER])
    assert origin(paper) == "10 folds, seed 42, reference encoder efficientnet_b0. Settings: the paper's."
    assert "fitting.schedule = cosine" in origin(Bench(Path(), Path(), PRESETS[Preset.RECOMMENDED]))
