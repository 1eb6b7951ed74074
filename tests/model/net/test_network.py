from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from survnode.model.errors import CheckpointRefused
from survnode.model.net.encoders import Freezing
from survnode.model.net.fusion import Fusion
from survnode.model.net.network import NetworkConfig, Output, SurvivalNet, intensities
from survnode.model.net.trunks import EncoderName

SIDE = 32  # pixels; enough for an EfficientNet


def network(**fields: object) -> SurvivalNet:
    torch.manual_seed(0)
    return SurvivalNet(NetworkConfig.model_validate({"encoder": EncoderName.EFFICIENTNET_LITE0, **fields})).eval()


@pytest.fixture(scope="module")
def net() -> SurvivalNet:
    return network()


def patients(*real: int, slices: int) -> tuple[Tensor, Tensor]:
    """Slices (B, S, 1, H, W) and mask (B, S) of patients with ``real`` slices each."""
    mask = torch.arange(slices) < torch.tensor(real)[:, None]
    return torch.rand(len(real), slices, 1, SIDE, SIDE), mask


def attention_of(output: Output) -> Tensor:
    assert output.attention is not None
    return output.attention


def test_the_window_is_mapped_to_zero_and_one_and_clips() -> None:
    hu = np.array([[[-1100, -1000, -300, 400, 3000]]], np.int16)
    given = intensities(hu, (-1000.0, 400.0))
    assert (given.shape, given.dtype) == ((1, 1, 1, 5), torch.float32)
    assert given.flatten().tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


@torch.no_grad()
def test_a_curve_has_25_bins_that_sum_to_one(net: SurvivalNet) -> None:
    output = net(*patients(3, 2, slices=3))
    assert output.logits.shape == output.pmf.shape == (2, 25)
    assert torch.allclose(output.pmf.sum(dim=1), torch.ones(2))
    assert attention_of(output).shape == (2, 3)


@pytest.mark.parametrize("fusion", list(Fusion))
@torch.no_grad()
def test_a_patients_output_does_not_depend_on_padding_or_on_who_shares_the_batch(fusion: Fusion) -> None:
    net = network(fusion=fusion)
    slices, mask = patients(6, 4, 1, slices=8)
    together = net(slices, mask)
    for i, n in enumerate((6, 4, 1)):
        alone = net(slices[i : i + 1, :n], mask[i : i + 1, :n])
        assert torch.allclose(together.logits[i], alone.logits[0], rtol=0, atol=1e-6)
        assert torch.allclose(attention_of(together)[i, :n], attention_of(alone)[0], rtol=0, atol=1e-6)
        assert not attention_of(together)[i, n:].any()


@pytest.mark.parametrize("fusion", list(Fusion))
@torch.no_grad()
def test_what_stands_on_padding_does_not_matter(fusion: Fusion) -> None:
    net = network(fusion=fusion)
    features, mask = torch.randn(2, 5, 1280), torch.tensor([[True] * 5, [True, True, True, False, False]])
    clean = net.forward_features(features.masked_fill(~mask[..., None], 0), mask)
    dirty = net.forward_features(features.masked_fill(~mask[..., None], torch.nan), mask)
    assert torch.equal(clean.logits, dirty.logits)
    assert torch.equal(attention_of(clean), attention_of(dirty))


@torch.no_grad()
def test_padding_may_stand_between_slices(net: SurvivalNet) -> None:
    slices, mask = patients(3, slices=3)
    spread, spread_mask = torch.full((1, 5, 1, SIDE, SIDE), torch.nan), torch.tensor([[True, False, True, False, True]])
    spread[:, ::2] = slices
    output, expected = net(spread, spread_mask), net(slices, mask)
    assert torch.allclose(output.logits, expected.logits, rtol=0, atol=1e-6)
    assert torch.allclose(attention_of(output)[:, ::2], attention_of(expected), rtol=0, atol=1e-6)


@torch.no_grad()
def test_cached_features_give_the_same_output_as_slices(net: SurvivalNet) -> None:
    slices, mask = patients(4, slices=4)
    features = net.encode(slices[0])
    assert features.shape == (4, 1280)
    assert torch.equal(net.forward_features(features[None], mask).logits, net(slices, mask).logits)


@torch.no_grad()
@pytest.mark.parametrize("fusion", Fusion)
def test_fusing_before_embedding_changes_nothing_where_both_are_linear(fusion: Fusion) -> None:
    net = network(fusion=fusion, feature_scale=0.3)
    assert net.fuses_linearly == (fusion in {Fusion.ATTENTION, Fusion.MEAN})
    if not net.fuses_linearly:
        return
    net.feature_centre.normal_()
    features = torch.randn(2, 7, net.encoder.features)
    mask = torch.arange(7) < torch.tensor([7, 3])[:, None]
    fused, expected = net.forward_fused(features, mask), net.forward_features(features, mask)
    torch.testing.assert_close(fused.logits, expected.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(attention_of(fused), attention_of(expected), rtol=0, atol=1e-6)


def test_a_patient_without_slices_is_refused(net: SurvivalNet) -> None:
    with pytest.raises(ValueError, match="at least one real slice"):
        net(*patients(2, 0, slices=2))


@torch.no_grad()
def test_features_are_centred_then_scaled(net: SurvivalNet) -> None:
    scaled = network(feature_scale=0.5)
    scaled.load_trained_state(net.trained_state() | {"feature_centre": torch.full((1280,), 3.0)})
    features, mask = torch.randn(1, 4, 1280), torch.ones(1, 4, dtype=torch.bool)
    assert torch.allclose(
        scaled.forward_features(features, mask).logits,
        net.forward_features((features - 3) * 0.5, mask).logits,
        atol=1e-6,
    )


def test_feature_dropout_acts_in_training_only() -> None:
    net = network(feature_dropout=0.5, deephit={"dropout": 0.0})
    features, mask = torch.randn(1, 4, 1280), torch.ones(1, 4, dtype=torch.bool)
    assert torch.equal(net.forward_features(features, mask).logits, net.forward_features(features, mask).logits)
    net.train()
    assert not torch.equal(net.forward_features(features, mask).logits, net.forward_features(features, mask).logits)


def test_features_leave_no_graph_behind(net: SurvivalNet) -> None:
    assert not net.encode(torch.rand(1, 1, SIDE, SIDE)).requires_grad


def test_a_frozen_trunk_is_not_kept(net: SurvivalNet) -> None:
    state = net.trained_state()
    assert not [name for name in state if name.startswith("encoder.")]
    assert {"feature_centre", "embed.weight", "fusion.score.weight", "deephit.bins.bias"} <= state.keys()


@pytest.mark.parametrize("freezing", list(Freezing))
@torch.no_grad()
def test_a_trained_network_comes_back_from_a_file(freezing: Freezing, tmp_path: Path) -> None:
    trained, fresh = network(freezing=freezing), network(freezing=freezing)  # of one seed: frozen tensors are equal
    own = trained.state_dict()
    for name in trained.trained_state():
        own[name].add_(1)
    save_file(trained.trained_state(), tmp_path / "model.safetensors")
    fresh.load_trained_state(load_file(tmp_path / "model.safetensors"))
    slices, mask = patients(2, slices=2)
    assert torch.equal(fresh(slices, mask).logits, trained(slices, mask).logits)


@pytest.mark.parametrize("change", ["missing", "surplus", "shape"])
def test_a_state_that_does_not_fit_is_refused(net: SurvivalNet, change: str) -> None:
    state = net.trained_state()
    match change:
        case "missing":
            del state["embed.bias"]
        case "surplus":
            state["encoder.trunk.conv_stem.weight"] = torch.zeros(32, 1, 3, 3)
        case _:
            state["embed.bias"] = torch.zeros(255)
    with pytest.raises(CheckpointRefused, match="1 tensors do not fit"):
        net.load_trained_state(state)


def test_members_of_an_ensemble_can_share_an_encoder(net: SurvivalNet) -> None:
    member = SurvivalNet(net.config, encoder=net.encoder)
    assert member.encoder is net.encoder
    assert member.embed is not net.embed


def test_training_reaches_the_head_and_nothing_frozen() -> None:
    net = network().train()
    output = net(*patients(2, 1, slices=2))
    output.logits.square().sum().backward()
    with_gradient = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert with_gradient == {name for name, _ in net.named_parameters() if not name.startswith("encoder.")}


def test_the_configuration_survives_json() -> None:
    config = NetworkConfig(fusion=Fusion.CLASS_TOKEN, freezing=Freezing.HALF, feature_scale=0.3)
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config


def test_the_defaults_are_the_papers() -> None:
    config = NetworkConfig()
    assert (config.encoder, config.stem_channels, config.freezing) == ("efficientnet_b0", 1, "trunk")
    assert (config.embedding_dim, config.fusion, config.n_bins) == (256, "attention", 24)
    assert (config.feature_scale, config.feature_dropout) == (1.0, 0.0)


@pytest.mark.parametrize("wrong", [{"stem_channels": 2}, {"n_bins": 0}, {"encoder": "efficientnet_b9"}, {"layers": 1}])
def test_wrong_configuration_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NetworkConfig.model_validate(wrong)


def test_slices_are_left_out_in_training_only_and_never_all_of_a_patient() -> None:
    torch.manual_seed(0)
    net = SurvivalNet(NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0, slice_dropout=0.9))
    features, mask = torch.randn(8, 6, net.encoder.features), torch.ones(8, 6, dtype=torch.bool)
    mask[0, 1:] = False  # one patient has a single slice
    shown = net.train().forward_features(features, mask).attention
    assert shown is not None
    assert ((shown > 0).sum(dim=1) >= 1).all()
    assert (shown > 0).sum() < mask.sum()
    assert shown[0, 0] == 1
    whole = net.eval().forward_features(features, mask).attention
    assert whole is not None
    assert torch.equal(whole > 0, mask)
