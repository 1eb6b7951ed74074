"""Networks to begin with: with a pretrained encoder, or from a model that was trained before."""

from pathlib import Path

import torch
from torch import nn

from survnode.model.checkpoint import Checkpoint, load_checkpoint
from survnode.model.net.heads import HeadName
from survnode.model.net.network import SurvivalNet
from survnode.model.net.volumetric import VolumetricConfig, VolumetricNet
from survnode.train.errors import InitialModelRefused
from survnode.train.fit.features import Network, encoder_of
from survnode.train.fit.inputs import Net
from survnode.train.recipe import Recipe, StartWeights


def new_net(network: Network, seed: int) -> Net:
    """An untrained network with a pretrained encoder; a frozen encoder is shared by all networks of the process."""
    frozen = Recipe(network=network).frozen
    torch.manual_seed(seed)
    if isinstance(network, VolumetricConfig):
        net: Net = VolumetricNet(network)
        if frozen:
            net.encoder = encoder_of(network)[0]
    else:
        net = SurvivalNet(network, encoder_of(network)[0] if frozen else None)
    if not frozen and net.encoder.spec.weights is not None:
        net.encoder.load_pretrained()
    return net


def start_weights(net: Net, start: StartWeights) -> None:
    """Give the linear layers behind the encoder the weights that they start from."""
    if start is StartWeights.PYTORCH:
        return
    own = set(net.encoder.modules())
    for layer in (module for module in net.modules() if isinstance(module, nn.Linear) and module not in own):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def initial(init: Path, number: int) -> Checkpoint:
    """The checkpoint that fold ``number`` starts from: that of the same fold of a run, or the one at ``init``."""
    of_fold = init / "folds" / str(number)
    return load_checkpoint(of_fold if of_fold.is_dir() else init)


def start_from(net: Net, checkpoint: Checkpoint, number: int) -> None:
    """Take over a checkpoint's weights, of an ensemble those of the member with the fold's number.

    Raises
    ------
    InitialModelRefused, CheckpointRefused
        It is another network.
    """
    own = net.config.model_dump(mode="json")
    earlier = {"head": HeadName.DEEPHIT, "beside": None}  # models of earlier versions do not name them
    given = {**earlier, **checkpoint.card.network}
    names = ("encoder", "stem_channels", "head", *(["beside"] if "beside" in own else []))
    differing = [name for name in names if own[name] != given.get(name)]
    if differing:
        theirs = ", ".join(f"{name} {given.get(name)}" for name in differing)
        raise InitialModelRefused(f"The model to start from has {theirs}; the one to train has not.")
    member = checkpoint.members[number % len(checkpoint.members)]
    net.load_trained_state({name: torch.from_numpy(tensor) for name, tensor in member.items()})
