"""The command line, as a person or a script uses it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from survnode.node.state.database import Database

from ..command_line import Ended, survnode


def in_a_process(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """How a command ends in a process of its own."""
    command = [sys.executable, "-m", "survnode.node.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def config(folder: Path, text: str = "") -> Path:
    path = folder / "survnode.toml"
    path.write_text(f'data_dir = "{folder / "data"}"\n{text}')
    return path


def test_help_loads_nothing_heavy() -> None:
    heavy = ["torch", "SimpleITK", "highdicom", "pydicom", "numpy", "matplotlib", "sqlalchemy"]
    script = f"import sys, survnode.node.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TRAINING = ("train", "evaluate", "stress", "experiment", "presets")


@pytest.mark.parametrize("command", TRAINING)
def test_training_commands_explain_themselves(command: str) -> None:
    done = survnode(command, "--help")
    assert done.returncode == 0
    assert f"survnode {command}" in done.stdout


def test_what_training_refuses_is_said_without_a_traceback(tmp_path: Path) -> None:
    done = survnode("train", "--cohort", "lung1", "--data", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "refused: The cohort lung1 needs --clinical" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_every_command() -> None:
    done = survnode("--help")
    assert done.returncode == 0
    for command in ("serve", "check", "predict", "demo", "train", "studies", "jobs", "model", "send"):
        assert command in done.stdout


@pytest.mark.parametrize("command", [("serve",), ("check",), ("studies", "list"), ("jobs", "list")])
def test_a_bad_configuration_is_refused_with_all_its_faults(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = config(tmp_path, "colour = 1\n[receiver]\nport = 70000\n")
    done = survnode(*command, "--config", path)
    assert done.returncode == 1
    assert "2 faults" in done.stderr
    assert "colour = 1: is not a key" in done.stderr
    assert "receiver.port = 70000" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_use_exits_with_two() -> None:
    assert survnode("predict").returncode == 2
    assert survnode("jobs", "show", "one", "--config", "x").returncode == 2
    assert survnode("send", "--config", "x").returncode == 2


def test_asking_a_node_that_never_ran_is_refused(tmp_path: Path) -> None:
    done = survnode("studies", "list", "--config", config(tmp_path))
    assert done.returncode == 1
    assert "no node has run" in done.stderr
    assert not (tmp_path / "data").exists()


def test_lists_are_json_for_a_script(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Database(tmp_path / "data" / "survnode.db").close()
    for name in ("studies", "jobs"):
        done = survnode(name, "list", "--config", config(tmp_path), "--json")
        assert json.loads(done.stdout) == []
    done = survnode("jobs", "retry", "7", "--config", config(tmp_path))
    assert done.returncode == 1
    assert "There is no job 7" in done.stderr
    done = survnode("studies", "put-aside", "1.2.3", "--config", config(tmp_path))
    assert (done.returncode, "There is no study 1.2.3" in done.stderr) == (1, True)


def test_serve_refuses_weights_that_are_absent_before_it_receives_anything(tmp_path: Path) -> None:
    path = config(tmp_path, f'[model]\nencoder_weights = "{tmp_path / "absent.pth"}"\n[work]\ndevice = "cpu"\n')
    done = in_a_process("serve", "--config", path)
    assert done.returncode == 1
    assert "efficientnet_lite0" in done.stderr
    assert "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db" in done.stderr
    assert "absent.pth" in done.stderr
    assert not (tmp_path / "data" / "receiver.port").exists()


def test_check_goes_on_after_a_fault_and_says_all(tmp_path: Path) -> None:
    text = '[work]\ndevice = "cpu"\n[[destinations]]\nname = "gone"\nae_title = "X"\nhost = "127.0.0.1"\nport = 1\n'
    done = survnode("check", "--config", config(tmp_path, text), "--json")
    assert done.returncode == 1
    findings = {row["what"]: row["ok"] for row in json.loads(done.stdout)}
    assert findings == {
        "configuration": True,
        "data folder": True,
        "database": True,
        "address": True,
        "checkpoint": True,
        "weights": True,
        "free disk": True,
        "destination gone": False,
    }


@dataclass(frozen=True)
class Predicted:
    """What `predict` said of a study, and the folder in which it wrote what is read here."""

    ended: Ended
    out: Path
    lungs: Path

    def files(self) -> dict[str, bytes]:
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in files_below(self.out)}


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory, thorax64_series: list[Path]) -> Predicted:
    folder = tmp_path_factory.mktemp("predicted")
    out, lungs = folder / "out", folder / "lungs.nii.gz"
    words = ("predict", thorax64_series[0].parent, "--out", out, "--lungs", lungs, "--json")
    return Predicted(survnode(*words), out, lungs)


def test_predict_writes_what_the_node_would_send(predicted: Predicted, thorax64_series: list[Path]) -> None:
    assert predicted.ended.returncode == 0, predicted.ended.stderr
    captures = [f"captures/{rank:02d}.dcm" for rank in range(1, 6)]
    expected = [*captures, "curve.dcm", "key-objects.dcm", "prediction.json", "report.dcm"]
    assert sorted(predicted.files()) == sorted(expected)
    summary = json.loads(predicted.ended.stdout)
    assert summary == json.loads(predicted.files()["prediction.json"])
    assert 0 < summary["survival_at_horizon_percent"] < 100
    assert len(summary["attention"]) == len(thorax64_series)

    mask = sitk.ReadImage(str(predicted.lungs))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(thorax64_series[0].parent)))
    ct = reader.Execute()
    assert mask.GetSize() == ct.GetSize()
    np.testing.assert_allclose(mask.GetSpacing(), ct.GetSpacing(), rtol=1e-4)
    np.testing.assert_allclose(mask.GetOrigin(), ct.GetOrigin(), atol=1e-2)
    assert set(np.unique(sitk.GetArrayFromImage(mask))) == {0, 1, 2}


def test_predict_repeated_elsewhere_and_later_gives_the_same_bytes(
    tmp_path: Path, predicted: Predicted, thorax64_series: list[Path]
) -> None:
    """Later is another process, in which sets have another order."""
    moved = tmp_path / "moved"
    moved.mkdir()
    for number, path in enumerate(reversed(thorax64_series)):
        shutil.copy(path, moved / f"{number}.img")
    assert in_a_process("predict", moved, "--out", tmp_path / "out", PYTHONHASHSEED="7").returncode == 0
    again = {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in files_below(tmp_path / "out")}
    assert len(again) == 9
    assert again == predicted.files()


def test_predict_says_why_a_study_is_not_analysed_and_still_writes_its_report(
    tmp_path: Path, thorax64_series: list[Path]
) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    for number, path in enumerate(thorax64_series):
        if number != 30:
            shutil.copy(path, folder)
    done = survnode("predict", folder, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "not evenly spaced" in done.stderr
    assert dcmread(tmp_path / "out" / "report.dcm").Modality == "SR"
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["reason"] == "IRREGULAR_SPACING"


def test_predict_refuses_a_folder_without_a_study(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    done = survnode("predict", tmp_path, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert "There are no DICOM images in" in done.stderr


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    done = survnode("model", "show", tmp_path)
    assert done.returncode == 1
    assert "model.json cannot be read" in done.stderr


def test_the_demonstration_model_says_what_it_is() -> None:
    done = survnode("model", "show", "--json")
    card = json.loads(done.stdout)
    assert card["demonstration"] is True
    assert "phantom" in card["cohort"]["description"].lower()


def test_lists_are_shown_without_a_look_at_dicom(tmp_path: Path) -> None:
    """Importing pydicom, and what it and the model import, took three times as long as the list."""
    (tmp_path / "data").mkdir()
    Database(tmp_path / "data" / "survnode.db").close()
    heavy = ["torch", "SimpleITK", "highdicom", "pydicom", "numpy", "scipy", "matplotlib", "pynetdicom"]
    arguments = ["survnode", "studies", "list", "--config", str(config(tmp_path))]
    script = (
        f"import atexit, sys; sys.argv = {arguments}; from survnode.node.cli import main; "
        f"atexit.register(lambda: print([name for name in {heavy} if name in sys.modules])); main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["no studies", "[]"]
