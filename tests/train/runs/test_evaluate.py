"""A finished model on patients of another cohort, as it is, and what must be known of the figures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from survnode.model.checkpoint import DEMO, Card, load_checkpoint, read_card
from survnode.model.errors import CheckpointRefused
from survnode.model.predict import Predictor
from survnode.train.cli import app
from survnode.train.cohorts.phantom import draw_phantoms
from survnode.train.errors import OverlapRefused, RunDiffers
from survnode.train.runs.evaluate import recipe_of
from survnode.train.runs.finish import Run
from survnode.train.runs.overlap import overlap_with

from ..tiny import PATIENTS, rows


def test_evaluation_of_a_run_on_its_own_patients_is_refused_and_offers_cross_validation(
    whole: Run, tree: Path, tmp_path: Path
) -> None:
    refused = evaluated(whole, tree, tmp_path / "out").exception
    assert isinstance(refused, OverlapRefused)
    assert "8 of 8 patients of phantom have been seen by tiny (8 by PatientID, 8 by CT)" in str(refused)
    assert "--cross-validated" in str(refused)
    assert not (tmp_path / "out").exists()


def test_cross_validated_evaluation_gives_the_predictions_of_the_run(whole: Run, tree: Path, tmp_path: Path) -> None:
    result = evaluated(whole, tree, tmp_path / "out", "--cross-validated")
    assert result.exit_code == 0, result.output
    assert "remark" not in json.loads(result.stdout)
    predicted, expected = (rows(folder / "predictions.csv") for folder in (tmp_path / "out", whole.plan.out))
    assert [(row["patient"], row["fold"]) for row in predicted] == [(row["patient"], row["fold"]) for row in expected]
    assert [float(row["cif"]) for row in predicted] == pytest.approx([float(row["cif"]) for row in expected], abs=1e-6)


def test_allowed_overlap_is_marked_wherever_there_are_figures(whole: Run, tree: Path, tmp_path: Path) -> None:
    result = evaluated(whole, tree, tmp_path / "out", "--allow-overlap")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["patients"], told["resamples"], told["seed"]) == (len(PATIENTS), 1000, 42)
    said = "Contains training patients: 8 of 8 (8 by PatientID, 8 by CT)."
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {told["remark"], metrics["warning"], metrics["evaluation"]["remark"]} == {said}
    for table in ("predictions.csv", "attention.csv"):
        assert {row["remark"] for row in rows(tmp_path / "out" / table)} == {said}
    predicted = rows(tmp_path / "out" / "predictions.csv")
    volume = whole.material.cohort.patients[0].volume()
    expected = Predictor(load_checkpoint(whole.plan.out)).predict(volume).cif
    assert [float(row["cif"]) for row in predicted[:24]] == pytest.approx(expected, abs=2e-3)


def evaluated(whole: Run, tree: Path, out: Path, *more: str) -> Result:
    words = ["evaluate", "--model", whole.plan.out, "--cohort", tree / "cohort.toml", "--out", out, *more]
    return CliRunner().invoke(app, [*map(str, words), "--cache", str(whole.plan.caches), "--workers", "1", "--json"])


def test_evaluation_does_not_overwrite_a_training_run(whole: Run, tree: Path) -> None:
    before = (whole.plan.out / "metrics.json").read_bytes()
    words = ["evaluate", "--model", "demo", "--cohort", tree / "cohort.toml", "--out", whole.plan.out]
    result = CliRunner().invoke(app, [*map(str, words), "--cache", str(whole.plan.caches)])
    assert isinstance(result.exception, RunDiffers)
    assert (whole.plan.out / "metrics.json").read_bytes() == before


@pytest.fixture(scope="module")
def demonstration() -> Card:
    return read_card(DEMO)


def test_demonstration_model_has_seen_its_phantoms_and_no_others(demonstration: Card) -> None:
    own, others = draw_phantoms(3, 100), draw_phantoms(3, 100, 3, "PHANTOM-UNSEEN")
    assert overlap_with(demonstration.seen, own).sentence.startswith("Contains training patients: 3 of 3")
    assert not overlap_with(demonstration.seen, others)
    renamed = [replace(patient, id=f"NEW-{patient.seed}") for patient in own]
    assert overlap_with(demonstration.seen, renamed).by_image == 3


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
