"""The training loop of a head on cached features, without a framework."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from survnode.model.net.network import SurvivalNet
from survnode.model.timegrid import TimeGrid, cif_from_pmf
from survnode.train.config import Fitting, Schedule
from survnode.train.fit.features import PatientFeatures
from survnode.train.fit.loss import deephit_loss
from survnode.train.measure.concordance import concordance_td

FloatArray = NDArray[np.float64]

PREDICTION_BATCH = 32  # patients
RESTART_EPOCHS, LEAST_RATE = 10, 1e-6  # of the schedule with restarts


@dataclass(frozen=True, eq=False)
class Group:
    """Patients with their outcomes; `time_months` and `event` are (B,)."""

    features: Sequence[PatientFeatures]
    time_months: FloatArray
    event: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.features)


class Epoch(NamedTuple):
    """What one epoch came to: mean training loss, and concordance of the validation group."""

    number: int
    loss: float
    concordance: float


def fit(
    net: SurvivalNet,
    train: Group,
    validation: Group,
    settings: Fitting,
    seed: int,
    after_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Epoch:
    """Train the head of ``net`` in place and leave it, in eval mode, as it was after its best epoch.

    The best epoch has the highest validation concordance, the later one of equals. The same seed gives the same head
    on the same machine.
    """
    torch.manual_seed(seed)
    grid = TimeGrid(net.config.n_bins)
    net.feature_centre.copy_(feature_mean(train.features))
    bins, event = map(torch.from_numpy, grid.bins(train.time_months, train.event))
    head = [parameter for name, parameter in net.named_parameters() if not name.startswith("encoder.")]
    optimizer = torch.optim.AdamW(head, settings.learning_rate, weight_decay=settings.weight_decay)
    steps = math.ceil(len(train) / settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(settings, steps, step))
    best, best_state = Epoch(0, math.inf, -math.inf), net.trained_state()
    for number in range(1, settings.epochs + 1):
        net.train()
        total = 0.0
        for rows in torch.randperm(len(train)).split(settings.batch):
            features, mask = pad([train.features[row] for row in rows.tolist()])
            loss = deephit_loss(net.forward_features(features, mask).logits, bins[rows], event[rows], settings.loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        epoch = Epoch(number, total / len(train), validation_concordance(net, validation))
        after_epoch(epoch)
        if not epoch.concordance < best.concordance:  # NaN, without a comparable pair: the last epoch
            best, best_state = epoch, deepcopy(net.trained_state())
    net.load_trained_state(best_state)
    net.eval()
    return best


def learning_rate_factor(settings: Fitting, steps_an_epoch: int, step: int) -> float:
    """The share of the full learning rate at ``step``, from 0."""
    warm_up = settings.warm_up_epochs * steps_an_epoch
    if step < warm_up:
        return (step + 1) / warm_up
    if settings.schedule is Schedule.CONSTANT:
        return 1.0
    if settings.schedule is Schedule.RESTARTS:
        return _restarts_factor((step - warm_up) / steps_an_epoch, LEAST_RATE / settings.learning_rate)
    after = max(settings.epochs * steps_an_epoch - warm_up, 1)
    return 0.5 * (1 + math.cos(math.pi * min((step - warm_up) / after, 1.0)))


def _restarts_factor(epochs: float, least: float) -> float:
    """Cosines from 1 to ``least`` over 10, 20, 40, ... epochs, ``epochs`` after the first began."""
    length = RESTART_EPOCHS
    while epochs >= length:
        epochs, length = epochs - length, 2 * length
    return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * epochs / length))


def predict(net: SurvivalNet, patients: Sequence[PatientFeatures]) -> tuple[FloatArray, list[FloatArray]]:
    """Cumulative incidences (B, K) and each patient's attention (S,)."""
    net.eval()
    pmf, attention = [], []
    with torch.inference_mode():
        for start in range(0, len(patients), PREDICTION_BATCH):
            group = patients[start : start + PREDICTION_BATCH]
            output = net.forward_features(*pad(group))
            pmf.append(output.logits.double().softmax(dim=1).numpy())  # (B, K + 1)
            if output.attention is not None:
                shares = output.attention.double().numpy()  # (B, S)
                attention += [row[: len(one.source)] for row, one in zip(shares, group, strict=True)]
    return cif_from_pmf(np.concatenate(pmf)), attention


def validation_concordance(net: SurvivalNet, group: Group) -> float:
    """The time-dependent concordance of ``net`` on ``group``."""
    cif, _ = predict(net, group.features)
    return concordance_td(TimeGrid(net.config.n_bins), cif, group.time_months, group.event)


def feature_mean(patients: Sequence[PatientFeatures]) -> Tensor:
    """The mean over all slices of all patients, (F,)."""
    total = sum(one.features.sum(axis=0, dtype=np.float64) for one in patients)
    return torch.from_numpy(np.asarray(total / sum(len(one.features) for one in patients))).float()


def pad(patients: Sequence[PatientFeatures]) -> tuple[Tensor, Tensor]:
    """Features (B, S, F) float32, 0 on padding, and mask (B, S) of patients with different numbers of slices."""
    longest = max(len(one.features) for one in patients)
    width = patients[0].features.shape[1]
    features = torch.zeros(len(patients), longest, width)
    mask = torch.zeros(len(patients), longest, dtype=torch.bool)
    for row, one in enumerate(patients):
        features[row, : len(one.features)] = torch.from_numpy(one.features)
        mask[row, : len(one.features)] = True
    return features, mask
