"""`Recipe`, all that decides what is trained, and the three that have a name.

==================  ========================  ===========================  =========================================
setting             paper                     released                     recommended
==================  ========================  ===========================  =========================================
trains              what follows the pooling  also stem and BatchNorm      as paper
interpolation       linear                    B-spline                     as paper
slices kept         each with >= 2 % lung     from first to last with more as paper
intensity           -1000 .. 400 HU           mean and SD of the fold      as paper
months              of 30.4375 days           days // 30                   as paper
features            as they are               as they are                  centred, times 0.3, half of them and 70 % of
                                                                           the slices dropped, none in the head
ranking loss        0.5 x, sum / patients,    as paper                     2 x, mean over pairs, sigma 0.5
                    sigma 0.1
fit                 batch 4, 1e-3 (1e-4 with  as paper                     batch 16, 3e-3, weight decay 2, 50 epochs
                    the encoder), 100 epochs,                              down one cosine
                    restarts
augmentation        p = 0.2 a slice           as paper                     none
==================  ========================  ===========================  =========================================

`REASONS` says why, `differences` lists every single value. `recommended` was found on phantoms, not on patients. Of the
released code two things are left out on purpose: it keeps slices of 256 x 256 and shrinks them again when they are
loaded, and it has no bin for survivors, so that whoever lives beyond month 24 is censored in the last one.
"""

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from survnode.model.ct.lungs import LungMethod
from survnode.model.ct.preprocess import Interpolation, Preprocessing, SliceFilter
from survnode.model.net.encoders import Freezing
from survnode.model.net.network import NetworkConfig
from survnode.model.net.volumetric import VolumetricConfig
from survnode.train.cohorts.clinical import MonthRule
from survnode.train.errors import RecipeRefused
from survnode.train.names import Preset
from survnode.train.recipe import Fitting, Schedule, Training


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Intensity(StrEnum):
    """How HU become the network's input."""

    WINDOW = "window"  # the preprocessing's window, the same for everybody
    FOLD = "fold"  # standardised by the mean and SD of the training patients' pixels


class Augmentation(_Settings):
    """Random views of slices in training; a volume network turns and flips all slices of a patient as one.

    Parameters
    ----------
    probability : with which a slice is not the plain one
    views : K, how many random views of each slice are kept as features of a frozen encoder
    flip : probability of a horizontal flip in a random view
    degrees : a random view is rotated by an angle between minus and plus this
    """

    probability: float = Field(default=0.2, ge=0, le=1)
    views: int = Field(default=4, gt=0)
    flip: float = Field(default=0.5, ge=0, le=1)
    degrees: float = Field(default=20.0, ge=0, le=180)


class Recipe(_Settings):
    """Everything that decides what a trained model computes, but its patients and the seed."""

    network: NetworkConfig | VolumetricConfig = NetworkConfig()
    preprocessing: Preprocessing = Preprocessing()
    lungs: LungMethod = LungMethod.LUNGMASK
    intensity: Intensity = Intensity.WINDOW
    months: MonthRule = MonthRule.EXACT
    augmentation: Augmentation = Augmentation()
    fitting: Fitting = Fitting()

    @property
    def frozen(self) -> bool:
        """Whether no gradient reaches the encoder, so that its features can be kept."""
        return self.network.freezing is Freezing.TRUNK

    @property
    def learning_rate(self) -> float:
        """The full learning rate."""
        return self.fitting.learning_rate if self.frozen else self.fitting.learning_rate_with_encoder

    def varied(self, **parts: BaseModel | JsonValue) -> "Recipe":
        """The recipe with other parts: ``recipe.varied(network=VolumetricConfig())``."""
        return self.model_copy(update=parts)


_PAPER = Recipe(fitting=Fitting(schedule=Schedule.RESTARTS, centre_features=False))

_LEARNS = Training.demonstration()

PRESETS: dict[Preset, Recipe] = {
    Preset.PAPER: _PAPER,
    Preset.RELEASED: _PAPER.varied(
        network=NetworkConfig(freezing=Freezing.TRUNK_BUT_STEM),
        preprocessing=Preprocessing(interpolation=Interpolation.BSPLINE, slice_filter=SliceFilter.RUN),
        intensity=Intensity.FOLD,
        months=MonthRule.RELEASED,
    ),
    Preset.RECOMMENDED: _PAPER.varied(
        network=_LEARNS.network.model_copy(update={"encoder": _PAPER.network.encoder}),
        augmentation=Augmentation(probability=0),
        fitting=_LEARNS.fitting,
    ),
}

REASONS: dict[str, str] = {
    "network.freezing": "The released code sums the RGB stem after freezing, which lets it train again, and leaves"
    " BatchNorm in train mode; the paper's text says that only the last layer trains.",
    "network.deephit.dropout": "The features and slices that are left out do what it is for.",
    "network.feature_scale": "Small features keep 400,000 weights longer from learning 335 patients by heart.",
    "network.feature_dropout": "Against learning by heart.",
    "network.slice_dropout": "Against learning a patient by one slice.",
    "preprocessing.interpolation": "The released code resamples with B-splines; linear never overshoots at bone.",
    "preprocessing.slice_filter": "The released code keeps a contiguous run and leaves its last slice out; the paper"
    " drops the slices under 2 %.",
    "intensity": "The released code standardises HU by the training fold; a fixed window makes features that do not"
    " depend on the fold. Done here as a window, so values 2.4 SD above the mean are clipped.",
    "months": "The released code counts days // 30 and deaths in month 24 as within two years.",
    "augmentation.probability": "None in the trial on phantoms: dropped features vary what is seen at no cost.",
    "fitting.loss.beta": "Ranking is what is measured; averaged over pairs it needs the greater weight.",
    "fitting.loss.sigma": "With 0.1 a single wrongly ordered pair can outweigh all others.",
    "fitting.loss.ranking_mean": "A mean over pairs does not change with the size of a batch and its share of deaths.",
    "fitting.batch": "On phantoms whose hazard follows the tumour's size, which itself scores a C-td of 0.85, these"
    " settings came to 0.82-0.88 in validation; the paper's came to 0.46-0.58 where the size scores 0.8. A batch of 4"
    " has about 5 comparable pairs, one of 16 about 100.",
    "fitting.learning_rate": "It has a strong weight decay to work against.",
    "fitting.weight_decay": "Against learning by heart; on phantoms it keeps late epochs' attention on the tumour.",
    "fitting.epochs": "They are enough on phantoms.",
    "fitting.warm_up_epochs": "None in the trial on phantoms.",
    "fitting.schedule": "One descent, as in the trial on phantoms: with 50 epochs restarts have no time.",
    "fitting.centre_features": "Pooled features are positive: their mean says nothing and swamps the differences.",
}


def differences(one: Recipe, other: Recipe) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Each setting that differs: its dotted name, and its value in the one and in the other."""
    first, second = dict(_leaves(one.model_dump(mode="json"))), dict(_leaves(other.model_dump(mode="json")))
    for name in first | second:
        if first.get(name) != second.get(name):
            yield name, first.get(name), second.get(name)


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with single settings changed, each as ``dotted.name=value``; values are JSON, or else text.

    Raises
    ------
    RecipeRefused
        All of them that are not possible are told at once.
    """
    values: dict[str, Any] = recipe.model_dump(mode="json")
    unknown = [setting for setting in settings if not _set(values, setting)]
    if unknown:
        names = ", ".join(name for name, _ in _leaves(recipe.model_dump(mode="json")))
        raise RecipeRefused(f"Not settings: {', '.join(unknown)}. Expected name=value with a name out of {names}.")
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        faults = sorted({f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()})
        raise RecipeRefused("\n".join(["The settings are not possible:", *faults])) from error


def _leaves(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield path + name, value


def _set(values: dict[str, Any], setting: str) -> bool:
    """Change one value in place; False if there is none of that name."""
    path, equals, text = setting.partition("=")
    *folders, name = path.split(".")
    for folder in folders:
        inner = values.get(folder)
        if not isinstance(inner, dict):
            return False
        values = inner
    if not equals or name not in values:
        return False
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(values[name], dict) and not isinstance(value, dict):
        return False
    values[name] = value
    return True
