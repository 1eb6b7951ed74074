import hashlib
import json
import math

import pytest
import torch
from torch import Tensor

from survnode.model.net.medvit import MedViT, TransformerBlock


def test_names_and_shapes_are_those_of_the_published_weights() -> None:
    with torch.device("meta"):
        state = MedViT(classes=1000).state_dict()
    shapes = json.dumps({name: list(tensor.shape) for name, tensor in state.items()}, sort_keys=True)
    assert len(state) == 832
    # Of the published file's names and shapes, written the same way.
    assert (
        hashlib.sha256(shapes.encode()).hexdigest()
        == "8b3b91838d3b5955b00ffd9602327f51e1d84f5ac60411a9d07272316e79b2a6"
    )


def test_parameters_are_as_many_as_published() -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in MedViT(classes=1000).parameters()) == 32_161_440


def test_logits_equal_those_of_an_independent_implementation() -> None:
    """In float64, for weights and an image that a formula gives."""
    net = MedViT(classes=1000)
    net.load_state_dict(
        {name: formula(i, name, tensor) for i, (name, tensor) in enumerate(sorted(net.state_dict().items()))}
    )
    image = torch.sin(0.01 * torch.arange(3 * 224 * 224, dtype=torch.float64)).float().view(1, 3, 224, 224)
    with torch.no_grad():
        logits = net.double().eval()(image.double())[0]
    first = [
        1.3745413755,
        11.5790852556,
        -8.7477003525,
        -6.3057767506,
        12.4525813760,
        -1.7312621584,
        -11.5927416628,
        8.8145509346,
    ]
    assert logits[:8].tolist() == pytest.approx(first, abs=1e-6)
    assert logits.mean().item() == pytest.approx(0.0131037633, abs=1e-6)
    assert logits.std().item() == pytest.approx(9.0398288990, abs=1e-6)


def test_blocks_are_dropped_in_training_only() -> None:
    torch.manual_seed(0)
    block, image = TransformerBlock(768, 1024, reduction=1, drop_path=0.5), torch.randn(8, 768, 7, 7)
    with torch.no_grad():
        assert torch.equal(block.eval()(image), block(image))
        assert not torch.equal(block.train()(image), block(image))


def formula(i: int, name: str, tensor: Tensor) -> Tensor:
    """The i-th tensor of the oracle, by the kind that its name and shape say."""
    if not tensor.is_floating_point():
        return tensor
    wave = torch.cos(0.37 * torch.arange(tensor.numel(), dtype=torch.float64) + i).view_as(tensor)
    if name.endswith("running_var"):
        return (1 + 0.5 * wave.abs()).float()
    if tensor.ndim > 1:
        return (wave * math.sqrt(1.5 / tensor[0].numel())).float()
    if name.endswith("weight"):
        return (1 + 0.1 * wave).float()
    return (0.1 * wave).float()
