"""The demonstration checkpoint from nothing: phantoms -> features -> head -> figures on phantoms it never saw."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from survnode.model.checkpoint import Backbone, Card, Cohort, Lungs, save_checkpoint
from survnode.model.timegrid import TimeGrid
from survnode.train.cohorts.phantom import PhantomCohort, hazard_a_month
from survnode.train.config import Training
from survnode.train.fit.features import encoder_of
from survnode.train.fit.inputs import FeatureInputs, Net
from survnode.train.fit.loop import Epoch, Outcomes, Predicted, Trainer, predict
from survnode.train.fit.phantoms import VIEWS, PhantomFeatures, cached_features
from survnode.train.fit.start import new_net
from survnode.train.measure.attention import share_found
from survnode.train.measure.calibration import calibration
from survnode.train.measure.concordance import Pairs, compare_constant, compare_on_grid
from survnode.train.workers import one_thread_here

TRAINING, VALIDATION, UNSEEN = 0, 1, 2  # parts of the cohort
TOP_IMAGES = 5
CALIBRATION_GROUPS = 5

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How many phantoms train the head, choose its best epoch, and measure it; where features are kept."""

    training: int
    validation: int
    unseen: int
    seed: int
    cache: Path
    workers: int = os.cpu_count() or 1

    @property
    def total(self) -> int:
        """All phantoms."""
        return self.training + self.validation + self.unseen


@dataclass(frozen=True, eq=False)
class Part:
    """The phantoms of one part with their features."""

    cohort: PhantomCohort
    features: list[PhantomFeatures]

    def __add__(self, other: "Part") -> "Part":
        """The phantoms of both."""
        return Part(PhantomCohort(self.cohort.patients + other.cohort.patients), self.features + other.features)

    @property
    def inputs(self) -> FeatureInputs:
        """As the loop wants them."""
        return FeatureInputs([one.features for one in self.features], VIEWS.probability)

    @property
    def outcomes(self) -> Outcomes:
        """As the loop wants them."""
        return Outcomes(self.cohort.time_months, self.cohort.event)

    def predicted_by(self, net: Net) -> Predicted:
        """What ``net`` says of all of them."""
        return predict(net, self.inputs, range(len(self.features)), Training.demonstration().fitting)


def make_checkpoint(
    plan: Plan,
    folder: Path,
    *,
    encoded: Callable[[], None] = lambda: None,
    after_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Card:
    """Train the head, measure it, and write the checkpoint to ``folder``; the card comes back sealed.

    Parameters
    ----------
    encoded : called after each phantom whose features are there
    after_epoch : called after each pass over the training phantoms
    """
    settings = Training.demonstration()

    def part(count: int, number: int, views: int = 1) -> Part:
        patients = PhantomCohort.draw(count, plan.seed, number).patients
        features = cached_features(patients, settings, plan.cache, views=views, workers=plan.workers, done=encoded)
        return Part(PhantomCohort(patients), features)

    training = part(plan.training, TRAINING, 1 + VIEWS.views)
    validation = part(plan.validation, VALIDATION)
    unseen = part(plan.unseen, UNSEEN)
    net = new_net(settings.network, plan.seed)
    best = fit(net, training, validation, plan.seed, after_epoch)
    card = Card(
        name="survnode demonstration",
        version="1",
        network=settings.network.model_dump(mode="json"),
        preprocessing=settings.preprocessing,
        lungs=Lungs(method=settings.lungs),
        backbone=Backbone(name=str(net.encoder.spec.weights), sha256=encoder_of(settings.network)[1]),
        cohort=Cohort(
            description=f"{plan.training} computed phantoms, no patients: hazard rises with the tumour's radius",
            n_patients=plan.training,
            n_events=int(training.cohort.event.sum()),
            sha256=training.cohort.sha256,
        ),
        metrics={
            "seed": plan.seed,
            "epoch": best.number,
            "validation": {"patients": plan.validation, "ctd": round(best.concordance, 4)},
            "unseen": measure(net, unseen, plan.seed),
        },
        cohort_survival=survival_quantiles(net, training),
        intended_use="Demonstration and test of the software. Trained on phantoms, it knows nothing of patients.",
        licence="Apache-2.0",
        demonstration=True,
    )
    state = {name: tensor.numpy() for name, tensor in net.trained_state().items()}
    return save_checkpoint(folder, card, (state,))


def fit(net: Net, training: Part, validation: Part, seed: int, after_epoch: Callable[[Epoch], None]) -> Epoch:
    """Train ``net`` in place; returns its best epoch. On one thread, so that figures do not depend on the machine's."""
    both = training + validation
    rows = np.arange(len(both.features))
    train, chosen_by = np.split(rows, [len(training.features)])
    with one_thread_here():
        return Trainer(net, both.inputs, both.outcomes, Training.demonstration().fitting, seed).fit(
            train, chosen_by, after_epoch
        )


def measure(net: Net, part: Part, seed: int) -> dict[str, JsonValue]:
    """The figures of ``net`` on phantoms that it never saw."""
    grid, cohort = TimeGrid(net.config.n_bins), part.cohort
    horizon = grid.horizon_months
    cif, attention = part.predicted_by(net)
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


def survival_quantiles(net: Net, part: Part) -> tuple[float, ...]:
    """Predicted survival at the horizon at the quantiles 0, 1, ..., 100 % of phantoms, ascending."""
    cif, _ = part.predicted_by(net)
    return tuple(round(float(value), 6) for value in np.quantile(1 - cif[:, -1], np.linspace(0, 1, 101)))


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
