"""The loop: whatever happens to it in between, the same network comes out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import EncoderName
from survnode.train.fit.inputs import FeatureInputs
from survnode.train.fit.loop import Epoch, Outcomes, Trainer, learning_rate_factor
from survnode.train.measure.concordance import compare_constant, concordance_td
from survnode.train.recipe import EqualEpochs, Fitting, LossSettings, Precision, RankingMean, Schedule

SETTINGS = Fitting(loss=LossSettings(beta=2.0, ranking_mean=RankingMean.PAIRS), batch=8, epochs=6, warm_up_epochs=1)
TRAIN, VALIDATION = np.arange(40), np.arange(40, 60)


class Killed(Exception):
    """Stands for kill -9."""


def material(count: int = 60) -> tuple[FeatureInputs, Outcomes]:
    """Patients of 4 to 7 slices, one of which shows their risk in its first 40 features."""
    rng = np.random.default_rng(0)
    risk = rng.uniform(0, 3, count)
    features = []
    for one in risk:
        slices = rng.normal(1, 0.3, (3, int(rng.integers(4, 8)), 1280))
        slices[:, 1, :40] += one
        features.append(slices.astype(np.float16))
    death = rng.exponential(1 / (0.005 * np.exp(2 * risk)))
    return FeatureInputs(features, 0.3), Outcomes(np.minimum(death, 30.0), death < 30)


def trainer(state: Path | None, settings: Fitting = SETTINGS, seed: int = 1, of: int = 60) -> Trainer:
    torch.manual_seed(0)
    net = SurvivalNet(NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0, feature_dropout=0.2))
    return Trainer(net, *material(of), settings, seed, state)


def killed_at(number: int) -> Callable[[Epoch], None]:
    def after_epoch(epoch: Epoch) -> None:
        if epoch.number == number:
            raise Killed

    return after_epoch


def same(one: Trainer, other: Trainer) -> bool:
    first, second = one.net.trained_state(), other.net.trained_state()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_risk_is_learned_nearly_as_well_as_it_can_be_known(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"schedule": Schedule.CONSTANT, "epochs": 12, "batch": 16})
    rng = np.random.default_rng(1)
    inputs, outcomes = material(240)
    fitted = trainer(tmp_path / "state", settings, of=240)
    fitted.fit(np.arange(100), np.arange(100, 140))
    unseen = np.arange(140, 240)
    risk = np.array([one[0, 1, :40].mean(dtype=np.float64) for one in inputs.features])
    truth = compare_constant(fitted.grid, risk[unseen], outcomes.time_months[unseen], outcomes.event[unseen])
    assert fitted.concordance(unseen) > truth.concordance - 0.05
    shuffled = rng.permutation(unseen)
    by_chance = concordance_td(
        fitted.grid, fitted.predict(shuffled).cif, outcomes.time_months[unseen], outcomes.event[unseen]
    )
    assert by_chance == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("settings", [SETTINGS, SETTINGS.model_copy(update={"accumulate": 3, "batch": 4})])
def test_fit_killed_twice_gives_the_network_of_one_that_was_not(tmp_path: Path, settings: Fitting) -> None:
    whole, broken = trainer(tmp_path / "whole", settings), tmp_path / "broken"
    best = whole.fit(TRAIN, VALIDATION)
    with pytest.raises(Killed):
        trainer(broken, settings).fit(TRAIN, VALIDATION, killed_at(2), save_every_s=0)
    with pytest.raises(Killed):
        trainer(broken, settings).fit(TRAIN, VALIDATION, killed_at(4), save_every_s=0)
    resumed, epochs = trainer(broken, settings), list[Epoch]()
    assert resumed.fit(TRAIN, VALIDATION, epochs.append) == best
    assert [epoch.number for epoch in epochs] == [5, 6]
    assert same(resumed, whole)


def test_state_that_is_older_than_the_kill_gives_the_same_network(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole")
    whole.fit(TRAIN, VALIDATION)
    with pytest.raises(Killed):
        trainer(tmp_path / "broken").fit(TRAIN, VALIDATION, killed_at(4), save_every_s=1e9)
    again = trainer(tmp_path / "broken")
    again.fit(TRAIN, VALIDATION)
    assert same(again, whole)


def test_same_seed_gives_the_same_network_and_another_seed_another(tmp_path: Path) -> None:
    one, again, other = trainer(tmp_path / "1"), trainer(None), trainer(tmp_path / "2", seed=2)
    for each in (one, again, other):
        each.fit(TRAIN, VALIDATION)
    assert same(one, again)
    assert not same(one, other)


def test_a_frozen_encoder_is_left_alone(tmp_path: Path) -> None:
    one = trainer(tmp_path / "state", SETTINGS.model_copy(update={"epochs": 1}))
    before = {name: tensor.clone() for name, tensor in one.net.encoder.state_dict().items()}
    one.fit(TRAIN, VALIDATION)
    assert all(torch.equal(tensor, before[name]) for name, tensor in one.net.encoder.state_dict().items())


def test_network_is_left_as_after_its_best_epoch(tmp_path: Path) -> None:
    fitted, epochs = trainer(tmp_path / "state"), list[Epoch]()
    best = fitted.fit(TRAIN, VALIDATION, epochs.append)
    assert best.concordance == max(epoch.concordance for epoch in epochs)
    assert fitted.concordance(VALIDATION) == best.concordance
    assert [epoch.number for epoch in epochs] == list(range(1, 7))
    assert not fitted.net.training


def test_each_real_slice_and_no_padding_has_a_share_of_the_attention(tmp_path: Path) -> None:
    inputs, _ = material()
    attention = trainer(tmp_path / "state").predict(np.arange(60)).attention
    assert [len(one) for one in attention] == [one.shape[1] for one in inputs.features]
    assert [one.sum() for one in attention] == pytest.approx([1.0] * 60)


def test_learning_rate_rises_in_a_line_then_stays_or_falls_as_a_cosine() -> None:
    settings = Fitting(epochs=10, warm_up_epochs=2, schedule=Schedule.COSINE)
    factors = [learning_rate_factor(settings, 5, step) for step in range(50)]
    assert factors[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert factors[10] == 1
    assert factors[30] == pytest.approx(0.5)
    assert factors[49] == pytest.approx(0, abs=0.01)
    constant = settings.model_copy(update={"schedule": Schedule.CONSTANT})
    assert learning_rate_factor(constant, 5, 49) == 1


def test_patience_ends_a_fit_that_no_longer_gets_better(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"patience": 2, "learning_rate": 1e-9, "epochs": 30})
    epochs = list[Epoch]()
    best = trainer(tmp_path / "state", settings).fit(TRAIN, VALIDATION, epochs.append)
    # Equal concordances count as better; at this rate all of them are equal but for rounding.
    assert len(epochs) in (30, best.number + 2)


def test_accumulated_batches_make_the_step_of_one_batch_when_the_loss_is_a_mean_over_patients(tmp_path: Path) -> None:
    likelihood = LossSettings(beta=0)
    common = {"loss": likelihood, "epochs": 1, "schedule": Schedule.CONSTANT, "warm_up_epochs": 0}
    states = []
    for batch, accumulate in ((40, 1), (10, 4)):
        settings = SETTINGS.model_copy(update={**common, "batch": batch, "accumulate": accumulate})
        one = trainer(tmp_path / str(batch), settings)
        one.inputs = FeatureInputs([each[:1] for each in material()[0].features], 0)  # no random views
        for module in one.net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        one.fit(TRAIN, VALIDATION)
        states.append(one.net.trained_state())
    assert all(torch.allclose(states[0][name], states[1][name], atol=2e-5) for name in states[0])


@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.FLOAT16])
def test_half_precision_learns_too(tmp_path: Path, precision: Precision) -> None:
    settings = SETTINGS.model_copy(update={"precision": precision, "schedule": Schedule.CONSTANT, "epochs": 12})
    assert trainer(tmp_path / "state", settings).fit(TRAIN, VALIDATION).concordance > 0.7


def test_restarts_are_cosines_of_10_20_and_40_epochs_after_the_warm_up() -> None:
    settings = Fitting(epochs=100, warm_up_epochs=5, schedule=Schedule.RESTARTS, learning_rate=1e-3)
    rate = [1e-3 * learning_rate_factor(settings, 1, epoch) for epoch in range(100)]
    assert rate[:5] == pytest.approx(np.arange(1, 6) * 2e-4)
    assert [rate[5], rate[15], rate[35], rate[75]] == pytest.approx([1e-3] * 4)
    assert rate[10] == pytest.approx((1e-3 + 1e-6) / 2)
    assert rate[14] < rate[13] < 2e-4
    assert min(rate) >= 1e-6


def test_restarts_by_epoch_move_the_rate_once_an_epoch_to_what_the_others_begin_it_with() -> None:
    by_step, by_epoch = (
        SETTINGS.model_copy(update={"schedule": schedule, "warm_up_epochs": 0, "epochs": 30})
        for schedule in (Schedule.RESTARTS, Schedule.RESTARTS_BY_EPOCH)
    )
    for step in range(150):
        assert learning_rate_factor(by_epoch, 5, step) == learning_rate_factor(by_step, 5, step - step % 5)


@pytest.mark.parametrize(("equal", "kept"), [(EqualEpochs.FIRST, 2), (EqualEpochs.LAST, 4)])
def test_of_equal_epochs_the_first_or_the_last_is_kept(
    equal: EqualEpochs, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = trainer(None, SETTINGS.model_copy(update={"equal_epochs": equal, "epochs": 5}))
    concordances = iter([0.4, 0.6, 0.5, 0.6, 0.1])
    monkeypatch.setattr(fitted, "concordance", lambda _: next(concordances))
    assert fitted.fit(TRAIN, VALIDATION).number == kept
