"""A finished model on patients of another cohort, as it is, and what must be known of the figures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from survnode.model.checkpoint import DEMO, Card, load_checkpoint, read_card
from survnode.model.errors import CheckpointRefused
from survnode.model.predict import Predictor
from survnode.train.cli import app
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.phantom import draw_phantoms
from survnode.train.errors import RunDiffers
from survnode.train.runs.evaluate import recipe_of, warning_of
from survnode.train.runs.finish import Run

from ..tiny import PATIENTS, rows


def test_evaluation_scores_a_model_on_patients_as_it_is(whole: Run, tree: Path, tmp_path: Path) -> None:
    words = ["evaluate", "--model", whole.plan.out, "--cohort", tree / "cohort.toml", "--out", tmp_path / "out"]
    result = CliRunner().invoke(app, [*map(str, words), "--cache", str(whole.plan.caches), "--workers", "1", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["patients"], told["resamples"], told["seed"]) == (len(PATIENTS), 1000, 42)
    predicted = rows(tmp_path / "out" / "predictions.csv")
    volume = whole.material.cohort.patients[0].volume()
    expected = Predictor(load_checkpoint(whole.plan.out)).predict(volume).cif
    assert [float(row["cif"]) for row in predicted[:24]] == pytest.approx(expected, abs=2e-3)


def test_evaluation_does_not_overwrite_a_training_run(whole: Run, tree: Path) -> None:
    before = (whole.plan.out / "metrics.json").read_bytes()
    words = ["evaluate", "--model", "demo", "--cohort", tree / "cohort.toml", "--out", whole.plan.out]
    result = CliRunner().invoke(app, [*map(str, words), "--cache", str(whole.plan.caches)])
    assert isinstance(result.exception, RunDiffers)
    assert (whole.plan.out / "metrics.json").read_bytes() == before


@pytest.fixture(scope="module")
def demonstration() -> Card:
    return read_card(DEMO)


def test_model_measured_on_the_cohort_that_it_was_trained_on_carries_a_warning(whole: Run, cohort: Cohort) -> None:
    card = read_card(whole.plan.out)
    assert "tiny was trained on this very cohort" in (warning_of(card, cohort) or "")
    assert warning_of(card, replace(cohort, patients=cohort.patients[1:])) is None


def test_demonstration_model_measured_on_phantoms_of_its_own_carries_a_warning(demonstration: Card) -> None:
    phantoms = Cohort("phantom", draw_phantoms(3, 100), computed=True)
    assert "phantom-unseen are others" in (warning_of(demonstration, phantoms) or "")
    assert warning_of(demonstration, replace(phantoms, name="phantom-unseen")) is None
    assert warning_of(demonstration, replace(phantoms, computed=False)) is None  # patients whom somebody called so


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": {"encoder": "lenet"}}, "does not know"),
        ({"backbone": {"name": "efficientnet_lite0-imagenet", "sha256": "ab"}}, "The weights on this machine are not"),
    ],
)
def test_model_that_cannot_be_made_here_is_refused(demonstration: Card, changes: dict[str, object], said: str) -> None:
    with pytest.raises(CheckpointRefused, match=said):
        recipe_of(Card.model_validate(demonstration.model_dump() | changes))


def test_recipe_of_a_model_is_the_one_that_it_was_trained_by_without_random_views(whole: Run) -> None:
    trained, again = whole.plan.recipe, recipe_of(read_card(whole.plan.out))
    assert (again.network, again.preprocessing, again.lungs) == (trained.network, trained.preprocessing, trained.lungs)
    assert again.augmentation.probability == 0
