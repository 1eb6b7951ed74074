import pytest
import torch
from torch import nn

from survnode.model.net.cost import count_flops, count_parameters
from survnode.model.net.encoders import Encoder
from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import TRUNKS, EncoderName
from survnode.model.net.volumetric import VolumeEncoderName, VolumetricConfig, VolumetricNet

# Stem channels, parameters with an embedding of 256, FLOPs for a slice of 224 x 224: the paper's figures where it has
# them, otherwise counted by other means.
SLICE_COSTS = {
    EncoderName.EFFICIENTNET_B0: (1, 4_334_908, 0.755e9),
    EncoderName.ALEXNET: (1, 58_037_184, 1.329e9),
    EncoderName.RESNET50: (1, 24_026_304, 8.018e9),
    EncoderName.MEDVIT_SMALL: (3, 31.40e6, 11.71e9),
    EncoderName.DINOV2_S: (3, 21.63e6, 12.25e9),
    EncoderName.VGG16: (1, 135_308_224, 30.82e9),
    EncoderName.VIT_B_16: (1, 85_602_304, 35.0e9),
}
# Parameters with an embedding of 256, FLOPs for a volume of 72 slices.
VOLUME_COSTS = {
    VolumeEncoderName.RESNET3D_18: (33.28e6, 1431e9),
    VolumeEncoderName.DENSENET3D_121: (11.51e6, 295.5e9),
    VolumeEncoderName.DENSENET3D_121_MONAI: (11.51e6, 146.7e9),
}


@pytest.mark.parametrize("name", SLICE_COSTS)
def test_slice_encoders_cost_what_is_known(name: EncoderName) -> None:
    stem_channels, parameters, flops = SLICE_COSTS[name]
    with torch.device("meta"):
        net = SurvivalNet(NetworkConfig.model_validate({"encoder": name, "stem_channels": stem_channels})).eval()
        found = count_flops(net.encoder, torch.empty(1, 1, 224, 224))
    assert count_parameters(net.encoder, net.embed) == pytest.approx(parameters, rel=0.01)
    assert found == pytest.approx(flops, rel=0.01)


@pytest.mark.parametrize("name", VOLUME_COSTS)
def test_volume_encoders_cost_what_is_known(name: VolumeEncoderName) -> None:
    parameters, flops = VOLUME_COSTS[name]
    with torch.device("meta"):
        net = VolumetricNet(VolumetricConfig(encoder=name)).eval()
        found = count_flops(net.encoder, torch.empty(1, 1, 72, 224, 224))
    assert count_parameters(net.encoder, net.embed) == pytest.approx(parameters, rel=0.01)
    assert found == pytest.approx(flops, rel=0.01)


@pytest.mark.parametrize(("freezing", "expected"), [("trunk", 327_936), ("trunk_but_stem", 328_224)])
def test_the_papers_encoder_trains_as_many_parameters_as_published(freezing: str, expected: int) -> None:
    with torch.device("meta"):
        net = SurvivalNet(NetworkConfig.model_validate({"freezing": freezing}))
    assert count_parameters(net.encoder, net.embed, trainable=True) == expected
    assert count_parameters(net.encoder, net.embed) == 4_334_908


def test_72_slices_cost_what_the_paper_says() -> None:
    with torch.device("meta"):
        encoder = Encoder(TRUNKS[EncoderName.EFFICIENTNET_B0], stem_channels=1).eval()
        assert count_flops(encoder, torch.empty(72, 1, 224, 224)) == pytest.approx(54.3e9, rel=0.01)


def test_a_multiply_add_counts_as_two() -> None:
    assert count_flops(nn.Linear(10, 7), torch.zeros(3, 10)) == 2 * 3 * 10 * 7


def test_attention_is_counted() -> None:
    attention, tokens = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.zeros(1, 5, 8)
    projections, weights_and_sums = 4 * 2 * 5 * 8 * 8, 2 * 2 * 5 * 5 * 8
    assert count_flops(attention, tokens, tokens, tokens) == projections + weights_and_sums
    assert torch.backends.mha.get_fastpath_enabled()
