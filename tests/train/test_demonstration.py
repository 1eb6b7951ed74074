"""The whole command on a tiny cohort, and the packaged model that it made: its figures, measured anew."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner, Result

from survnode.model.checkpoint import DEMO, load_checkpoint, read_card
from survnode.model.ct.phantom import Tumour, make_phantom
from survnode.model.predict import Predictor
from survnode.train.cli import app
from survnode.train.cohorts.phantom import PhantomCohort, as_volume
from survnode.train.config import Training
from survnode.train.measure.attention import share_found

FRESH = 9  # a part of the cohort that the command never draws


def run(out: Path, cache: Path, *more: str) -> Result:
    sizes = ["--patients", "8", "--unseen", "8", "--seed", "5"]
    return CliRunner().invoke(app, ["--cohort", "phantom", "--out", str(out), "--cache", str(cache), *sizes, *more])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("tiny")
    return folder, run(folder / "first", folder / "cache")


def test_command_trains_measures_and_says_so(tiny: tuple[Path, Result]) -> None:
    folder, result = tiny
    assert result.exit_code == 0, result.output
    card = read_card(folder / "first")
    assert card.demonstration
    assert card.cohort.n_patients == 8
    assert len(card.cohort_survival) == 101
    assert list(card.cohort_survival) == sorted(card.cohort_survival)
    assert "unseen ctd value" in result.output


def test_checkpoint_predicts(tiny: tuple[Path, Result]) -> None:
    folder, _ = tiny
    scan = PhantomCohort.draw(1, 5, FRESH).patients[0].scan()
    prediction = Predictor(load_checkpoint(folder / "first")).predict(scan.volume)
    assert 0 < prediction.survival_at(24) < 1
    assert sum(item.weight for item in prediction.attention) == pytest.approx(1)


def test_same_seed_makes_the_same_model_and_features_are_taken_from_the_cache(tiny: tuple[Path, Result]) -> None:
    folder, _ = tiny
    result = run(folder / "second", folder / "cache", "--json")
    first, second = read_card(folder / "first"), read_card(folder / "second")
    assert json.loads(result.stdout)["metrics"] == second.metrics
    assert second.device_uid == first.device_uid
    assert second.weights_sha256 == first.weights_sha256


def test_packaged_model_has_the_settings_of_the_command_and_states_that_it_meets_its_goals() -> None:
    card = read_card(DEMO)
    settings = Training.demonstration()
    assert card.network == settings.network.model_dump(mode="json")
    assert card.preprocessing == settings.preprocessing
    unseen = json.loads((DEMO / "model.json").read_text())["metrics"]["unseen"]
    assert unseen["patients"] >= 150
    assert unseen["ctd"]["value"] >= unseen["ctd_of_true_radius"]["value"] - 0.05
    assert unseen["ctd_of_true_radius"]["value"] == pytest.approx(0.85, abs=0.04)
    found = unseen["tumour_among_top_images"]
    assert found["diameter_over_40_mm"]["share"] >= 0.9  # a radius over 20 mm
    assert found["diameter_over_20_mm"]["share"] >= 0.8  # many of these hardly change the hazard
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 2_000_000


def test_packaged_model_finds_tumours_and_their_size_in_phantoms_drawn_anew() -> None:
    predictor = Predictor(load_checkpoint(DEMO))
    patients = PhantomCohort.draw(12, 100, FRESH).patients
    attention, shown, survival = [], [], []
    for patient in patients:
        scan = patient.scan()
        prediction = predictor.predict(scan.volume)
        survival.append(prediction.survival_at(24))
        if patient.radius_mm > 20:
            weights = np.zeros(len(scan.tumour))
            weights[[item.index for item in prediction.attention]] = [item.weight for item in prediction.attention]
            attention.append(weights)
            shown.append(scan.tumour)
    assert spearmanr([patient.radius_mm for patient in patients], survival).statistic < -0.3
    assert share_found(attention, shown, 5) >= 0.5  # of a handful: 0.93 of 91 is what the card states


def test_packaged_model_finds_the_tumour_and_ranks_by_it_on_a_ct_of_the_usual_resolution() -> None:
    """It was trained on coarse sampling: at 0.8 mm it takes every phantom for healthier, but keeps their order."""
    predictor = Predictor(load_checkpoint(DEMO))
    survival = {}
    for radius in (0.0, 35.0):
        phantom = make_phantom(77, tumour=Tumour(radius) if radius else None)  # 512 x 512 x 100, 0.8 mm
        prediction = predictor.predict(as_volume(phantom.hu, phantom.spacing_mm))
        survival[radius] = prediction.survival_at(24)
        if radius:
            assert {item.index for item in prediction.ranked(5)} & set(phantom.tumour_slices)
    assert survival[35.0] < survival[0.0] - 0.1
