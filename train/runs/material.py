"""A cohort as networks see it: its slices and its features, made once and kept in the caches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from survnode.model.checkpoint import Tensors
from survnode.model.net.volumetric import VolumetricConfig
from survnode.train.cohorts.cohort import Cohort, Patient
from survnode.train.cohorts.errors import FeatureTableRefused, TableFault
from survnode.train.cohorts.exclusions import Warned, write_exclusions
from survnode.train.cohorts.feature_table import FeatureTable
from survnode.train.cohorts.folds import Fold
from survnode.train.errors import NothingToMeasure
from survnode.train.fit.features import FeatureCache
from survnode.train.fit.inputs import FeatureInputs, Inputs, SliceInputs, WithTable
from survnode.train.fit.loop import Outcomes, Predicted, Rows, predict
from survnode.train.fit.networks import new_net
from survnode.train.fit.slices import SliceCache, standard_window
from survnode.train.journal import PROGRESS, WARNING, RunListener
from survnode.train.recipe import Intensity, Recipe
from survnode.train.runs.claim import EXCLUSIONS, RUN
from survnode.train.runs.plan import RunPlan


@dataclass(frozen=True)
class Material:
    """A cohort with its slices and features, which all folds of a run share.

    Parameters
    ----------
    caches : folder of slices and features
    init : a run, or a checkpoint, whose networks are started from
    table : what is known of the patients beside the image
    remark : what every result must carry; see `survnode.train.runs.overlap`
    """

    name: str
    cohort: Cohort
    recipe: Recipe
    caches: Path
    seed: int
    device: str = "cpu"
    init: Path | None = None
    remark: str = ""
    table: FeatureTable | None = None

    @property
    def slices(self) -> SliceCache:
        """The cohort's slices."""
        return SliceCache(self.caches / "slices", self.recipe.preprocessing, self.recipe.lungs)

    def features(self, recipe: Recipe) -> FeatureCache:
        """The cohort's features for ``recipe``, which has the window of a fold."""
        return FeatureCache.of(recipe, self.slices, self.caches / "features", self.seed, self.device)

    def lung_heights_mm(self, patients: Sequence[Patient]) -> list[float]:
        """Of patients of the cohort whose slices are there."""
        return [self.slices.lung_height_mm(patient) for patient in patients]

    @property
    def outcomes(self) -> Outcomes:
        """The cohort's outcomes."""
        return Outcomes(self.cohort.time_months, self.cohort.event)

    def rows(self, ids: Sequence[str]) -> Rows:
        """Rows of patients in the cohort."""
        places = {patient_id: row for row, patient_id in enumerate(self.cohort.ids)}
        return np.array([places[patient_id] for patient_id in ids], np.int64)

    def recipe_of(self, fold: Fold) -> Recipe:
        """The recipe with the intensity window of a fold."""
        if self.recipe.intensity is Intensity.WINDOW:
            return self.recipe
        window = standard_window([self.slices.path(patient) for patient in self.cohort.of(fold.train)])
        return self.recipe.varied(preprocessing=self.recipe.preprocessing.model_copy(update={"window_hu": window}))


def prepared(cohort: Cohort, plan: RunPlan, listener: RunListener) -> Material:
    """The cohort with its slices in the cache, without the patients whose CT turned out to be unsuitable."""
    material = Material(plan.name, cohort, plan.recipe, plan.caches, plan.seed, plan.device, plan.init)
    step = steps(listener, "slices", len(cohort.patients))
    refused = material.slices.fill(cohort.patients, workers=plan.workers, done=step)
    out = {exclusion.patient_id for exclusion in refused}
    for exclusion in refused:
        listener("excluded", reason=str(exclusion.reason))
    left = tuple(patient for patient in cohort.patients if patient.id not in out)
    warned = tuple(Warned(patient.id, it) for patient in left for it in material.slices.warnings(patient))
    exclusions = (*cohort.exclusions, *refused)
    if not (plan.out / RUN).exists():  # what is refused from here on must be understood
        write_exclusions(plan.out / EXCLUSIONS, exclusions, warned)
    if not left:
        raise NothingToMeasure(f"None of {len(cohort.patients)} patients of {cohort.name} has a CT that can be used.")
    read = replace(material, cohort=replace(cohort, patients=left, exclusions=exclusions, warned=warned))
    return replace(read, table=plan.table) if plan.table is None else _with_table(read, plan.table, listener)


def _with_table(material: Material, table: FeatureTable, listener: RunListener) -> Material:
    """The same with a table of features, which must know some of the patients."""
    ids = material.cohort.ids
    absent = sum(who not in table.values for who in ids)
    if absent == len(ids):
        rule = f"must know patients of {material.cohort.name}, and has none of its {len(ids)}: is it another cohort's?"
        raise FeatureTableRefused("The table of features", [TableFault(None, "", "", rule)])
    if absent:
        listener(WARNING, sentence=f"The table of features has no row for {absent} of {len(ids)} patients.")
    return replace(material, table=table)


def fill_features(material: Material, workers: int, listener: RunListener) -> None:
    """Make the features of a frozen encoder that every fold shares."""
    if material.recipe.frozen and material.recipe.intensity is Intensity.WINDOW:
        features = material.features(material.recipe)
        patients = material.cohort.patients
        features.fill(patients, workers=workers, done=steps(listener, "features", len(patients) * features.views))


def inputs_of(material: Material, recipe: Recipe) -> Inputs:
    """The cohort as the network sees it: its images, and what is known beside them."""
    images = images_of(material, recipe)
    if material.table is None:
        return images
    return WithTable(images, material.table.rows(material.cohort.ids), material.device)


def images_of(material: Material, recipe: Recipe) -> Inputs:
    """Features, made where they are absent, or slices."""
    if recipe.frozen:
        cache = material.features(recipe)
        cache.fill(material.cohort.patients)
        features = _features(cache, material.cohort.patients)
        return FeatureInputs(features, recipe.augmentation.probability, material.device)
    paths = [material.slices.path(patient) for patient in material.cohort.patients]
    window, together = recipe.preprocessing.window_hu, isinstance(recipe.network, VolumetricConfig)
    return SliceInputs(paths, window, recipe.augmentation, together=together, device=material.device)


@lru_cache(maxsize=1)
def _features(cache: FeatureCache, patients: tuple[Patient, ...]) -> list[NDArray[np.float16]]:
    """Read once a process for all folds."""
    return [cache.read(patient) for patient in patients]


def member_predictions(members: Sequence[Tensors], material: Material) -> list[Predicted]:
    """What each of several finished networks says of every patient of the cohort."""
    recipe = material.recipe
    inputs, rows = inputs_of(material, recipe), np.arange(len(material.cohort.patients))
    predicted = []
    for member in members:
        net = new_net(recipe.network, 0)
        net.load_trained_state({name: torch.from_numpy(tensor) for name, tensor in member.items()})
        predicted.append(predict(net.to(material.device), inputs, rows, recipe.fitting))
    return predicted


def mean_prediction(members: Sequence[Tensors], material: Material) -> Predicted:
    """What they say on average."""
    predicted = member_predictions(members, material)
    attention = [np.mean(shares, axis=0) for shares in zip(*(each.attention for each in predicted), strict=True)]
    return Predicted(np.mean([each.cif for each in predicted], axis=0), attention)


def steps(listener: RunListener, stage: str, total: int) -> Callable[[], None]:
    """A callback that counts."""
    done = count(1)
    return lambda: listener(PROGRESS, stage=stage, done=next(done), total=total)
