"""What the network is given: the right views with the right probabilities, and the short way through a frozen one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from survnode.model.net.fusion import Fusion
from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import EncoderName
from survnode.train.fit.inputs import FeatureInputs, SliceInputs
from survnode.train.recipe import Augmentation

F = 1280


def features(count: int, views: int = 4, slices: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(views, slices + row, F)).astype(np.float16) for row in range(count)]


@pytest.mark.parametrize("fusion", [Fusion.ATTENTION, Fusion.MEAN, Fusion.ATTENTION_MLP, Fusion.CLASS_TOKEN])
def test_cached_features_give_what_the_network_itself_gives(fusion: Fusion) -> None:
    torch.manual_seed(0)
    config = NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0, fusion=fusion, feature_scale=0.3)
    net = SurvivalNet(config).eval()
    net.feature_centre.normal_()
    inputs = FeatureInputs(features(4), 0.2)
    batch = inputs.batch([3, 0, 2])
    found, expected = inputs.forward(net, batch), net.forward_features(*batch)
    assert found.logits.detach().numpy() == pytest.approx(expected.logits.detach().numpy(), abs=1e-5)
    assert found.attention is not None
    assert expected.attention is not None
    assert found.attention.detach().numpy() == pytest.approx(expected.attention.detach().numpy(), abs=1e-6)
    gradients = []
    for output in (found, expected):
        net.zero_grad()
        output.logits.square().sum().backward()
        gradients.append([p.grad.clone() for name, p in net.named_parameters() if p.grad is not None])
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(*gradients, strict=True))


def test_slices_that_the_network_leaves_out_in_training_get_no_attention() -> None:
    torch.manual_seed(0)
    net = SurvivalNet(NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0, slice_dropout=0.5)).train()
    inputs = FeatureInputs(features(4, slices=40), 0)
    attention = inputs.forward(net, inputs.batch([0, 1, 2, 3])).attention
    assert attention is not None
    assert 0.3 < (attention[:, :40] == 0).float().mean().item() < 0.7


def test_four_of_five_slices_are_plain_and_the_others_of_all_views_alike() -> None:
    views, slices = 5, 4000
    each = np.arange(views, dtype=np.float16)[:, None, None] * np.ones((1, slices, 1), np.float16)
    drawn = FeatureInputs([each], 0.2).batch([0], np.random.default_rng(1)).inputs[0, :, 0].numpy()
    shares = np.bincount(drawn.astype(int), minlength=views) / slices
    assert shares[0] == pytest.approx(0.8, abs=0.02)
    assert shares[1:] == pytest.approx(0.05, abs=0.015)


def test_without_a_generator_every_slice_is_plain() -> None:
    given = features(2)
    batch = FeatureInputs(given, 1.0).batch([1, 0])
    assert np.array_equal(batch.inputs[0].numpy(), given[1][0].astype(np.float32))
    assert batch.mask.sum(dim=1).tolist() == [7, 6]
    assert (batch.inputs[1, 6:] == 0).all()


def test_centre_is_the_mean_of_plain_slices() -> None:
    given = features(3)
    expected = np.concatenate([given[row][0] for row in (0, 2)]).astype(np.float64).mean(axis=0)
    assert FeatureInputs(given, 0.2).centre([0, 2]).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("probability", "together", "low", "high"), [(0, False, 0, 0), (0.2, False, 5, 40), (1, True, 80, 80)]
)
def test_slices_are_windowed_and_as_many_as_wanted_are_random_views(
    tmp_path: Path, probability: float, together: bool, low: int, high: int
) -> None:
    hu = np.random.default_rng(2).integers(-1200, 600, (80, 32, 32)).astype(np.int16)
    save_file(
        {"hu": hu, "source": np.arange(80)},
        tmp_path / "one.safetensors",
        metadata={"images": "80", "lung_height_mm": "240"},
    )
    settings = Augmentation(probability=probability)
    inputs = SliceInputs([tmp_path / "one.safetensors"], (-1000, 400), settings, together=together)
    plain = inputs.batch([0]).inputs
    assert plain[0, :, 0].numpy() == pytest.approx(np.clip((hu.astype(np.float32) + 1000) / 1400, 0, 1))
    drawn = inputs.batch([0], np.random.default_rng(3)).inputs
    changed = (drawn != plain).flatten(2).any(dim=2).sum().item()
    assert low <= changed <= high
