"""Every way to train goes the whole way: a DICOM tree in, checkpoints, tables and figures out."""

import json
from pathlib import Path

import numpy as np
import pytest

from survnode.model.checkpoint import load_checkpoint
from survnode.model.net.encoders import Freezing
from survnode.model.net.volumetric import VolumeEncoderName, VolumetricConfig
from survnode.train.cohorts.cohort import Cohort
from survnode.train.presets import Preset
from survnode.train.recipe import Recipe
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.run import run

from ..tiny import recipe

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
    assert json.loads((out / "metrics.json").read_text())["pooled"]["patients"] == 8
    assert not list(out.rglob("unfinished.pt"))


@pytest.mark.parametrize("freezing", [Freezing.HALF, Freezing.NONE])
def test_encoder_that_trains_in_part_or_whole(cohort: Cohort, caches: Path, tmp_path: Path, freezing: Freezing) -> None:
    checked(cohort, recipe(Preset.PAPER, *ONE_EPOCH, f"network.freezing={freezing}"), tmp_path / "out", caches)
    moved = layers_that_moved(tmp_path / "out")
    assert ("encoder.trunk.conv_stem.weight" in moved) == (freezing is Freezing.NONE)
    assert "encoder.trunk.conv_head.weight" in moved


@pytest.mark.parametrize("freezing", [Freezing.TRUNK, Freezing.HALF])
def test_volume_network(cohort: Cohort, caches: Path, tmp_path: Path, freezing: Freezing) -> None:
    pytest.importorskip("monai")
    checked(cohort, volumetric(freezing), tmp_path / "out", caches)
    assert not (tmp_path / "out" / "attention.csv").exists()
    assert bool(layers_that_moved(tmp_path / "out")) == (freezing is Freezing.HALF)
