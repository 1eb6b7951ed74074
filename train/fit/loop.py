"""The training loop: one network, one fold, without a framework; interrupted, it goes on where it was.

All randomness of an epoch comes from the seed and the epoch's number, so that a fit which is taken up from an earlier
epoch makes the same network as one that was never interrupted.
"""

import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from survnode.model.net.heads import Cox
from survnode.model.net.network import Output, SurvivalNet
from survnode.model.timegrid import TimeGrid, cif_from_pmf
from survnode.train.fit.files import write_whole
from survnode.train.fit.inputs import Inputs, Net
from survnode.train.fit.objectives import objective_of
from survnode.train.measure.concordance import concordance_td
from survnode.train.recipe import EqualEpochs, Fitting, Precision, Schedule

FloatArray = NDArray[np.float64]
Rows = NDArray[np.int64]

PREDICTION_BATCH = 32  # patients as features
SAVE_EVERY_S = 5.0  # what an interruption costs at most, but for one epoch
RESTART_EPOCHS, LEAST_RATE = 10, 1e-6  # of the schedule with restarts

_DTYPES = {Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT16: torch.float16}


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of the patients of a cohort, (B,) each."""

    time_months: FloatArray
    event: NDArray[np.bool_]


class Epoch(NamedTuple):
    """What one epoch came to: mean training loss, and concordance of the validation patients."""

    number: int
    loss: float
    concordance: float


class Predicted(NamedTuple):
    """Cumulative incidences (B, K), and each patient's attention (S,) where the network has any."""

    cif: FloatArray
    attention: list[FloatArray]


class Trainer:
    """A network and what it is fitted on.

    Parameters
    ----------
    net : on its device
    inputs, outcomes : of the whole cohort
    settings : its ``learning_rate`` is the one that holds
    state : the file that remembers a fit that is not finished; None: an interruption costs all of it
    """

    def __init__(
        self,
        net: Net,
        inputs: Inputs,
        outcomes: Outcomes,
        settings: Fitting,
        seed: int,
        state: Path | None = None,
    ) -> None:
        self.net, self.inputs, self.outcomes, self.settings = net, inputs, outcomes, settings
        self.seed, self.state = seed, state
        self.grid = TimeGrid(net.config.n_bins)
        self.device = next(net.parameters()).device
        self.objective = objective_of(
            net.config.head, self.grid, outcomes.time_months, outcomes.event, settings.loss, self.device
        )
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.precision is Precision.FLOAT16)

    def fit(
        self,
        train: Rows,
        validation: Rows,
        after_epoch: Callable[[Epoch], None] = lambda _: None,
        save_every_s: float = SAVE_EVERY_S,
    ) -> Epoch:
        """Train the network in place and leave it, in eval mode, as it was after its best epoch.

        The best epoch has the highest validation concordance, of equals the settings' choice. The same seed gives the
        same network on the same machine with the same number of threads.
        """
        best, best_state, done = self._begin(train)
        saved = time.monotonic()
        for number in range(done + 1, self.settings.epochs + 1):
            if self.settings.patience is not None and number - 1 - best.number >= self.settings.patience:
                break
            loss = self._train_epoch(number, train)
            epoch = Epoch(number, loss, self.concordance(validation))
            if self._is_better(epoch, best):
                best, best_state = epoch, deepcopy(self.net.trained_state())
            if self.state is not None and time.monotonic() - saved >= save_every_s:
                self._save(self.state, number, best, best_state)
                saved = time.monotonic()
            after_epoch(epoch)
        self.net.load_trained_state(best_state)
        self.net.eval()
        self.adopt_baseline(train)
        return best

    def _is_better(self, epoch: Epoch, best: Epoch) -> bool:
        """Whether an epoch takes the best one's place; NaN, without a comparable pair: the last epoch does."""
        first = self.settings.equal_epochs is EqualEpochs.FIRST
        return not (epoch.concordance < best.concordance or (first and epoch.concordance == best.concordance))

    def adopt_baseline(self, train: Rows) -> None:
        """Give a Cox model, which orders patients without it, Breslow's baseline of those it was trained on."""
        if not isinstance(self.net.head, Cox):
            return
        from survnode.train.fit.pycox_heads import breslow_baseline  # noqa: PLC0415  slow to import, wanted by few

        said = outputs_of(self.net, self.inputs, train, self.settings)
        log_hazard = np.concatenate([output.outputs[:, 0].double().cpu().numpy() for output, _ in said])
        time_months, event = self.outcomes.time_months[train], self.outcomes.event[train]
        self.net.head.baseline.copy_(breslow_baseline(self.grid, log_hazard, time_months, event))

    def predict(self, rows: Rows) -> Predicted:
        """What the network says of the patients in ``rows``."""
        return predict(self.net, self.inputs, rows, self.settings)

    def concordance(self, rows: Rows) -> float:
        """The time-dependent concordance of the patients in ``rows``."""
        time_months, event = self.outcomes.time_months[rows], self.outcomes.event[rows]
        return concordance_td(self.grid, self.predict(rows).cif, time_months, event)

    def _begin(self, train: Rows) -> tuple[Epoch, dict[str, Tensor], int]:
        """The best epoch so far, its network, and how many epochs are done."""
        if self.state is not None and self.state.is_file():
            return self._resume(self.state)
        centre = self.inputs.centre(train.tolist()) if self.settings.centre_features else None
        if centre is not None and isinstance(self.net, SurvivalNet):
            self.net.feature_centre.copy_(centre)
        beside = self.inputs.beside(train.tolist())
        if beside is not None and isinstance(self.net, SurvivalNet) and self.net.beside is not None:
            self.net.beside.learn_scale(beside)
        return Epoch(0, math.inf, -math.inf), deepcopy(self.net.trained_state()), 0

    def _train_epoch(self, number: int, train: Rows) -> float:
        """One pass over the training patients; returns the mean loss."""
        torch.manual_seed(_mixed(self.seed, number))
        rng = np.random.default_rng([self.seed, number])
        self.net.train()
        order = rng.permutation(train)
        batches = np.array_split(order, range(self.settings.batch, len(order), self.settings.batch))
        total = 0.0
        for step, start in enumerate(range(0, len(batches), self.settings.accumulate)):
            group = batches[start : start + self.settings.accumulate]
            self._set_rate(number, step, math.ceil(len(batches) / self.settings.accumulate))
            self.optimizer.zero_grad()
            total += sum(self._backward(rows, len(group), rng) for rows in group)
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return total / len(train)

    def _backward(self, rows: Rows, group: int, rng: np.random.Generator) -> float:
        """Gradients of one batch, as one of ``group`` for a step; returns its summed loss."""
        batch = self.inputs.batch(rows.tolist(), rng)
        with _autocast(self.device, self.settings):
            output = self.inputs.forward(self.net, batch)
        loss = self.objective(output, torch.from_numpy(rows).to(self.device))
        self.scaler.scale(loss / group).backward()
        return loss.item() * len(rows)

    def _set_rate(self, number: int, step: int, steps: int) -> None:
        factor = learning_rate_factor(self.settings, steps, (number - 1) * steps + step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def _save(self, state: Path, done: int, best: Epoch, best_state: dict[str, Tensor]) -> None:
        stream = io.BytesIO()
        torch.save(
            {
                "done": done,
                "best": tuple(best),
                "best_state": best_state,
                "state": self.net.trained_state(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
            },
            stream,
        )
        write_whole(state, stream.getvalue())

    def _resume(self, state: Path) -> tuple[Epoch, dict[str, Tensor], int]:
        stored = torch.load(state, map_location="cpu", weights_only=True)
        self.net.load_trained_state(stored["state"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.scaler.load_state_dict(stored["scaler"])
        return Epoch(*stored["best"]), stored["best_state"], stored["done"]


def predict(net: Net, inputs: Inputs, rows: Sequence[int] | Rows, settings: Fitting) -> Predicted:
    """What ``net`` says of the patients in ``rows``, in eval mode and from the plain view."""
    pmf, attention = [], []
    for output, mask in outputs_of(net, inputs, rows, settings):
        pmf.append(output.logits.double().softmax(dim=1).cpu().numpy())  # (B, K + 1)
        attention += _real(output, mask)
    return Predicted(cif_from_pmf(np.concatenate(pmf)), attention)


def outputs_of(
    net: Net, inputs: Inputs, rows: Sequence[int] | Rows, settings: Fitting
) -> Iterator[tuple[Output, Tensor]]:
    """What ``net`` puts out, batch by batch, and the mask of what is real; see `predict`."""
    net.eval()
    device = next(net.parameters()).device
    frozen = not any(parameter.requires_grad for parameter in net.encoder.parameters())
    size = PREDICTION_BATCH if frozen else settings.batch
    for part in np.array_split(np.asarray(rows), range(size, len(rows), size)):
        batch = inputs.batch(part.tolist())
        with torch.inference_mode(), _autocast(device, settings):
            output = inputs.forward(net, batch)
        yield output, batch.mask


def learning_rate_factor(settings: Fitting, steps_an_epoch: int, step: int) -> float:
    """The share of the full learning rate at ``step``, from 0."""
    warm_up = settings.warm_up_epochs * steps_an_epoch
    if step < warm_up:
        return (step + 1) / warm_up
    if settings.schedule is Schedule.CONSTANT:
        return 1.0
    least = LEAST_RATE / settings.learning_rate
    if settings.schedule is Schedule.RESTARTS:
        return _restarts_factor((step - warm_up) / steps_an_epoch, least)
    if settings.schedule is Schedule.RESTARTS_BY_EPOCH:
        return _restarts_factor((step - warm_up) // steps_an_epoch, least)
    after = max(settings.epochs * steps_an_epoch - warm_up, 1)
    return 0.5 * (1 + math.cos(math.pi * min((step - warm_up) / after, 1.0)))


def _restarts_factor(epochs: float, least: float) -> float:
    """Cosines from 1 to ``least`` over 10, 20, 40, ... epochs, ``epochs`` after the first began."""
    length = RESTART_EPOCHS
    while epochs >= length:
        epochs, length = epochs - length, 2 * length
    return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * epochs / length))


def _real(output: Output, mask: Tensor) -> list[FloatArray]:
    if output.attention is None:
        return []
    shares = output.attention.double()
    return [row[real].cpu().numpy() for row, real in zip(shares, mask, strict=True)]


def _autocast(device: torch.device, settings: Fitting) -> torch.autocast:
    dtype = _DTYPES.get(settings.precision)
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def _mixed(seed: int, number: int) -> int:
    """A seed for one epoch."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
