"""What a network costs, against what is published of it."""

import pytest

from survnode.model.net.volumetric import VolumeEncoderName, VolumetricConfig
from survnode.train.paper.cost import cost_of
from survnode.train.paper.experiments import experiments, needed
from survnode.train.paper.published import COSTS

PAPER = experiments()
SYSTEMS = needed(PAPER.values(), PAPER["attention"].reference)


@pytest.mark.parametrize(
    "name", ["efficientnet_b0-attention", "alexnet-attention", "resnet50-attention", "vit_b_16-attention", "mst"]
)
def test_costs_are_those_that_are_known(name: str) -> None:
    network = next(system.network for system in SYSTEMS if system.name == name)
    cost, known = cost_of(network), COSTS[network.encoder]
    assert cost.encoder_parameters == pytest.approx(known.parameters, rel=0.01)
    assert cost.flops_per_slice is not None
    assert cost.flops_per_slice / 1e9 == pytest.approx(known.gflops_per_slice, rel=0.01)
    assert cost.flops / 1e9 == pytest.approx(known.gflops_at_72, rel=0.01)
    assert cost.trained < cost.parameters


def test_a_volume_has_a_cost_but_none_a_slice() -> None:
    cost = cost_of(VolumetricConfig())
    assert cost.flops_per_slice is None
    assert cost.flops / 1e9 == pytest.approx(1431, rel=0.01)


def test_halving_the_frozen_layers_changes_only_what_trains() -> None:
    whole, half = (cost_of(system.network) for system in PAPER["q1-3d"].systems[:2])
    assert whole.flops == half.flops
    assert whole.parameters == half.parameters
    assert whole.trained < half.trained


@pytest.mark.parametrize("name", ["densenet3d_121", "densenet3d_121_monai"])
def test_both_densenets_cost_what_is_known(name: str) -> None:
    cost = cost_of(VolumetricConfig(encoder=VolumeEncoderName(name)))
    assert cost.encoder_parameters == pytest.approx(COSTS[name].parameters, rel=0.001)
    assert cost.flops / 1e9 == pytest.approx(COSTS[name].gflops_at_72, rel=0.001)
