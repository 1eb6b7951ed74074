from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import models

from survnode.model import weights
from survnode.model.errors import WeightsChanged
from survnode.model.net.encoders import Encoder, Freezing, TrunkSpec
from survnode.model.net.medvit import MedViT
from survnode.model.net.trunks import TRUNKS, EncoderName
from survnode.model.net.volumetric import VOLUME_TRUNKS, VolumeEncoderName
from survnode.model.weights import WEIGHTS, WeightsName, read_weights, sha256_of

B0, LITE0 = EncoderName.EFFICIENTNET_B0, EncoderName.EFFICIENTNET_LITE0
MILITARY_UNIFORM = 652  # ImageNet's class

# Each published network with its classifier.
PUBLISHED: dict[EncoderName, Callable[[], nn.Module]] = {
    EncoderName.EFFICIENTNET_B0: models.efficientnet_b0,
    EncoderName.VGG16: models.vgg16,
    EncoderName.RESNET50: models.resnet50,
    EncoderName.ALEXNET: models.alexnet,
    EncoderName.VIT_B_16: models.vit_b_16,
    EncoderName.MEDVIT_SMALL: lambda: MedViT(classes=1000),
    EncoderName.EFFICIENTNET_LITE0: lambda: timm.create_model("tf_efficientnet_lite0", pretrained=False),
}


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """A grey photograph of a person in uniform, (1, 1, 224, 224) in [0, 1]."""
    with Image.open(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg") as photograph:
        grey = photograph.convert("L").resize((256, 300), Image.Resampling.BICUBIC).crop((16, 38, 240, 262))
    return torch.from_numpy(np.asarray(grey, dtype=np.float32) / 255)[None, None]


@pytest.mark.parametrize("stem_channels", [1, 3])
@torch.no_grad()
def test_pretrained_lite0_recognises_what_a_photograph_shows(portrait: Tensor, stem_channels: int) -> None:
    encoder = Encoder(TRUNKS[LITE0], stem_channels)
    sha256 = encoder.load_pretrained()
    path = weights.find_weights(WeightsName.EFFICIENTNET_LITE0)
    classifier = read_weights(path)
    logits = encoder(portrait) @ classifier["_fc.weight"].T + classifier["_fc.bias"]
    assert MILITARY_UNIFORM in logits[0].topk(3).indices
    assert sha256 == sha256_of(path)


@torch.no_grad()
def test_a_summed_stem_sees_what_the_rgb_stem_sees(portrait: Tensor) -> None:
    rgb, grey = Encoder(TRUNKS[LITE0], 3), Encoder(TRUNKS[LITE0], 1)
    rgb.load_pretrained()
    grey.load_pretrained()
    assert torch.allclose(rgb(portrait), grey(portrait), atol=1e-4)  # its channels share their statistics


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tensors_fit_once_their_classifier_is_dropped(name: EncoderName) -> None:
    with torch.device("meta"):
        published, trunk = PUBLISHED[name](), TRUNKS[name].build()
    adapted = TRUNKS[name].adapt(published.state_dict(), trunk)
    assert {key: tensor.shape for key, tensor in adapted.items()} == {
        key: tensor.shape for key, tensor in trunk.state_dict().items()
    }


def test_dinov2s_tensors_fit_once_their_positions_are_resampled() -> None:
    trunk = TRUNKS[EncoderName.DINOV2_S].build()
    published = trunk.state_dict() | {"mask_token": torch.zeros(1, 384), "pos_embed": torch.ones(1, 1 + 37 * 37, 384)}
    adapted = TRUNKS[EncoderName.DINOV2_S].adapt(published, trunk)
    trunk.load_state_dict(adapted)
    assert torch.allclose(adapted["pos_embed"], torch.ones(1, 1 + 16 * 16, 384), atol=1e-5)


def test_a_file_from_torchvision_loads_with_its_rgb_kernels_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published, path = models.efficientnet_b0(), tmp_path / "b0.pth"
    torch.save(published.state_dict(), path)
    name = WeightsName.EFFICIENTNET_B0
    monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], sha256=sha256_of(path)))
    encoder = Encoder(TRUNKS[B0], stem_channels=1)
    assert encoder.load_pretrained(path) == sha256_of(path)
    state, expected = encoder.trunk.state_dict(), published.state_dict()
    assert torch.equal(state["features.0.0.weight"], expected["features.0.0.weight"].sum(dim=1, keepdim=True))
    assert all(torch.equal(state[key], expected[key]) for key in state if key != "features.0.0.weight")


def test_a_file_of_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.pth"
    torch.save({"features.0.0.weight": torch.zeros(32, 3, 3, 3)}, path)
    name = WeightsName.EFFICIENTNET_B0
    monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], sha256=sha256_of(path)))
    with pytest.raises(WeightsChanged, match="this network's tensors"):
        Encoder(TRUNKS[B0]).load_pretrained(path)


@pytest.mark.parametrize("spec", [*TRUNKS.values(), *VOLUME_TRUNKS.values()], ids=[*TRUNKS, *VOLUME_TRUNKS])
def test_features_are_as_many_as_stated(spec: TrunkSpec) -> None:
    with torch.device("meta"):
        shape = (2, 1, 32, 224, 224) if spec in VOLUME_TRUNKS.values() else (2, 1, 224, 224)
        assert Encoder(spec, stem_channels=1).eval()(torch.empty(shape)).shape == (2, spec.features)


def test_rgb_stems_get_the_slice_with_each_channels_own_statistics() -> None:
    encoder = Encoder(TRUNKS[B0], stem_channels=3)
    normalised = encoder.normalise(torch.full((1, 1, 2, 2), 0.485))
    assert normalised.shape == (1, 3, 2, 2)
    assert normalised[0, :, 0, 0].tolist() == pytest.approx([0, (0.485 - 0.456) / 0.224, (0.485 - 0.406) / 0.225])


def test_one_channel_stems_get_the_mean_of_the_statistics() -> None:
    encoder = Encoder(TRUNKS[B0], stem_channels=1)
    assert encoder.normalise(torch.ones(1, 1, 1, 1)).item() == pytest.approx((1 - 0.449) / 0.226)


@pytest.mark.parametrize("freezing", list(Freezing))
def test_training_changes_no_tensor_that_is_named_frozen(freezing: Freezing) -> None:
    torch.manual_seed(0)
    encoder = Encoder(TRUNKS[B0], 1, freezing).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    features = encoder(torch.rand(2, 1, 64, 64))
    if parameters:
        features.square().mean().backward()
        torch.optim.SGD(parameters, lr=1.0).step()
    changed = {name for name, tensor in encoder.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not changed & encoder.frozen_names()
    assert bool(changed) == (freezing is not Freezing.TRUNK)


def test_a_frozen_trunk_stays_in_eval_mode() -> None:
    encoder = Encoder(TRUNKS[LITE0]).train()
    assert encoder.training
    assert not any(module.training for module in encoder.trunk.modules())


def test_the_released_stem_trains_and_its_norms_stay_in_train_mode() -> None:
    encoder = Encoder(TRUNKS[B0], 1, Freezing.TRUNK_BUT_STEM).train()
    assert [name for name, parameter in encoder.named_parameters() if parameter.requires_grad] == [
        "trunk.features.0.0.weight"
    ]
    assert all(module.training for module in encoder.modules())
    assert "trunk.features.0.1.running_mean" not in encoder.frozen_names()


# AlexNet has 5 convolutions and 2 linear layers, VGG16 13 and 2, ResNet50 53 convolutions. The transformers have one
# convolution and 12 blocks of 4 layers: queries with keys and values, projection, and two of the MLP.
@pytest.mark.parametrize(
    ("name", "first_trained"),
    [
        (EncoderName.ALEXNET, "features.8.weight"),  # the fourth convolution
        (EncoderName.RESNET50, "layer3.0.conv3.weight"),  # 1 + 10 + 13 + 2 before it
        (EncoderName.VGG16, "features.17.weight"),  # the eighth convolution
        (EncoderName.VIT_B_16, "encoder.layers.encoder_layer_5.mlp.3.weight"),  # 1 + 5 * 4 + 3 before it
        (EncoderName.DINOV2_S, "blocks.5.mlp.fc2.weight"),  # 1 + 5 * 4 + 3 before it
    ],
)
def test_half_of_the_layers_is_frozen(name: EncoderName, first_trained: str) -> None:
    with torch.device("meta"):
        encoder = Encoder(TRUNKS[name], freezing=Freezing.HALF).train()
    trained = [parameter.requires_grad for parameter in encoder.trunk.parameters()]
    names = [name for name, _ in encoder.trunk.named_parameters()]
    assert names[trained.index(True)] == first_trained
    assert not any(before and not after for before, after in pairwise(trained))


def test_norms_of_the_frozen_half_stay_in_eval_mode() -> None:
    with torch.device("meta"):
        trunk = Encoder(TRUNKS[EncoderName.RESNET50], freezing=Freezing.HALF).train().trunk
    norms = {name: module.training for name, module in trunk.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert not norms["layer2.3.bn3"]
    assert not norms["layer3.0.bn2"]
    assert norms["layer3.0.bn3"]
    assert norms["layer4.2.bn3"]


def test_volume_encoders_are_normalised_along_their_channels() -> None:
    with torch.device("meta"):
        encoder = Encoder(VOLUME_TRUNKS[VolumeEncoderName.RESNET3D_18], stem_channels=3)
        assert encoder.normalise(torch.empty(1, 1, 4, 5, 6)).shape == (1, 3, 4, 5, 6)
