import pytest
import torch
from torch import Tensor

from survnode.model.errors import ExtraMissing
from survnode.model.net.encoders import Freezing
from survnode.model.net.fusion import ClassTokenFusion
from survnode.model.net.network import SurvivalNet
from survnode.model.net.volumetric import (
    MIN_DEPTH,
    VolumeEncoderName,
    VolumetricConfig,
    VolumetricNet,
    medical_slice_transformer,
)


@pytest.fixture(scope="module")
def net() -> VolumetricNet:
    torch.manual_seed(0)
    return VolumetricNet(VolumetricConfig()).eval()


def patients(*real: int, slices: int) -> tuple[Tensor, Tensor]:
    """Slices (B, S, 1, 16, 16) and mask (B, S) of patients with ``real`` slices each."""
    mask = torch.arange(slices) < torch.tensor(real)[:, None]
    return torch.rand(len(real), slices, 1, 16, 16), mask


@torch.no_grad()
def test_a_patients_curve_does_not_depend_on_padding_or_on_who_shares_the_batch(net: VolumetricNet) -> None:
    slices, mask = patients(40, 34, slices=44)
    together = net(slices, mask)
    apart = torch.cat([net(slices[i : i + 1, :n], mask[i : i + 1, :n]).logits for i, n in enumerate((40, 34))])
    assert torch.allclose(together.logits, apart, rtol=0, atol=1e-6)
    assert together.attention is None
    assert torch.allclose(together.pmf.sum(dim=1), torch.ones(2))


@torch.no_grad()
def test_cached_features_give_the_same_curve(net: VolumetricNet) -> None:
    slices, mask = patients(36, slices=36)
    features = net.encode(slices, mask)
    assert features.shape == (1, 512)
    assert torch.equal(net.forward_features(features).logits, net(slices, mask).logits)


@torch.no_grad()
def test_thin_volumes_are_filled_up_behind_their_slices(net: VolumetricNet) -> None:
    slices, mask = patients(20, slices=20)
    filled = torch.zeros(1, MIN_DEPTH, 1, 16, 16)
    filled[:, :20] = slices
    assert torch.equal(net.encode(slices, mask), net.encode(filled, torch.ones(1, MIN_DEPTH, dtype=torch.bool)))


def test_only_what_was_trained_is_kept(net: VolumetricNet) -> None:
    state = net.trained_state()
    assert not [name for name in state if name.startswith("encoder.")]
    net.load_trained_state(state)


def test_a_trunk_without_published_weights_is_kept_whole() -> None:
    with torch.device("meta"):
        net = VolumetricNet(VolumetricConfig(encoder=VolumeEncoderName.DENSENET3D_121))
    assert net.encoder.frozen_names() == frozenset()
    with pytest.raises(ValueError, match="no published weights"):
        net.encoder.load_pretrained()


def test_densenet_takes_the_thinnest_volumes() -> None:
    with torch.device("meta"):
        net = VolumetricNet(VolumetricConfig(encoder=VolumeEncoderName.DENSENET3D_121)).eval()
        assert net.encoder(torch.empty(1, 1, MIN_DEPTH, 224, 224)).shape == (1, 1024)


def test_without_monai_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("survnode.model.extras._installed", lambda name: name != "monai")
    with pytest.raises(ExtraMissing, match=r"DenseNet3D-121 needs the extra \[train\], of which monai is"):
        VolumetricNet(VolumetricConfig(encoder=VolumeEncoderName.DENSENET3D_121))


@torch.no_grad()
def test_the_medical_slice_transformer_fuses_slices_with_a_class_token() -> None:
    net = SurvivalNet(medical_slice_transformer(Freezing.HALF)).eval()
    output = net(torch.rand(1, 2, 1, 224, 224), torch.tensor([[True, True]]))
    assert isinstance(net.fusion, ClassTokenFusion)
    assert net.encoder.features == net.fusion.norm.normalized_shape[0] == 384
    assert tuple(net.embed.weight.shape) == (256, 384)  # of the class token, not of the slices
    assert output.logits.shape == (1, 25)
    assert output.attention is not None
    assert output.attention.shape == (1, 2)
