"""One fold of a run: a network is fitted, tests its patients, and is written; what is there is not made again."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from survnode.model.checkpoint import Backbone, Card, Lungs, Tensors, limits_of, save_checkpoint
from survnode.model.checkpoint import Cohort as CohortCard
from survnode.model.net.volumetric import VolumetricConfig
from survnode.model.timegrid import TimeGrid
from survnode.train.cohorts.cohort import Cohort, Patient
from survnode.train.cohorts.folds import Fold
from survnode.train.fit.features import FeatureCache, encoder_of
from survnode.train.fit.inputs import FeatureInputs, Inputs, Net, SliceInputs
from survnode.train.fit.loop import Epoch, Outcomes, Rows, Trainer, predict
from survnode.train.fit.networks import initial, new_net, start_from
from survnode.train.fit.slices import SliceCache, lung_weights_sha256, standard_window
from survnode.train.measure.concordance import concordance_td
from survnode.train.presets import Intensity, Recipe
from survnode.train.runs.results import FoldResult, read_result, write_result
from survnode.train.workers import one_thread_here

STATE = "unfinished.pt"
AfterEpoch = Callable[[Epoch], None]
INTENDED_USE = "Research use only: not a medical device, and no basis for any decision about a patient."


@dataclass(frozen=True)
class Material:
    """What all folds of a run share.

    Parameters
    ----------
    caches : folder of slices and features
    init : a run, or a checkpoint, whose networks are started from
    """

    name: str
    cohort: Cohort
    recipe: Recipe
    caches: Path
    seed: int
    device: str = "cpu"
    init: Path | None = None

    @property
    def slices(self) -> SliceCache:
        """The cohort's slices."""
        return SliceCache(self.caches / "slices", self.recipe.preprocessing, self.recipe.lungs)

    def features(self, recipe: Recipe) -> FeatureCache:
        """The cohort's features for ``recipe``, which has the window of a fold."""
        return FeatureCache.of(recipe, self.slices, self.caches / "features", self.seed, self.device)

    @property
    def outcomes(self) -> Outcomes:
        """The cohort's outcomes."""
        return Outcomes(self.cohort.time_months, self.cohort.event)

    def rows(self, ids: Sequence[str]) -> Rows:
        """Rows of patients in the cohort."""
        places = {patient_id: row for row, patient_id in enumerate(self.cohort.ids)}
        return np.array([places[one] for one in ids], np.int64)

    def recipe_of(self, fold: Fold) -> Recipe:
        """The recipe with the intensity window of a fold."""
        if self.recipe.intensity is Intensity.WINDOW:
            return self.recipe
        window = standard_window([self.slices.path(patient) for patient in self.cohort.of(fold.train)])
        return self.recipe.varied(preprocessing=self.recipe.preprocessing.model_copy(update={"window_hu": window}))


def fit_fold(material: Material, fold: Fold, folder: Path, after_epoch: AfterEpoch = lambda _: None) -> FoldResult:
    """Fit, test and write one fold to ``folder``; if it is there, read it."""
    result = folder / "result.safetensors"
    if result.exists():
        return read_result(result, fold)
    # A head gains nothing from threads, and with one its figures do not depend on how many processes there are.
    with one_thread_here() if material.recipe.frozen and material.device == "cpu" else nullcontext():
        found = _fit(material, fold, folder, after_epoch)
    write_result(result, found)
    (folder / STATE).unlink(missing_ok=True)
    return found


def _fit(material: Material, fold: Fold, folder: Path, after_epoch: AfterEpoch) -> FoldResult:
    """Fit, test and write the checkpoint of one fold."""
    recipe = material.recipe_of(fold)
    inputs = inputs_of(material, recipe)
    net = new_net(recipe.network, material.seed * 1000 + fold.number).to(material.device)
    fitting = recipe.fitting.model_copy(update={"learning_rate": recipe.learning_rate})
    if material.init is not None:
        start_from(net, initial(material.init, fold.number), fold.number)
        fitting = fitting.model_copy(update={"centre_features": False})  # the centre comes with the model
    trainer = Trainer(net, inputs, material.outcomes, fitting, material.seed * 1000 + fold.number, folder / STATE)
    train, test = material.rows(fold.train), material.rows(fold.test)
    best = trainer.fit(train, material.rows(fold.validation), after_epoch)
    found = FoldResult(fold, best, trainer.predict(test))
    survival = 1 - trainer.predict(train).cif[:, -1]
    save_checkpoint(folder, _card(material, recipe, found, survival), (state_of(net),))
    return found


def inputs_of(material: Material, recipe: Recipe) -> Inputs:
    """The cohort as the network sees it: features, made where they are absent, or slices."""
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


def seal(
    material: Material,
    recipe: Recipe,
    words: str,
    patients: Sequence[Patient],
    *,
    name: str,
    metrics: dict[str, JsonValue],
    survival: NDArray[np.float64],
) -> Card:
    """The card of a trained model, ready to be saved.

    Parameters
    ----------
    words : on the cohort, one line
    patients : whom it learned from
    survival : (B,) at the horizon, as predicted for them
    """
    encoder, sha256 = encoder_of(recipe.network)
    return Card(
        name=name,
        version="1",
        network=recipe.network.model_dump(mode="json"),
        preprocessing=recipe.preprocessing,
        lungs=Lungs(method=recipe.lungs, weights_sha256=lung_weights_sha256(recipe.lungs)),
        backbone=Backbone(name=str(encoder.spec.weights or recipe.network.encoder), sha256=sha256),
        cohort=CohortCard(
            description=words,
            n_patients=len(patients),
            n_events=sum(patient.event for patient in patients),
            sha256=material.cohort.sha256,
        ),
        metrics=metrics,
        cohort_survival=tuple(round(float(value), 6) for value in np.quantile(survival, np.linspace(0, 1, 101))),
        limits=limits_of([material.slices.read(patient).lung_height_mm for patient in patients]),
        intended_use=INTENDED_USE,
        licence="as the cohort's",
    )


def spreads(material: Material, members: Sequence[Tensors]) -> NDArray[np.float64]:
    """How far apart the ``members`` of an ensemble lie on each patient, (B,): see `Limits`."""
    inputs, rows, survival = inputs_of(material, material.recipe), range(len(material.cohort.patients)), []
    for member in members:
        net = new_net(material.recipe.network, 0).to(material.device)
        net.load_trained_state({name: torch.from_numpy(tensor) for name, tensor in member.items()})
        survival.append(1 - predict(net, inputs, rows, material.recipe.fitting).cif[:, -1])
    return np.asarray(np.ptp(np.stack(survival), axis=0))


def state_of(net: Net) -> dict[str, NDArray[np.generic]]:
    """What was trained, as a checkpoint keeps it."""
    return {name: tensor.numpy() for name, tensor in net.trained_state().items()}


def _card(material: Material, recipe: Recipe, result: FoldResult, survival: NDArray[np.float64]) -> Card:
    fold, rows = result.fold, material.rows(result.fold.test)
    grid, outcomes = TimeGrid(recipe.network.n_bins), material.outcomes
    tested = concordance_td(grid, result.predicted.cif, outcomes.time_months[rows], outcomes.event[rows])
    return seal(
        material,
        recipe,
        f"{material.cohort.name}, training part of fold {fold.number}",
        material.cohort.of(fold.train),
        name=f"{material.name} fold {fold.number}",
        metrics={
            "epoch": result.best.number,
            "validation": {"patients": len(fold.validation), "ctd": rounded(result.best.concordance)},
            "test": {"patients": len(fold.test), "ctd": rounded(tested)},
        },
        survival=survival,
    )


def rounded(value: float) -> float | None:
    """As it is shown; None where it is not defined."""
    return round(value, 4) if np.isfinite(value) else None
