"""Question 5: what a system costs, counted without weights and without images."""

from dataclasses import dataclass
from functools import cache

import torch

from survnode.model.net.cost import count_flops, count_parameters
from survnode.model.net.network import Embedded, NetworkConfig, SurvivalNet
from survnode.model.net.volumetric import VolumetricConfig, VolumetricNet

SLICES = 72  # the mean in LUNG1
SIZE = 224  # pixels


@dataclass(frozen=True)
class Cost:
    """Parameters and floating point operations, a multiply-add counted as two.

    Parameters
    ----------
    parameters, trained : of the whole network, and of them those that train
    encoder_parameters : of the encoder with its embedding, which is what is published
    flops_per_slice : of the encoder; None where it sees the volume at once
    flops : of the whole network, at `SLICES` slices of `SIZE` x `SIZE`
    """

    parameters: int
    trained: int
    encoder_parameters: int
    flops_per_slice: int | None
    flops: int


@cache
def cost_of(network: NetworkConfig | VolumetricConfig) -> Cost:
    """What a network costs.

    Raises
    ------
    ImportError
        A package that this network needs is not installed.
    """
    # On the meta device there are shapes, but no numbers: VGG16 is counted in a second.
    with torch.device("meta"):
        if isinstance(network, NetworkConfig):
            return _cost_by_slice(SurvivalNet(network).eval())
        return _cost_of_volume(VolumetricNet(network).eval())


def _cost_by_slice(net: SurvivalNet) -> Cost:
    width, image = net.config.embedding_dim, torch.empty(1, 1, SIZE, SIZE)
    per_slice = count_flops(net.encoder, image)
    of_patient = net.config.embedded is Embedded.PATIENT
    fused, mask = net.encoder.features if of_patient else width, torch.ones(1, SLICES, dtype=torch.bool)
    behind = (
        count_flops(net.embed, torch.empty(1, 1 if of_patient else SLICES, net.encoder.features))
        + count_flops(net.fusion, torch.empty(1, SLICES, fused), mask)
        + count_flops(net.head, torch.empty(1, width))
    )
    return _cost(net, per_slice, SLICES * per_slice + behind)


def _cost_of_volume(net: VolumetricNet) -> Cost:
    volume = torch.empty(1, 1, SLICES, SIZE, SIZE)
    behind = count_flops(net.embed, torch.empty(1, net.encoder.features)) + count_flops(
        net.head, torch.empty(1, net.config.embedding_dim)
    )
    return _cost(net, None, count_flops(net.encoder, volume) + behind)


def _cost(net: SurvivalNet | VolumetricNet, per_slice: int | None, flops: int) -> Cost:
    return Cost(
        parameters=count_parameters(net),
        trained=count_parameters(net, trainable=True),
        encoder_parameters=count_parameters(net.encoder, net.embed),
        flops_per_slice=per_slice,
        flops=flops,
    )
