"""The whole command on a tiny cohort, and the packaged model that it made: its figures, measured anew."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner, Result

from survnode.model.checkpoint import DEMO, load_checkpoint, read_card
from survnode.model.predict import Predictor
from survnode.train.cli import app
from survnode.train.cohorts.phantom import PhantomCohort
from survnode.train.measure.attention import share_found
from survnode.train.recipe import Training
from survnode.train.runs.demonstration import FOLDS

FRESH = 9  # a part of the cohort that the command never draws


def run(out: Path, cache: Path, *more: str) -> Result:
    sizes = ["--patients", "10", "--unseen", "8", "--seed", "5"]
    return CliRunner().invoke(
        app, ["train", "--cohort", "phantom", "--out", str(out), "--cache", str(cache), *sizes, *more]
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("tiny")
    return folder, run(folder / "first", folder / "cache")


def test_command_trains_measures_and_says_so(tiny: tuple[Path, Result]) -> None:
    folder, result = tiny
    assert result.exit_code == 0, result.output
    card = read_card(folder / "first")
    assert card.demonstration
    assert card.cohort.n_patients == 10
    assert card.members == FOLDS
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
    assert found["diameter_over_40_mm"]["share"] >= 0.95  # a radius over 20 mm
    assert found["diameter_over_20_mm"]["share"] >= 0.88  # the smaller of these hardly change the hazard
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 5_000_000


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
    assert spearmanr([patient.radius_mm for patient in patients], survival).statistic < -0.5
    assert share_found(attention, shown, 5) >= 0.75  # of a handful: 0.98 of 99 is what the card states


def test_packaged_model_says_the_same_of_a_patient_whatever_the_sampling_and_noise() -> None:
    predictor = Predictor(load_checkpoint(DEMO))
    patient = next(one for one in PhantomCohort.draw(20, 100, FRESH).patients if one.radius_mm > 30)
    scanners = ((0.8, 10.0), (1.2, 18.0), (1.6, 14.0))  # 512 x 512 pixels of 0.8 mm are the usual ones
    survival = [
        predictor.predict(replace(patient, pixel_mm=pixel, noise_hu=noise).scan().volume).survival_at(24)
        for pixel, noise in scanners
    ]
    assert max(survival) - min(survival) < 0.05
    assert max(survival) < 0.2
