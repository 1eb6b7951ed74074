import pytest
from pydantic import ValidationError

from survnode.model.net.encoders import Freezing
from survnode.model.net.network import NetworkConfig
from survnode.train.cohorts.clinical import MonthRule, Reading
from survnode.train.recipe import Fitting, LossSettings, Recipe

FROZEN = Recipe(network=NetworkConfig(freezing=Freezing.TRUNK))
WHOLE = Recipe(network=NetworkConfig(freezing=Freezing.NONE))


def test_features_can_be_kept_only_of_a_trunk_that_no_gradient_reaches() -> None:
    assert {freezing: Recipe(network=NetworkConfig(freezing=freezing)).frozen for freezing in Freezing} == {
        freezing: freezing is Freezing.TRUNK for freezing in Freezing
    }


def test_an_encoder_that_learns_learns_slowly() -> None:
    assert FROZEN.learning_rate == Fitting().learning_rate
    assert WHOLE.learning_rate == Fitting().learning_rate_with_encoder < FROZEN.learning_rate


def test_a_cohort_is_read_with_the_spacing_that_the_model_sees() -> None:
    recipe = FROZEN.varied(months=MonthRule.EXACT)
    assert recipe.reading == Reading(MonthRule.EXACT, recipe.preprocessing.slice_spacing_mm)


def test_a_varied_recipe_differs_in_that_part_alone() -> None:
    varied = FROZEN.varied(fitting=Fitting(loss=LossSettings(beta=2.0)))
    assert varied.fitting.loss.beta == 2
    assert varied.model_copy(update={"fitting": FROZEN.fitting}) == FROZEN


@pytest.mark.parametrize(
    "settings",
    [{"fitting": {"batch": 0}}, {"fitting": {"loss": {"sigma": 0}}}, {"augmentation": {"flip": 1.5}}, {"seed": 1}],
)
def test_what_is_impossible_or_not_known_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(settings)
