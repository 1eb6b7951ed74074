import pytest
import torch
from pydantic import ValidationError
from torch import nn

from survnode.model.net.deephit import DeepHit, DeepHitConfig


def test_layers_have_the_papers_sizes() -> None:
    layers = [layer for layer in DeepHit(256, 24, DeepHitConfig()).modules() if isinstance(layer, nn.Linear)]
    assert [(layer.out_features, layer.in_features) for layer in layers] == [
        (100, 256),
        (100, 100),
        (100, 356),
        (100, 100),
        (25, 100),
    ]


def test_the_cause_specific_stack_sees_the_input_past_the_shared_one() -> None:
    torch.manual_seed(0)
    net = DeepHit(8, 24, DeepHitConfig()).eval()
    with torch.no_grad():
        for parameter in net.shared.parameters():
            parameter.zero_()
    a, b = net(torch.randn(2, 8))
    assert not torch.allclose(a, b)


def test_logits_of_a_hand_worked_head() -> None:
    net = DeepHit(1, 1, DeepHitConfig(shared=(1,), cause_specific=(1,), dropout=0))
    values = {
        "shared.0": ([[2.0]], [-1.0]),
        "cause_specific.0": ([[1.0, 3.0]], [0.5]),
        "bins": ([[1.0], [-1.0]], [0.0, 2.0]),
    }
    net.load_state_dict(
        {
            f"{name}.{part}": torch.tensor(value)
            for name, pair in values.items()
            for part, value in zip(("weight", "bias"), pair, strict=True)
        }
    )
    # Of 2: latent relu(2 * 2 - 1) = 3, then relu(2 + 3 * 3 + 0.5) = 11.5.
    # Of -1: latent relu(2 * -1 - 1) = 0, then relu(-1 + 0.5) = 0.
    assert net(torch.tensor([[2.0], [-1.0]])).tolist() == [[11.5, -9.5], [0.0, 2.0]]


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    net, patients = DeepHit(8, 24, DeepHitConfig()), torch.randn(4, 8)
    assert not torch.equal(net.train()(patients), net(patients))
    assert torch.equal(net.eval()(patients), net(patients))


def test_a_head_without_hidden_layers_is_linear_in_its_input() -> None:
    net = DeepHit(8, 24, DeepHitConfig(shared=(), cause_specific=()))
    assert net.bins.in_features == 16
    assert net(torch.zeros(3, 8)).shape == (3, 25)


@pytest.mark.parametrize("wrong", [{"dropout": 1.0}, {"dropout": -0.1}, {"layers": 3}])
def test_wrong_configuration_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DeepHitConfig.model_validate(wrong)
