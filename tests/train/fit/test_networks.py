"""What a fit begins with: the seed's network, a shared encoder, or a model that was trained before."""

from pathlib import Path

import numpy as np
import pytest
import torch

from survnode.model.checkpoint import DEMO, load_checkpoint
from survnode.model.net.encoders import Freezing
from survnode.model.net.network import NetworkConfig
from survnode.model.net.trunks import EncoderName
from survnode.train.errors import InitialModelRefused
from survnode.train.fit.features import encoder_of
from survnode.train.fit.networks import initial, new_net, start_from, start_weights
from survnode.train.recipe import StartWeights

LITE0 = NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0)


def test_frozen_encoder_is_shared_and_one_that_trains_is_not() -> None:
    training = LITE0.model_copy(update={"freezing": Freezing.NONE})
    assert new_net(LITE0, 0).encoder is new_net(LITE0, 1).encoder is encoder_of(LITE0)[0]
    first, second = new_net(training, 0), new_net(training, 1)
    assert first.encoder is not second.encoder
    pretrained = encoder_of(LITE0)[0].state_dict()
    own = first.encoder.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in pretrained.items())


def test_head_is_that_of_the_seed() -> None:
    first, again, other = (new_net(LITE0, seed).embed.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_fold_starts_from_the_member_of_its_number() -> None:
    demonstration = load_checkpoint(DEMO)
    for number, member in ((0, 0), (4, 4), (7, 2)):  # five members: fold 7 takes the third
        net = new_net(NetworkConfig.model_validate(demonstration.card.network), 0)
        start_from(net, demonstration, number)
        expected = demonstration.members[member]["embed.weight"].astype(np.float32)
        assert np.array_equal(net.embed.weight.detach().numpy(), expected)


def test_model_of_another_encoder_is_no_start() -> None:
    net = new_net(LITE0.model_copy(update={"stem_channels": 3}), 0)
    with pytest.raises(InitialModelRefused, match="stem_channels 1"):
        start_from(net, load_checkpoint(DEMO), 0)


def test_fold_of_a_run_comes_before_its_ensemble(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "folds" / "1"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("model.json", "model.safetensors"):
            (folder / name).symlink_to(DEMO / name)
    (tmp_path / "model.json").unlink()  # the ensemble could not be read
    assert initial(tmp_path, 1).card.name == "survnode demonstration"
    assert initial(DEMO, 1).card.name == "survnode demonstration"


def test_linear_layers_behind_the_encoder_may_start_from_xavier() -> None:
    net, plain = new_net(LITE0, 0), new_net(LITE0, 0)
    start_weights(net, StartWeights.PYTORCH)
    assert torch.equal(net.embed.weight, plain.embed.weight)
    start_weights(net, StartWeights.XAVIER)
    limit = np.sqrt(6 / (1280 + 256))
    assert limit * 0.99 < net.embed.weight.abs().max().item() <= limit
    assert not net.head.bins.bias.any()
    assert net.encoder is plain.encoder
