"""Every way to train goes the whole way: a DICOM tree in, checkpoints, tables and figures out."""

import json
from pathlib import Path

import numpy as np
import pytest

from survnode.model.checkpoint import load_checkpoint
from survnode.model.net.encoders import Freezing
from survnode.model.net.heads import HeadName
from survnode.model.net.volumetric import VolumeEncoderName, VolumetricConfig
from survnode.model.predict import Predictor
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.folds import read_folds
from survnode.train.errors import InitialModelRefused
from survnode.train.presets import Preset
from survnode.train.recipe import Recipe
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.run import run

from ..tiny import recipe, rows

ONE_EPOCH = ("fitting.epochs=1", "fitting.warm_up_epochs=0")


def volumetric(freezing: Freezing) -> Recipe:
    small = recipe(Preset.PAPER, *ONE_EPOCH, "preprocessing.size=64")
    return small.varied(network=VolumetricConfig(encoder=VolumeEncoderName.DENSENET3D_121, freezing=freezing))


def layers_that_moved(out: Path) -> set[str]:
    """Names of the encoder's trained tensors that differ between two folds, so that training moved them."""
    first, second = (load_checkpoint(out / "folds" / str(number)).members[0] for number in (0, 1))
    return {
        name for name in first if name.startswith("encoder.trunk") and not np.array_equal(first[name], second[name])
    }


def checked(cohort: Cohort, recipe_: Recipe, out: Path, caches: Path) -> None:
    found = run(cohort, RunPlan("tiny", recipe_, out, caches, folds=2, workers=1, resamples=20))
    assert found.predictions.cif.shape == (8, 24)
    assert np.isfinite(found.predictions.cif).all()
    assert {"exclusions.csv", "folds.csv", "predictions.csv", "model.json", "model.md"} <= {
        path.name for path in out.iterdir()
    }
    assert json.loads((out / "metrics.json").read_text())["evaluation"]["patients"] == 8
    assert not list(out.rglob("unfinished.pt"))


@pytest.mark.parametrize("freezing", [Freezing.HALF, Freezing.NONE])
def test_encoder_that_trains_in_part_or_whole(cohort: Cohort, caches: Path, tmp_path: Path, freezing: Freezing) -> None:
    checked(cohort, recipe(Preset.PAPER, *ONE_EPOCH, f"network.freezing={freezing}"), tmp_path / "out", caches)
    moved = layers_that_moved(tmp_path / "out")
    assert ("encoder.trunk.conv_stem.weight" in moved) == (freezing is Freezing.NONE)
    assert "encoder.trunk.conv_head.weight" in moved


@pytest.mark.parametrize("head", [head for head in HeadName if head is not HeadName.DEEPHIT])
def test_each_head_serves_from_its_checkpoint_what_training_measured(
    cohort: Cohort, caches: Path, tmp_path: Path, head: HeadName
) -> None:
    out = tmp_path / "out"
    checked(cohort, recipe(Preset.PAPER, *ONE_EPOCH, f"network.head={head}"), out, caches)
    fold = read_folds(out / "folds.csv")[0]
    (patient,) = cohort.of(fold.test[:1])
    prediction = Predictor(load_checkpoint(out / "folds" / "0")).predict(patient.volume())
    measured = [float(row["cif"]) for row in rows(out / "predictions.csv") if row["patient"] == patient.id]
    assert prediction.cif == pytest.approx(measured, abs=2e-3)  # features of training are kept in half precision
    assert f"head: {head}" in (out / "model.md").read_text()


def test_model_with_another_head_is_no_start(cohort: Cohort, caches: Path, tmp_path: Path) -> None:
    checked(cohort, recipe(Preset.PAPER, *ONE_EPOCH, "network.head=cox"), tmp_path / "cox", caches)
    begun = RunPlan("tiny", recipe(Preset.PAPER), tmp_path / "out", caches, folds=2, init=tmp_path / "cox", workers=1)
    with pytest.raises(InitialModelRefused, match="head cox"):
        run(cohort, begun)


@pytest.mark.parametrize("freezing", [Freezing.TRUNK, Freezing.HALF])
def test_volume_network(cohort: Cohort, caches: Path, tmp_path: Path, freezing: Freezing) -> None:
    pytest.importorskip("monai")
    checked(cohort, volumetric(freezing), tmp_path / "out", caches)
    assert not (tmp_path / "out" / "attention.csv").exists()
    assert bool(layers_that_moved(tmp_path / "out")) == (freezing is Freezing.HALF)
