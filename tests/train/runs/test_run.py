"""The whole way from a DICOM tree and a CSV to checkpoints, tables and figures, on a few coarse phantoms."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from survnode.model.checkpoint import load_checkpoint
from survnode.model.errors import CheckpointRefused, WeightsMissing
from survnode.train.cli import app
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.errors import ClinicalTableRefused, FoldsRefused
from survnode.train.cohorts.phantom_tree import CLINICAL
from survnode.train.errors import (
    InitialModelRefused,
    RunDiffers,
    SystemRefused,
    WorkerLost,
)
from survnode.train.presets import Preset
from survnode.train.runs import run as run_module
from survnode.train.runs.finish import Run
from survnode.train.runs.run import run

from ..tiny import SETTINGS, plan, recipe

KILLS_ITSELF = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tiny import load_tiny, recipe
from survnode.train.presets import Preset
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.run import run

def listener(event, **fields):
    if event == "epoch" and fields["fold"] == 1 and fields["number"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)

tree, caches, out = map(Path, sys.argv[2:])
run(load_tiny(tree, caches), RunPlan("tiny", recipe(Preset.PAPER), out, caches, folds=2, workers=1), listener=listener)
"""


def command(tree: Path, caches: Path, out: Path, *more: str) -> Result:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    words = ["train", "--cohort", tree / "cohort.toml", "--cache", caches, "--out", out, "--preset", "paper", *settings]
    return CliRunner().invoke(app, [*map(str, words), "--folds", "2", "--workers", "1", *more])


def test_run_started_again_computes_nothing_and_says_the_same(whole: Run, cohort: Cohort) -> None:
    told: list[str] = []
    before = (whole.plan.out / "predictions.csv").read_bytes()
    again = run(cohort, whole.plan, listener=lambda event, **_: told.append(event))
    assert again.evaluation == whole.evaluation
    assert (whole.plan.out / "predictions.csv").read_bytes() == before
    assert "epoch" not in told


def test_folder_of_another_run_is_refused(whole: Run, cohort: Cohort) -> None:
    with pytest.raises(RunDiffers, match="recipe"):
        run(cohort, replace(whole.plan, recipe=recipe(Preset.PAPER, "fitting.epochs=4")))
    with pytest.raises(RunDiffers, match="seed"):
        run(cohort, replace(whole.plan, seed=1))


def test_run_killed_in_the_second_fold_comes_to_the_same_figures(whole: Run, tree: Path, tmp_path: Path) -> None:
    caches, out = whole.plan.caches, tmp_path / "out"
    here = Path(__file__).parent.parent
    killed = subprocess.run([sys.executable, "-c", KILLS_ITSELF, *map(str, (here, tree, caches, out))], check=False)
    assert killed.returncode == -9
    assert not (out / "metrics.json").exists()
    result = command(tree, caches, out, "--name", "tiny")
    assert result.exit_code == 0, result.output
    for name in ("predictions.csv", "attention.csv", "folds.csv", "folds/0/model.safetensors", "folds/1/model.json"):
        assert (out / name).read_bytes() == (whole.plan.out / name).read_bytes()


def slices_are_made(folder: Path) -> bool:
    return any(folder.rglob("*.safetensors"))


def a_fold_is_fitted(folder: Path) -> bool:
    return any('"epoch"' in log.read_text(encoding="utf-8") for log in folder.rglob("log.jsonl"))


def end_worker_when(so_far: Callable[[Path], bool], folder: Path) -> None:
    """Kill a worker of this process as soon as a run in ``folder`` has come that far."""
    while not (so_far(folder) and multiprocessing.active_children()):
        time.sleep(0.01)
    os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)


@pytest.mark.parametrize("so_far", [slices_are_made, a_fold_is_fitted])
def test_run_that_loses_a_worker_says_so_and_goes_on_when_it_is_started_again(
    whole: Run, tree: Path, tmp_path: Path, so_far: Callable[[Path], bool]
) -> None:
    caches = tmp_path / "caches" if so_far is slices_are_made else whole.plan.caches
    out, words = tmp_path / "out", ["--name", "tiny"]
    killer = Thread(target=end_worker_when, args=(so_far, tmp_path))
    killer.start()
    result = command(tree, caches, out, *words, "--workers", "2")
    killer.join()
    assert isinstance(result.exception, WorkerLost), result.output
    assert "SIGKILL" in str(result.exception)
    assert not (out / "metrics.json").exists()
    assert not multiprocessing.active_children()
    again = command(tree, caches, out, *words)
    assert again.exit_code == 0, again.output
    assert (out / "predictions.csv").read_bytes() == (whole.plan.out / "predictions.csv").read_bytes()


def test_folds_may_be_given_but_must_be_of_the_cohort(whole: Run, cohort: Cohort, tmp_path: Path) -> None:
    other = replace(whole.folds[0], train=whole.folds[0].train[1:])
    with pytest.raises(FoldsRefused, match="lack 1"):
        run(cohort, replace(whole.plan, out=tmp_path), folds=[other])


def test_model_is_transferred_fold_to_fold(whole: Run, cohort: Cohort, tmp_path: Path) -> None:
    still = plan(tmp_path / "still", whole.plan.caches, Preset.PAPER, "fitting.learning_rate=1e-12", "fitting.epochs=1")
    moved = run(cohort, replace(still, init=whole.plan.out))
    assert moved.predictions.cif == pytest.approx(whole.predictions.cif, abs=1e-6)
    other = plan(tmp_path / "other", whole.plan.caches, Preset.PAPER, "network.stem_channels=3")
    with pytest.raises(InitialModelRefused, match="stem_channels 1"):
        run(cohort, replace(other, init=whole.plan.out))


def test_what_would_fail_in_the_end_is_refused_in_the_beginning(
    whole: Run, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches, out = tmp_path / "caches", tmp_path / "out"
    nowhere = command(tree, caches, out, "--init", str(tmp_path / "nowhere"))
    assert isinstance(nowhere.exception, CheckpointRefused)
    other = command(tree, caches, whole.plan.out)  # another name
    assert isinstance(other.exception, RunDiffers)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    absent = command(tree, caches, out, "--set", "network.encoder=vgg16")
    assert isinstance(absent.exception, WeightsMissing)
    assert not (caches / "slices").exists()


def test_what_the_system_refuses_is_refused_in_words(
    tree: Path, caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_module, "write_exclusions", full)
    result = command(tree, caches, tmp_path / "out")
    assert isinstance(result.exception, SystemRefused)
    assert "No space left on device" in str(result.exception)


def test_whatever_reaches_the_encoder_trains_from_slices(cohort: Cohort, caches: Path, tmp_path: Path) -> None:
    found = run(cohort, plan(tmp_path / "out", caches, Preset.RELEASED, "fitting.epochs=1"))
    first, second = (load_checkpoint(tmp_path / "out" / "folds" / str(number)) for number in (0, 1))
    assert "encoder.trunk.conv_stem.weight" in first.members[0]
    assert first.card.preprocessing.window_hu != second.card.preprocessing.window_hu  # each fold's own statistics
    assert not (tmp_path / "out" / "model.json").exists()
    assert np.isfinite(found.predictions.cif).all()


def test_faulty_table_is_refused_with_every_fault(tree: Path, caches: Path, tmp_path: Path) -> None:
    lines = (tree / CLINICAL).read_text().splitlines()
    lines[2] = lines[2].replace(",1", ",maybe")
    lines[4] = "PHANTOM-001" + lines[4][11:]
    faulty = tmp_path / "faulty.csv"
    faulty.write_text("\n".join(lines))
    result = command(tree, caches, tmp_path / "out", "--clinical", str(faulty))
    assert isinstance(result.exception, ClinicalTableRefused)
    assert "row 3, column 'deadstatus.event'" in str(result.exception)
    assert "rows 2, 5" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_folds_that_do_not_fit_into_memory_together_are_fitted_one_by_one_and_it_is_said(
    cohort: Cohort, caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(run_module, "free_bytes", lambda: 3 << 29)  # 1.5 GiB
    two = replace(plan(tmp_path / "out", caches), workers=2)
    run(
        cohort,
        two,
        listener=lambda event, **fields: told.append(str(fields["sentence"])) if event == "warning" else None,
    )
    (sentence,) = told
    assert sentence.startswith("Folds are fitted 1 at a time instead of 2: each needs about 1.0 GiB of memory")
