"""The survival head and its loss on real patients: METABRIC, beside pycox's on the same folds."""

import warnings
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import torch
import torchtuples  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pycox.models import DeepHitSingle

from survnode.model.net.deephit import DeepHit, DeepHitConfig
from survnode.model.timegrid import TimeGrid
from survnode.train.fit.loss import deephit_loss
from survnode.train.measure.concordance import compare
from survnode.train.recipe import LossSettings, RankingMean

# The settings of pycox's notebook for this data set; the number of epochs stands for its early stopping.
BINS, UNITS, DROPOUT, EPOCHS, BATCH, LR, ALPHA, SIGMA = 10, 32, 0.1, 20, 256, 0.01, 0.2, 0.1
FOLDS = 5

Array = NDArray[np.float64]


class Patients(NamedTuple):
    """Covariates (B, 9) float32 standardised, months (B,), deaths (B,)."""

    covariates: NDArray[np.float32]
    time: Array
    event: NDArray[np.bool_]

    def of(self, rows: NDArray[np.int64]) -> "Patients":
        return Patients(self.covariates[rows], self.time[rows], self.event[rows])


@pytest.fixture
def metabric(shared_data: Path) -> Patients:
    with h5py.File(shared_data / "survival" / "metabric_IHC4_clinical_train_test.h5") as file:
        x, t, e = (np.concatenate([file[part][key][:] for part in ("train", "test")]) for key in "xte")
    return Patients(((x - x.mean(0)) / x.std(0)).astype(np.float32), t.astype(np.float64), e.astype(np.bool_))


def concordance(edges: Array, cif: Array, patients: Patients) -> float:
    """From incidences (B, T) at ``edges``, straight between them."""
    at_times = np.stack([np.interp(patients.time, edges, curve) for curve in cif])
    return compare(at_times, np.arange(len(cif)), patients.time, patients.event).concordance


def score_of_ours(train: Patients, test: Patients) -> float:
    width = train.time.max() / BINS
    bins, event = map(torch.from_numpy, TimeGrid(BINS).bins(train.time / width, train.event))
    covariates = torch.from_numpy(train.covariates)
    torch.manual_seed(0)
    net = DeepHit(9, BINS, DeepHitConfig(shared=(UNITS,), cause_specific=(UNITS,), dropout=DROPOUT))
    settings = LossSettings(alpha=ALPHA, beta=1 - ALPHA, sigma=SIGMA, ranking_mean=RankingMean.SQUARE)
    optimizer = torch.optim.AdamW(net.parameters(), LR)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(covariates)).split(BATCH):
            optimizer.zero_grad()
            deephit_loss(net(covariates[rows]), bins[rows], event[rows], settings).backward()
            optimizer.step()
    with torch.inference_mode():
        cif = net.eval()(torch.from_numpy(test.covariates)).double().softmax(1).cumsum(1).numpy()
    return concordance(np.arange(BINS + 1) * width, np.insert(cif[:, :-1], 0, 0.0, axis=1), test)


def score_of_pycox(train: Patients, test: Patients) -> float:
    np.random.seed(0)
    torch.manual_seed(0)
    labels = DeepHitSingle.label_transform(BINS)
    outcomes = labels.fit_transform(train.time.astype(np.float32), train.event.astype(np.float32))
    net = torchtuples.practical.MLPVanilla(9, [UNITS, UNITS], labels.out_features, batch_norm=True, dropout=DROPOUT)
    optimizer = torchtuples.optim.Adam(LR)
    model = DeepHitSingle(net, optimizer, alpha=ALPHA, sigma=SIGMA, duration_index=labels.cuts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(train.covariates, outcomes, BATCH, EPOCHS, verbose=False)
        survival = np.asarray(model.predict_surv(test.covariates), np.float64)
    return concordance(labels.cuts.astype(np.float64), 1 - survival, test)


def test_head_scores_on_metabric_as_published_and_not_below_pycox(metabric: Patients) -> None:
    fold = np.random.default_rng(0).permutation(len(metabric.time)) % FOLDS
    ours, theirs = [], []
    for held_out in range(FOLDS):
        train, test = metabric.of(np.flatnonzero(fold != held_out)), metabric.of(np.flatnonzero(fold == held_out))
        ours.append(score_of_ours(train, test))
        theirs.append(score_of_pycox(train, test))
    assert 0.62 <= np.mean(ours) <= 0.68
    assert np.mean(ours) >= np.mean(theirs) - 0.01
