"""Named recipes: what they are, how they differ, and how single settings change."""

from pathlib import Path

import numpy as np
import pytest

from survnode.model.ct.lungs import LungMethod
from survnode.model.net.encoders import Freezing
from survnode.model.net.network import NetworkConfig
from survnode.model.net.trunks import EncoderName
from survnode.model.net.volumetric import VolumeEncoderName, VolumetricConfig
from survnode.model.timegrid import TimeGrid
from survnode.train.errors import RecipeRefused
from survnode.train.presets import PRESETS, REASONS, Preset, differences, with_settings
from survnode.train.recipe import Recipe, Schedule

from .trees import papers_outcomes

PAPER = PRESETS[Preset.PAPER]


def test_every_difference_from_the_paper_has_its_reason_and_every_reason_a_difference() -> None:
    named = {name for recipe in PRESETS.values() for name, _, _ in differences(PAPER, recipe)}
    assert named == set(REASONS)


def test_paper_is_what_the_reference_says() -> None:
    fitting = PAPER.fitting
    assert (fitting.batch, fitting.epochs, fitting.warm_up_epochs, fitting.weight_decay) == (4, 100, 5, 0.01)
    assert fitting.schedule is Schedule.RESTARTS
    assert PAPER.network.freezing is Freezing.TRUNK
    assert (PAPER.augmentation.probability, PAPER.augmentation.flip, PAPER.augmentation.degrees) == (0.2, 0.5, 20)


def test_rate_is_lower_when_gradients_reach_the_encoder() -> None:
    assert PAPER.learning_rate == 1e-3
    assert PAPER.varied(network=PAPER.network.model_copy(update={"freezing": Freezing.HALF})).learning_rate == 1e-4


def test_settings_change_by_dotted_name_and_values_are_json_or_text() -> None:
    changed = with_settings(
        PAPER, ["network.encoder=vgg16", "fitting.loss.beta=2", "preprocessing.spacing_mm=[6, 2, 2]", "lungs=threshold"]
    )
    assert changed.network == NetworkConfig(encoder=EncoderName.VGG16)
    assert changed.fitting.loss.beta == 2
    assert changed.preprocessing.spacing_mm == (6.0, 2.0, 2.0)
    assert changed.lungs is LungMethod.THRESHOLD


def test_a_whole_part_is_changed_by_an_object() -> None:
    changed = with_settings(PAPER, ['network={"encoder": "densenet3d_121"}'])
    assert changed.network == VolumetricConfig(encoder=VolumeEncoderName.DENSENET3D_121)


def test_all_impossible_settings_are_told_at_once() -> None:
    with pytest.raises(RecipeRefused, match=r"fitting\.bacth=4, network=4.*fitting\.batch") as refusal:
        with_settings(PAPER, ["fitting.bacth=4", "network=4"])
    assert "lungs" in str(refusal.value)
    with pytest.raises(RecipeRefused) as refusal:
        with_settings(PAPER, ["fitting.batch=0", "lungs=guess"])
    assert "fitting.batch" in str(refusal.value)
    assert "lungs" in str(refusal.value)


@pytest.mark.parametrize("network", [PAPER.network, VolumetricConfig(encoder=VolumeEncoderName.DENSENET3D_121)])
def test_recipe_survives_json(network: object) -> None:
    recipe = PAPER.model_copy(update={"network": network})
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_deaths_of_month_24_train_as_events_in_the_released_preset(shared_data: Path) -> None:
    recipe = PRESETS[Preset.RELEASED]
    outcomes = papers_outcomes(shared_data)
    months = np.array([recipe.months.months(outcome.days) for outcome in outcomes])
    died = np.array([outcome.event for outcome in outcomes])
    bins, event = TimeGrid(recipe.network.n_bins).bins(months, died)
    assert (event & (bins < recipe.network.n_bins)).sum() == 251
