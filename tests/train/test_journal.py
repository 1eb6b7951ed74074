"""Who hears of a run: a file always, TensorBoard and MLflow where they are installed."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from survnode.train import journal as journal_module
from survnode.train.journal import EPOCH, MEASURED, PROGRESS, Journal, MLflow


def tell_all(journal: Journal | MLflow) -> None:
    journal(PROGRESS, stage="slices", done=1, total=2)
    journal(EPOCH, fold=3, number=1, loss=0.5, validation_ctd=None)
    journal(EPOCH, fold=3, number=2, loss=0.25, validation_ctd=0.6)
    journal(MEASURED, ctd=0.58, uno=None)


def test_log_holds_what_happened_and_a_second_run_adds_to_it(tmp_path: Path) -> None:
    for _ in range(2):
        with Journal(tmp_path) as journal:
            tell_all(journal)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == [EPOCH, EPOCH, MEASURED] * 2
    assert (lines[1]["fold"], lines[1]["number"], lines[1]["loss"]) == (3, 2, 0.25)
    assert all(line["time"].endswith("+00:00") for line in lines)


def test_scalars_of_each_fold_are_in_tensorboard(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Journal(tmp_path) as journal:
        tell_all(journal)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "fold-3")).Reload()
    assert [(one.step, one.value) for one in events.Scalars("loss")] == [(1, 0.5), (2, 0.25)]
    assert [one.step for one in events.Scalars("validation_ctd")] == [2]


def test_mlflow_is_not_imported_where_it_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "mlflow", None)  # an import would raise
    with Journal(tmp_path) as journal:
        tell_all(journal)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_mlflow_that_is_installed_hears_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlflow.py").write_text(
        "calls = []\n"
        "def start_run(**words): calls.append(words)\n"
        "def end_run(): calls.append('end')\n"
        "def log_metrics(values, step=None): calls.append(values)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    (tmp_path / "out").mkdir()
    with Journal(tmp_path / "out") as journal:
        tell_all(journal)
    calls = sys.modules.pop("mlflow").calls
    assert calls[0] == {"run_name": "out"}
    assert {"ctd": 0.58} in calls
    assert calls[-1] == "end"


def test_mlflow_gets_one_run_with_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    fake = ModuleType("mlflow")
    fake.start_run = lambda **words: calls.append(words)  # type: ignore[attr-defined]  # a module made up here
    fake.end_run = lambda: calls.append("end")  # type: ignore[attr-defined]
    fake.log_metrics = lambda values, step=None: calls.append((values, step))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    with MLflow(tmp_path / "a-run") as mlflow:
        tell_all(mlflow)
    assert calls == [
        {"run_name": "a-run"},
        ({"fold-3/loss": 0.5}, 1),
        ({"fold-3/loss": 0.25, "fold-3/validation_ctd": 0.6}, 2),
        ({"ctd": 0.58}, None),
        "end",
    ]
