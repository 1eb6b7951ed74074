"""Each survival head through the project's own loop on real patients: METABRIC, beside pycox's on the same folds."""

import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import torch
import torchtuples  # type: ignore[import-untyped]
from numpy.typing import NDArray
from pycox.models import MTLR, PMF, CoxPH, DeepHitSingle, LogisticHazard, PCHazard

from survnode.model.net.deephit import DeepHitConfig
from survnode.model.net.encoders import Encoder, Freezing
from survnode.model.net.fusion import Fusion
from survnode.model.net.heads import HeadName
from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import TRUNKS, EncoderName
from survnode.train.fit.inputs import FeatureInputs
from survnode.train.fit.loop import Outcomes, Trainer
from survnode.train.measure.concordance import compare
from survnode.train.recipe import Fitting, LossSettings, RankingMean, Schedule

# The settings of pycox's notebooks for this data set; the number of epochs stands for their early stopping.
BINS, UNITS, DROPOUT, EPOCHS, BATCH, LR, ALPHA, SIGMA = 10, 32, 0.1, 10, 256, 0.01, 0.2, 0.1
COVARIATES, FOLDS = 9, 5
FITTING = Fitting(
    loss=LossSettings(alpha=ALPHA, beta=1 - ALPHA, sigma=SIGMA, ranking_mean=RankingMean.SQUARE),
    batch=BATCH,
    learning_rate=LR,
    weight_decay=0,
    epochs=EPOCHS,
    warm_up_epochs=0,
    schedule=Schedule.CONSTANT,
    centre_features=False,
)

PYCOX: dict[HeadName, Any] = {
    HeadName.DEEPHIT: DeepHitSingle,
    HeadName.LOGISTIC_HAZARD: LogisticHazard,
    HeadName.PMF: PMF,
    HeadName.MTLR: MTLR,
    HeadName.PC_HAZARD: PCHazard,
}

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


class Patients(NamedTuple):
    """Covariates (B, 9) float32 standardised, months (B,), deaths (B,)."""

    covariates: NDArray[np.float32]
    time: Array
    event: NDArray[np.bool_]

    def of(self, rows: Rows) -> "Patients":
        return Patients(self.covariates[rows], self.time[rows], self.event[rows])


@pytest.fixture(scope="module")
def metabric(shared_data: Path) -> Patients:
    with h5py.File(shared_data / "survival" / "metabric_IHC4_clinical_train_test.h5") as file:
        x, t, e = (np.concatenate([file[part][key][:] for part in ("train", "test")]) for key in "xte")
    return Patients(((x - x.mean(0)) / x.std(0)).astype(np.float32), t.astype(np.float64), e.astype(np.bool_))


@cache
def encoder() -> Encoder:
    """It sees nothing here: covariates stand where its features would."""
    return Encoder(TRUNKS[EncoderName.EFFICIENTNET_LITE0], 1, Freezing.TRUNK)


def concordance(edges: Array, cif: Array, patients: Patients) -> float:
    """From incidences (B, T) at ``edges``, straight between them."""
    at_times = np.stack([np.interp(patients.time, edges, curve) for curve in cif])
    return compare(at_times, np.arange(len(cif)), patients.time, patients.event).concordance


def network(head: HeadName) -> SurvivalNet:
    """Of covariates instead of features; with one slice a patient nothing is fused."""
    torch.manual_seed(0)
    settings = NetworkConfig(
        encoder=EncoderName.EFFICIENTNET_LITE0,
        embedding_dim=COVARIATES,
        fusion=Fusion.MEAN,
        head=head,
        deephit=DeepHitConfig(shared=(UNITS,), cause_specific=(UNITS,), dropout=DROPOUT),
        n_bins=BINS,
    )
    net = SurvivalNet(settings, encoder())
    net.embed, net.feature_centre = torch.nn.Linear(COVARIATES, COVARIATES), torch.zeros(COVARIATES)
    return net


def score_of_ours(head: HeadName, patients: Patients, train: Rows, test: Rows) -> float:
    width = patients.time[train].max() / BINS
    inputs = FeatureInputs(list(patients.covariates.astype(np.float16)[:, None, None]), 0.0)
    trainer = Trainer(network(head), inputs, Outcomes(patients.time / width, patients.event), FITTING, seed=0)
    trainer.fit(train, test[:1])  # one patient makes no pair to choose an epoch by: it is the last one, as with pycox
    cif = trainer.predict(test).cif
    return concordance(np.arange(BINS + 1) * width, np.insert(cif, 0, 0.0, axis=1), patients.of(test))


def score_of_pycox(head: HeadName, patients: Patients, train: Rows, test: Rows) -> float:
    """The same network in pycox's loop."""
    learned, tested = patients.of(train), patients.of(test)
    outcomes = learned.time.astype(np.float32), learned.event.astype(np.float32)
    net, optimizer = network(head), torchtuples.optim.Adam(LR)
    net_of_covariates = torch.nn.Sequential(net.embed, net.head)
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if head is HeadName.COX:
            model = CoxPH(net_of_covariates, optimizer)
            model.fit(learned.covariates, outcomes, BATCH, EPOCHS, verbose=False)
            model.compute_baseline_hazards()
            survival = model.predict_surv_df(tested.covariates)
            return concordance(survival.index.to_numpy(np.float64), 1 - survival.to_numpy().T, tested)
        labels = PYCOX[head].label_transform(BINS if head is HeadName.PC_HAZARD else BINS + 1)
        outcomes = labels.fit_transform(*outcomes)
        extra = {"alpha": ALPHA, "sigma": SIGMA} if head is HeadName.DEEPHIT else {}
        model = PYCOX[head](net_of_covariates, optimizer, duration_index=labels.cuts, **extra)
        model.fit(learned.covariates, outcomes, BATCH, EPOCHS, verbose=False)
        cif = 1 - np.asarray(model.predict_surv(tested.covariates), np.float64)
    return concordance(labels.cuts.astype(np.float64), cif, tested)


@pytest.mark.parametrize("head", list(HeadName))
def test_head_scores_on_metabric_as_published_and_as_pycox(metabric: Patients, head: HeadName) -> None:
    fold = np.random.default_rng(0).permutation(len(metabric.time)) % FOLDS
    parts = [(np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)) for held_out in range(FOLDS)]
    ours = np.mean([score_of_ours(head, metabric, *part) for part in parts])
    theirs = np.mean([score_of_pycox(head, metabric, *part) for part in parts])
    assert 0.62 <= ours <= 0.68
    assert abs(ours - theirs) <= 0.01
