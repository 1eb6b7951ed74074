"""The demonstration checkpoint from nothing: phantoms -> features -> five heads -> figures on phantoms it never saw."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from survnode.model.checkpoint import Backbone, Card, Cohort, Limits, Lungs, limits_of, save_checkpoint
from survnode.model.timegrid import TimeGrid
from survnode.train.cohorts.phantom import PhantomCohort, hazard_a_month
from survnode.train.fit.features import encoder_of
from survnode.train.fit.inputs import FeatureInputs, Net
from survnode.train.fit.loop import Epoch, Outcomes, Predicted, Trainer, predict
from survnode.train.fit.networks import new_net
from survnode.train.fit.phantoms import PhantomFeatures, cached_features
from survnode.train.measure.attention import share_found
from survnode.train.measure.calibration import calibration
from survnode.train.measure.concordance import Pairs, compare_constant, compare_on_grid
from survnode.train.recipe import Training
from survnode.train.workers import one_thread_here

TRAINING, UNSEEN = 0, 3  # parts of the cohort; 1 and 2 were looked at when the settings were chosen
FOLDS = 5
TOP_IMAGES = 5
CALIBRATION_GROUPS = 5

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How many phantoms train the heads, and how many measure them; where features are kept.

    Each of the heads leaves another fifth of the training phantoms out and chooses its best epoch by them.
    """

    training: int
    unseen: int
    seed: int
    cache: Path
    workers: int = os.cpu_count() or 1

    @property
    def total(self) -> int:
        """All phantoms."""
        return self.training + self.unseen


@dataclass(frozen=True, eq=False)
class Part:
    """The phantoms of one part with their features."""

    cohort: PhantomCohort
    features: list[PhantomFeatures]

    @property
    def inputs(self) -> FeatureInputs:
        """As the loop wants them, from the plain view alone."""
        return FeatureInputs([one.features[None] for one in self.features], probability=0)

    @property
    def outcomes(self) -> Outcomes:
        """As the loop wants them."""
        return Outcomes(self.cohort.time_months, self.cohort.event)

    def limits_of(self, nets: Sequence[Net]) -> Limits:
        """What follows from the lungs and from how far ``nets`` lie apart."""
        fitting, rows = Training.demonstration().fitting, range(len(self.features))
        survival = [1 - predict(net, self.inputs, rows, fitting).cif[:, -1] for net in nets]
        heights = [float(one.lung_height_mm[0]) for one in self.features]
        return limits_of(heights, [float(spread) for spread in np.ptp(np.stack(survival), axis=0)])

    def predicted_by(self, nets: Sequence[Net]) -> Predicted:
        """What ``nets`` say of all of them on average."""
        fitting, rows = Training.demonstration().fitting, range(len(self.features))
        cif, attention = zip(*(predict(net, self.inputs, rows, fitting) for net in nets), strict=True)
        return Predicted(np.mean(cif, axis=0), [np.mean(each, axis=0) for each in zip(*attention, strict=True)])


def make_checkpoint(
    plan: Plan,
    folder: Path,
    *,
    encoded: Callable[[], None] = lambda: None,
    after_epoch: Callable[[int, Epoch], None] = lambda *_: None,
) -> Card:
    """Train the heads, measure them together, and write the checkpoint to ``folder``; the card comes back sealed.

    Parameters
    ----------
    encoded : called after each phantom whose features are there
    after_epoch : called with the fold after each pass over its training phantoms
    """
    settings = Training.demonstration()

    def part(count: int, number: int) -> Part:
        cohort = PhantomCohort.draw(count, plan.seed, number)
        features = cached_features(cohort.patients, settings, plan.cache, workers=plan.workers, done=encoded)
        return Part(cohort, features)

    training, unseen = part(plan.training, TRAINING), part(plan.unseen, UNSEEN)
    heads, best = zip(*fits(training, plan.seed, after_epoch), strict=True)
    card = Card(
        name="survnode demonstration",
        version="1",
        network=settings.network.model_dump(mode="json"),
        preprocessing=settings.preprocessing,
        lungs=Lungs(method=settings.lungs),
        backbone=Backbone(name=str(heads[0].encoder.spec.weights), sha256=encoder_of(settings.network)[1]),
        cohort=Cohort(
            description=f"{plan.training} computed phantoms, no patients: hazard rises with the tumour's radius",
            n_patients=plan.training,
            n_events=int(training.cohort.event.sum()),
            sha256=training.cohort.sha256,
        ),
        metrics={
            "seed": plan.seed,
            "folds": [{"epoch": epoch.number, "validation_ctd": _figure(epoch.concordance)} for epoch in best],
            "unseen": measure(heads, unseen, plan.seed),
        },
        cohort_survival=survival_quantiles(heads, training),
        limits=training.limits_of(heads),
        intended_use="Demonstration and test of the software. Trained on phantoms, it knows nothing of patients.",
        licence="Apache-2.0",
        demonstration=True,
    )
    states = ({name: tensor.half().numpy() for name, tensor in head.trained_state().items()} for head in heads)
    return save_checkpoint(folder, card, tuple(states))


def fits(training: Part, seed: int, after_epoch: Callable[[int, Epoch], None]) -> Iterator[tuple[Net, Epoch]]:
    """A head for each fold, in the half precision that it is kept in, and its best epoch.

    On one thread, so that the heads do not depend on the machine's number of them.
    """
    settings = Training.demonstration()
    order = np.random.default_rng(seed).permutation(len(training.features))
    for number, validation in enumerate(np.array_split(order, FOLDS)):
        net = new_net(settings.network, seed + number)
        trainer = Trainer(net, training.inputs, training.outcomes, settings.fitting, seed + number)
        with one_thread_here():
            best = trainer.fit(np.setdiff1d(order, validation), np.sort(validation), partial(after_epoch, number))
        net.load_trained_state({name: tensor.half() for name, tensor in net.trained_state().items()})
        yield net, best


def measure(nets: Sequence[Net], part: Part, seed: int) -> dict[str, JsonValue]:
    """The figures of ``nets`` together on phantoms that they never saw."""
    grid, cohort = TimeGrid(nets[0].config.n_bins), part.cohort
    horizon = grid.horizon_months
    cif, attention = part.predicted_by(nets)
    survival = 1 - cif[:, -1]
    truth = np.exp([-horizon * hazard_a_month(radius) for radius in cohort.radius_mm])
    groups = calibration(survival, cohort.time_months, cohort.event, horizon, CALIBRATION_GROUPS)
    return {
        "patients": len(cohort.patients),
        "deaths_within_horizon": int((cohort.event & (cohort.time_months < horizon)).sum()),
        "ctd": _with_interval(compare_on_grid(grid, cif, cohort.time_months, cohort.event), seed),
        "ctd_of_true_radius": _with_interval(
            compare_constant(grid, cohort.radius_mm, cohort.time_months, cohort.event), seed
        ),
        "tumour_among_top_images": {f"diameter_over_{over}_mm": _found(part, attention, over / 2) for over in (20, 40)},
        "survival_at_horizon": {
            "mean_absolute_error_to_truth": round(float(np.abs(survival - truth).mean()), 4),
            "calibration": [{name: round(value, 4) for name, value in asdict(group).items()} for group in groups],
        },
    }


def survival_quantiles(nets: Sequence[Net], part: Part) -> tuple[float, ...]:
    """Predicted survival at the horizon at the quantiles 0, 1, ..., 100 % of phantoms, ascending."""
    cif, _ = part.predicted_by(nets)
    return tuple(round(float(value), 6) for value in np.quantile(1 - cif[:, -1], np.linspace(0, 1, 101)))


def _figure(value: float) -> float | None:
    """A figure for the card; None where there is none, which JSON cannot say otherwise."""
    return None if math.isnan(value) else round(value, 4)


def _with_interval(pairs: Pairs, seed: int) -> JsonValue:
    low, high = pairs.interval(np.random.default_rng(seed))
    return {"value": round(pairs.concordance, 4), "low": round(low, 4), "high": round(high, 4)}


def _found(part: Part, attention: list[FloatArray], over_mm: float) -> JsonValue:
    """The share of the phantoms with a larger radius whose tumour is in one of the images of highest attention."""
    rows = np.flatnonzero(part.cohort.radius_mm > over_mm)
    if not len(rows):
        return {"patients": 0, "share": None}
    by_image = [part.features[row].attention_by_image(attention[row]) for row in rows]
    share = share_found(by_image, [part.features[row].tumour for row in rows], TOP_IMAGES)
    return {"patients": len(rows), "share": round(share, 4)}
