"""What a process will need is counted before it starts, and no more are started than memory holds."""

import pytest
import torch

from survnode.model.net.encoders import Freezing
from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import EncoderName
from survnode.train.fit.memory import (
    PROCESS_BYTES,
    bytes_for_gradients,
    free_bytes,
    process_bytes,
    processes_that_fit,
)
from survnode.train.presets import PRESETS, Preset
from survnode.train.recipe import Recipe

GIB = 1 << 30
HALF = NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0, freezing=Freezing.HALF)


def test_what_a_pass_leaves_for_its_gradients_is_what_the_network_really_keeps() -> None:
    kept: list[int] = []
    net = SurvivalNet(HALF).train()
    weights = {id(parameter) for parameter in net.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(0 if id(tensor) in weights else tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net.encoder(torch.rand(2, 1, 224, 224))
    assert bytes_for_gradients(HALF, 2) == pytest.approx(sum(kept), rel=0.05)


def test_a_half_frozen_lite0_needs_gibibytes_and_a_frozen_one_its_features() -> None:
    half = Recipe(network=HALF)
    assert 6 * GIB < process_bytes(half, 415, 72) < 10 * GIB
    frozen = PRESETS[Preset.DEMONSTRATION]
    assert process_bytes(frozen, 415, 72) == PROCESS_BYTES + 415 * 72 * 1280 * 2


@pytest.mark.parametrize(("free", "expected"), [(None, 4), (100, 4), (35, 3), (12, 1), (5, 1)])
def test_as_many_processes_as_fit_and_at_least_one(free: int | None, expected: int) -> None:
    assert processes_that_fit(4, 10, free) == expected


def test_this_machine_says_what_is_free() -> None:
    free = free_bytes()
    assert free is None or 0 <= free < 1 << 50
