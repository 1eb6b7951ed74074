"""Every trunk without its classifier gives the features that it is said to give, and takes its published weights."""

import pytest
import torch
from torch import nn

from survnode.model.net.encoders import Encoder, Freezing
from survnode.model.net.trunks import TRUNKS, EncoderName
from survnode.model.weights import WeightsName

SIDE = 32  # pixels; enough for these
WIDTHS = {
    EncoderName.EFFICIENTNET_B0: 1280,
    EncoderName.EFFICIENTNET_LITE0: 1280,
    EncoderName.VGG16: 4096,
    EncoderName.RESNET50: 2048,
    EncoderName.ALEXNET: 4096,
    EncoderName.VIT_B_16: 768,
    EncoderName.MEDVIT_SMALL: 1024,
    EncoderName.DINOV2_S: 384,
}


def test_every_encoder_has_a_trunk_and_weights_of_its_own() -> None:
    assert set(TRUNKS) == set(EncoderName)
    weights = [trunk.weights for trunk in TRUNKS.values()]
    assert len(set(weights)) == len(weights)
    assert all(isinstance(name, WeightsName) for name in weights)


def test_features_are_as_wide_as_published() -> None:
    assert {name: trunk.features for name, trunk in TRUNKS.items()} == WIDTHS


@torch.inference_mode()
@pytest.mark.parametrize("name", [EncoderName.EFFICIENTNET_LITE0, EncoderName.EFFICIENTNET_B0, EncoderName.RESNET50])
def test_a_trunk_ends_where_its_classifier_began(name: EncoderName) -> None:
    encoder = Encoder(TRUNKS[name], 1, Freezing.TRUNK).eval()
    assert encoder(torch.rand(2, 1, SIDE, SIDE)).shape == (2, WIDTHS[name])
    assert not [layer for layer in encoder.modules() if isinstance(layer, nn.Linear) and layer.out_features == 1000]
