"""A table of features beside the image: what it brings where it tells something, and the whole way of a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from survnode.model.checkpoint import load_checkpoint, read_card
from survnode.model.errors import CheckpointRefused
from survnode.model.net.beside import BesideConfig
from survnode.model.net.deephit import DeepHitConfig
from survnode.model.net.encoders import Encoder, Freezing
from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import TRUNKS, EncoderName
from survnode.train.cli import app
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.errors import FeatureTableRefused
from survnode.train.cohorts.feature_table import FeatureTable, read_features
from survnode.train.cohorts.phantom import hazard_a_month
from survnode.train.errors import InitialModelRefused, RunDiffers
from survnode.train.fit.inputs import FeatureInputs, Inputs, WithTable
from survnode.train.fit.loop import Outcomes, Trainer
from survnode.train.presets import PRESETS, Preset, with_table
from survnode.train.runs.evaluate import score, table_for
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.run import run

from ..tiny import PATIENTS, SETTINGS, plan, recipe

TRAIN, VALIDATION, TEST = np.arange(300), np.arange(300, 400), np.arange(400, 700)
AGE_SD, NOISE_COLUMNS = 10.0, 10


def planted(
    rng: np.random.Generator,
) -> tuple[FeatureInputs, NDArray[np.float32], Outcomes]:
    """Vectors of tumours' sizes, a table of ages and noise, and outcomes of the phantoms' hazard times that of age."""
    count = len(TRAIN) + len(VALIDATION) + len(TEST)
    radius, age = rng.uniform(5, 45, count), rng.normal(66, AGE_SD, count)
    hazard = np.array([hazard_a_month(it) for it in radius]) * np.exp(1.5 * (age - 66) / AGE_SD)
    death, leaving = rng.exponential(1 / hazard), np.minimum(60.0, rng.exponential(120.0, count))
    vectors = np.outer(radius / 20, rng.normal(size=16)) + rng.normal(size=(count, 16)) * 0.3
    table = np.column_stack([age, rng.normal(size=(count, NOISE_COLUMNS))]).astype(np.float32)
    inputs = FeatureInputs(list(vectors.astype(np.float16)[:, None, None]), 0.0)
    return inputs, table, Outcomes(np.minimum(death, leaving), death <= leaving)


def concordance_of(inputs: Inputs, outcomes: Outcomes, *, beside: bool, blind: Inputs | None = None) -> float:
    """The concordance of the test patients, of ``blind`` inputs if they are others than those trained on."""
    columns = ("age", *(f"noise {number}" for number in range(NOISE_COLUMNS)))
    config = NetworkConfig(
        encoder=EncoderName.EFFICIENTNET_LITE0,
        embedding_dim=16,
        deephit=DeepHitConfig(shared=(32,), cause_specific=(32,), dropout=0.1),
        beside=BesideConfig(columns=columns) if beside else None,
    )
    torch.manual_seed(0)
    net = SurvivalNet(config, Encoder(TRUNKS[config.encoder], 1, Freezing.TRUNK))
    net.embed, net.feature_centre = torch.nn.Linear(16, 16), torch.zeros(16)
    fitting = PRESETS[Preset.RECOMMENDED].fitting.model_copy(update={"epochs": 15, "weight_decay": 0.1, "batch": 32})
    trainer = Trainer(net, inputs, outcomes, fitting, seed=0)
    trainer.fit(TRAIN, VALIDATION)
    trainer.inputs = blind or inputs
    return trainer.concordance(TEST)


def test_planted_age_gains_beside_the_image_and_shuffled_ages_gain_nothing() -> None:
    rng = np.random.default_rng(1)
    images, table, outcomes = planted(rng)
    shuffled = np.column_stack([rng.permutation(table[:, 0]), table[:, 1:]])
    image = concordance_of(images, outcomes, beside=False)
    both = concordance_of(WithTable(images, table), outcomes, beside=True)
    assert both >= image + 0.05
    assert concordance_of(WithTable(images, shuffled), outcomes, beside=True) <= image + 0.01
    # One model serves with and without: without the table it is as good as one that never had it.
    nothing = WithTable(images, np.full_like(table, np.nan))
    assert concordance_of(WithTable(images, table), outcomes, beside=True, blind=nothing) >= image - 0.03


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "features.csv"
    rows = "".join(
        f"{who.id},{60 + number},{'IV' if number % 3 else 'I'}\n" for number, who in enumerate(PATIENTS[:-1])
    )
    path.write_text(f"PatientID,age [years],stage\n{rows}", encoding="utf-8")
    return path


def with_features(out: Path, caches: Path, table: FeatureTable, *, alone: bool = False) -> RunPlan:
    begun = plan(out, caches, Preset.PAPER, "fitting.epochs=2")
    return replace(begun, table=table, recipe=with_table(begun.recipe, table, alone=alone))


@pytest.fixture(scope="module")
def trained(cohort: Cohort, caches: Path, features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    run(cohort, with_features(out, caches, read_features(features)))
    return out


def test_checkpoint_describes_what_stands_beside_the_image(trained: Path) -> None:
    card, fold = read_card(trained), read_card(trained / "folds" / "0")
    assert card.covariates is not None
    assert fold.covariates is not None
    age, stage = card.covariates
    assert (age.unit, age.missing, age.percentiles[0], age.percentiles[-1]) == ("years", 0.125, 60, 66)
    assert stage.levels == ("I", "IV")
    assert fold.covariates[0].percentiles != age.percentiles  # of the fold's own training patients
    assert "It takes age, stage=I, stage=IV beside the CT, and nothing else." in (trained / "model.md").read_text()
    members = load_checkpoint(trained).members
    assert not np.array_equal(members[0]["beside.mean"], members[1]["beside.mean"])  # scaled inside the fold


def test_another_table_in_the_same_folder_is_refused(
    trained: Path, cohort: Cohort, caches: Path, features: Path
) -> None:
    table = read_features(features)
    changed = FeatureTable(table.covariates, {**table.values, PATIENTS[0].id: {"age": "99", "stage": "I"}})
    with pytest.raises(RunDiffers, match="features"):
        run(cohort, with_features(trained, caches, changed))


def test_model_is_measured_with_its_table_and_without(
    trained: Path, cohort: Cohort, caches: Path, features: Path, tmp_path: Path
) -> None:
    card = read_card(trained)
    measured = []
    for number, table in enumerate((table_for(card, features), table_for(card, None))):
        begun = RunPlan("m", recipe(Preset.PAPER), tmp_path / str(number), caches, workers=1, resamples=20)
        begun = replace(begun, table=table, allow_overlap=True)
        score(str(trained), cohort, begun)
        measured.append((tmp_path / str(number) / "predictions.csv").read_text())
    assert measured[0] != measured[1]


def test_table_of_strangers_is_refused(cohort: Cohort, caches: Path, tmp_path: Path) -> None:
    path = tmp_path / "strangers.csv"
    path.write_text("PatientID,age\nnobody,5\n", encoding="utf-8")
    with pytest.raises(FeatureTableRefused, match="has none of its 8"):
        run(cohort, with_features(tmp_path / "out", caches, read_features(path)))


def test_model_of_other_columns_is_no_start(trained: Path, cohort: Cohort, caches: Path, tmp_path: Path) -> None:
    with pytest.raises(InitialModelRefused, match="beside"):
        run(cohort, replace(plan(tmp_path / "out", caches), init=trained, allow_overlap=True))


def test_table_alone_goes_the_whole_way_and_is_not_measured_without_it(
    tree: Path, caches: Path, features: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["train", "--cohort", tree / "cohort.toml", "--cache", caches, "--out", out, "--preset", "paper"]
    words += ["--features", features, "--features-alone", "--folds", "2", "--workers", "1"]
    settings = [*SETTINGS, "fitting.epochs=1", "fitting.warm_up_epochs=0", "network.beside.absent=0"]
    result = CliRunner().invoke(app, [*map(str, words), *(f"--set={setting}" for setting in settings)])
    assert result.exit_code == 0, result.output
    card = read_card(out)
    assert card.network["sees_image"] is False
    told = (out / "model.md").read_text()
    assert "It takes age, stage=I, stage=IV and does not see the CT, and nothing else." in told
    assert "It sees the CT alone" not in told
    assert "says nothing of a patient of whom none" in told
    with pytest.raises(CheckpointRefused, match="says nothing without a table"):
        table_for(card, None)
    with pytest.raises(CheckpointRefused, match="takes nothing beside the image"):
        table_for(card.model_copy(update={"covariates": None}), features)
