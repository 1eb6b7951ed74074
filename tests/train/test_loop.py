"""The loop on made-up features in which one slice of each patient carries the risk."""

import numpy as np
import pytest
import torch

from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import EncoderName
from survnode.model.timegrid import TimeGrid
from survnode.train.config import Fitting, LossSettings, RankingMean, Schedule
from survnode.train.fit.features import PatientFeatures
from survnode.train.fit.loop import Epoch, Group, feature_mean, fit, learning_rate_factor, pad, predict
from survnode.train.measure.concordance import compare_constant, concordance_td

F = 1280
SETTINGS = Fitting(
    loss=LossSettings(beta=2.0, ranking_mean=RankingMean.PAIRS),
    batch=16,
    learning_rate=1e-3,
    epochs=12,
    warm_up_epochs=1,
    schedule=Schedule.CONSTANT,
)


def new_net() -> SurvivalNet:
    torch.manual_seed(0)
    return SurvivalNet(NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0, feature_dropout=0.2))


def cohort(count: int, seed: int) -> tuple[Group, np.ndarray]:
    """Patients of 5 to 9 slices, and the risk that one slice's first 40 features show."""
    rng = np.random.default_rng(seed)
    risk = rng.uniform(0, 3, count)
    features = []
    for one in risk:
        slices = rng.normal(1, 0.3, (int(rng.integers(5, 10)), F))
        slices[rng.integers(len(slices)), :40] += one
        tumour = np.zeros(len(slices), np.bool_)
        features.append(PatientFeatures(slices.astype(np.float16), np.arange(len(slices)), tumour))
    death = rng.exponential(1 / (0.005 * np.exp(2 * risk)))
    return Group(features, np.minimum(death, 30.0), death < 30), risk


@pytest.fixture(scope="module")
def trained() -> tuple[SurvivalNet, Epoch, list[Epoch]]:
    net, epochs = new_net(), list[Epoch]()
    best = fit(net, cohort(96, 0)[0], cohort(40, 1)[0], SETTINGS, seed=3, after_epoch=epochs.append)
    return net, best, epochs


def test_risk_is_learned(trained: tuple[SurvivalNet, Epoch, list[Epoch]]) -> None:
    group, risk = cohort(100, 2)
    cif, attention = predict(trained[0], group.features)
    found = concordance_td(TimeGrid(), cif, group.time_months, group.event)
    truth = compare_constant(TimeGrid(), risk, group.time_months, group.event).concordance
    assert found > truth - 0.05
    assert [len(row) for row in attention] == [len(one.features) for one in group.features]
    assert [row.sum() for row in attention] == pytest.approx([1.0] * 100)


def test_net_is_left_as_after_its_best_epoch(trained: tuple[SurvivalNet, Epoch, list[Epoch]]) -> None:
    net, best, epochs = trained
    assert [epoch.number for epoch in epochs] == list(range(1, 13))
    assert best.concordance == max(epoch.concordance for epoch in epochs)
    group, _ = cohort(40, 1)
    cif, _ = predict(net, group.features)
    assert concordance_td(TimeGrid(), cif, group.time_months, group.event) == best.concordance
    assert not net.training


def test_same_seed_gives_the_same_head_and_another_seed_another() -> None:
    short = SETTINGS.model_copy(update={"epochs": 2})
    states = []
    for seed in (5, 5, 6):
        net = new_net()
        fit(net, cohort(32, 0)[0], cohort(20, 1)[0], short, seed)
        states.append(net.trained_state())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_only_the_head_is_trained() -> None:
    net = new_net()
    before = {name: tensor.clone() for name, tensor in net.encoder.state_dict().items()}
    fit(net, cohort(16, 0)[0], cohort(16, 1)[0], SETTINGS.model_copy(update={"epochs": 1}), seed=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.encoder.state_dict().items())


def test_learning_rate_rises_in_a_line_then_stays_or_falls_as_a_cosine() -> None:
    settings = Fitting(epochs=10, warm_up_epochs=2, schedule=Schedule.COSINE)
    factors = [learning_rate_factor(settings, 5, step) for step in range(50)]
    assert factors[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert factors[10] == 1
    assert factors[30] == pytest.approx(0.5)
    assert factors[49] == pytest.approx(0, abs=0.01)
    constant = settings.model_copy(update={"schedule": Schedule.CONSTANT})
    assert learning_rate_factor(constant, 5, 49) == 1


def test_padding_is_zero_and_masked() -> None:
    group, _ = cohort(4, 0)
    features, mask = pad(group.features)
    assert mask.sum(1).tolist() == [len(one.features) for one in group.features]
    assert (features[~mask] == 0).all()
    assert np.array_equal(features[1][mask[1]].numpy(), group.features[1].features.astype(np.float32))


def test_centre_is_the_mean_over_all_slices_of_all_patients() -> None:
    group, _ = cohort(6, 0)
    stacked = np.concatenate([one.features for one in group.features]).astype(np.float64)
    assert feature_mean(group.features).numpy() == pytest.approx(stacked.mean(axis=0), abs=1e-5)
