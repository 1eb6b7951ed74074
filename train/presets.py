"""The recipes that have a name.

==================  ========================  ===========================  =========================================
setting             paper                     released                     recommended
==================  ========================  ===========================  =========================================
trains              what follows the pooling  also stem and BatchNorm      as paper
interpolation       linear                    B-spline                     as paper
slices kept         each with >= 2 % lung     from first to last with more as paper
intensity           -1000 .. 400 HU           mean and SD of the fold      as paper
months              of 30.4375 days           days // 30, and month 24     as paper
features            as they are               as they are                  centred, times 0.3, half of them and 70 % of
                                                                           the slices dropped, none in the head
ranking loss        0.5 x, sum / patients,    as paper                     2 x, mean over pairs, sigma 0.5
                    sigma 0.1
fit                 batch 4, 1e-3 (1e-4 with  as paper                     batch 16, 3e-3, weight decay 2, 50 epochs
                    the encoder), 100 epochs,                              down one cosine
                    restarts                  by epoch, Xavier, the first
                                              of equal epochs
augmentation        p = 0.2 a slice           nearest pixel, 0 HU around   none
==================  ========================  ===========================  =========================================

`REASONS` says why, `differences` lists every single value, `LEFT_OUT` what of the released code `released` does not do.
`demonstration` is `recommended` with an encoder and a segmentation that need no download. `recommended` was found on
phantoms, not on patients.
"""

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from pydantic import JsonValue, ValidationError

from survnode.model.covariates import columns_of
from survnode.model.ct.lungs import LungMethod
from survnode.model.ct.preprocess import Interpolation, Preprocessing, SliceFilter
from survnode.model.fault_words import key_of, rule_of
from survnode.model.net.beside import BesideConfig
from survnode.model.net.deephit import DeepHitConfig
from survnode.model.net.encoders import Freezing
from survnode.model.net.network import NetworkConfig
from survnode.model.net.trunks import EncoderName
from survnode.train.cohorts.clinical import MonthRule
from survnode.train.cohorts.feature_table import FeatureTable
from survnode.train.errors import RecipeRefused
from survnode.train.recipe import (
    Augmentation,
    EqualEpochs,
    Fitting,
    Intensity,
    KeptWeights,
    LossSettings,
    RankingMean,
    Recipe,
    Schedule,
    StartWeights,
    Turning,
)


class Preset(StrEnum):
    """A recipe with a name."""

    PAPER = "paper"  # what the paper says, and usual values where it says nothing
    RELEASED = "released"  # what its published code does where that differs
    RECOMMENDED = "recommended"  # what learns
    DEMONSTRATION = "demonstration"  # the same, with a backbone and a segmentation that need no download


_PAPER = Recipe(fitting=Fitting(schedule=Schedule.RESTARTS, centre_features=False))

# The paper's own settings overfit a few hundred phantoms (measured: C-td 0.46-0.58 where the true size scores 0.8).
# Features that are centred, shrunk and half dropped, most slices out of sight, a strong weight decay and a soft ranking
# loss that does not depend on the batch do not (measured in five-fold validation on 400 phantoms: C-td 0.82-0.88 where
# the true size scores 0.85).
_RECOMMENDED = _PAPER.varied(
    network=NetworkConfig(
        deephit=DeepHitConfig(dropout=0.0), feature_scale=0.3, feature_dropout=0.5, slice_dropout=0.7
    ),
    augmentation=Augmentation(probability=0),
    fitting=Fitting(
        loss=LossSettings(beta=2.0, sigma=0.5, ranking_mean=RankingMean.PAIRS),
        batch=16,
        learning_rate=3e-3,
        weight_decay=2.0,
        epochs=50,
        warm_up_epochs=0,
        schedule=Schedule.COSINE,
    ),
)

PRESETS: dict[Preset, Recipe] = {
    Preset.PAPER: _PAPER,
    Preset.RELEASED: _PAPER.varied(
        network=NetworkConfig(freezing=Freezing.TRUNK_BUT_STEM, n_bins=25),
        preprocessing=Preprocessing(interpolation=Interpolation.BSPLINE, slice_filter=SliceFilter.RUN),
        intensity=Intensity.FOLD,
        months=MonthRule.RELEASED,
        augmentation=_PAPER.augmentation.model_copy(update={"turning": Turning.NEAREST}),
        fitting=_PAPER.fitting.model_copy(
            update={
                "schedule": Schedule.RESTARTS_BY_EPOCH,
                "equal_epochs": EqualEpochs.FIRST,
                "start_weights": StartWeights.XAVIER,
            }
        ),
    ),
    Preset.RECOMMENDED: _RECOMMENDED,
    Preset.DEMONSTRATION: _RECOMMENDED.varied(
        network=_RECOMMENDED.network.model_copy(update={"encoder": EncoderName.EFFICIENTNET_LITE0}),
        lungs=LungMethod.THRESHOLD,
        weights=KeptWeights.HALF,
    ),
}

REASONS: dict[str, str] = {
    "network.encoder": "The demonstration must run where nothing was downloaded: these weights come with a package.",
    "lungs": "The demonstration must run where nothing was downloaded: this segmentation needs no weights.",
    "weights": "The demonstration comes with the software: half of the size, for figures that do not change.",
    "network.freezing": "The released code sums the RGB stem after freezing, which lets it train again, and leaves"
    " BatchNorm in train mode; the paper's text says that only the last layer trains.",
    "network.deephit.dropout": "The features and slices that are left out do what it is for.",
    "network.feature_scale": "Small features keep 400,000 weights longer from learning 335 patients by heart.",
    "network.feature_dropout": "Against learning by heart.",
    "network.slice_dropout": "Against learning a patient by one slice.",
    "preprocessing.interpolation": "The released code resamples with B-splines; linear never overshoots at bone.",
    "preprocessing.slice_filter": "The released code keeps a contiguous run, first and last slice included; the paper"
    " drops the slices under 2 %.",
    "intensity": "The released code standardises HU by the training fold; a fixed window makes features that do not"
    " depend on the fold. Done here as a window, so values 2.4 SD above the mean are clipped.",
    "months": "The released code counts days // 30 and deaths in month 24 as within two years.",
    "network.n_bins": "The released labels run from month 0 to month 24: a bin more, so that deaths of month 24"
    " train as events (251 of LUNG1's 415).",
    "augmentation.turning": "The released code turns by the nearest pixel and fills with 0 HU before it standardises.",
    "fitting.equal_epochs": "Of epochs with the same validation concordance the released code keeps the first.",
    "fitting.start_weights": "The released code starts its linear layers from Xavier; its biases are not known, here"
    " 0.",
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
    "fitting.schedule": "recommended: one descent, as in the trial on phantoms, with 50 epochs restarts have no time."
    " released: its restarts move the rate once an epoch; here the warm-up still moves it with every step.",
    "fitting.centre_features": "Pooled features are positive: their mean says nothing and swamps the differences.",
}

LEFT_OUT = (
    "Slices are resized once, to 224 x 224: the released code keeps 256 x 256 on disk and shrinks them as it loads.",
    "There is a bin for survivors: the released code has none, and whoever lives beyond month 24 is censored there.",
    "The fold's mean and SD are a window from 0 to 1, so that values beyond 2.0 SD below or 2.4 SD above are clipped.",
    "Resampling is ITK's B-spline of the third order; the lungs are found on the resampled CT in both.",
    "A missing lung's place is in the box; the released code cuts the box around what was found.",
)


def differences(first: Recipe, second: Recipe) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Each setting that differs: its dotted name, and its value in either recipe."""
    here, there = (dict(_leaves(recipe.model_dump(mode="json"))) for recipe in (first, second))
    for name in here | there:
        if here.get(name) != there.get(name):
            yield name, here.get(name), there.get(name)


def preset_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    RecipeRefused
    """
    if name not in list(Preset):
        raise RecipeRefused(f"There is no preset {name}: expected one of {', '.join(Preset)}.")
    return PRESETS[Preset(name)]


def with_table(recipe: Recipe, table: FeatureTable | None, *, alone: bool = False) -> Recipe:
    """The recipe whose network also sees a table of features, or sees nothing else.

    Raises
    ------
    RecipeRefused
        The network is one of volumes.
    """
    if table is None:
        return recipe
    if not isinstance(recipe.network, NetworkConfig):
        raise RecipeRefused("A table of features is joined to networks of slices only, not to those of volumes.")
    beside = BesideConfig(columns=columns_of(table.covariates))
    network = recipe.network.model_copy(update={"beside": beside, "sees_image": not alone})
    return recipe.varied(network=network)


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
        faults = sorted({f"{key_of(fault)}: {rule_of(fault)}" for fault in error.errors()})
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
