"""The encoder: windowed CT in [0, 1] -> pooled features, (N, 1, H, W) -> (N, F) or (N, 1, D, H, W) -> (N, F).

An `Encoder` is a published network without its classifier (the trunk, see `trunks`), the statistics with which its
weights were trained, and the rule which of its layers train. The layer from F to the embedding belongs to the network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor, nn

from survnode.model import errors
from survnode.model.weights import WeightsName, find_weights, read_weights, sha256_of

State = dict[str, Tensor]


class Freezing(StrEnum):
    """Which layers of the trunk train; the embedding behind it always does.

    Half: the layers that hold a weight of two or more dimensions (convolutions, linear and attention layers) are
    counted in the order in which an image passes them. The first half of them, rounded down, is frozen, together with
    all else that comes before the first trained one: norms, tokens, positions, dropout.
    """

    TRUNK = "trunk"  # nothing of the trunk: the paper's "all layers except the last one"
    TRUNK_BUT_STEM = "trunk_but_stem"  # as released: the stem trains, and BatchNorm stays in train mode
    HALF = "half"
    NONE = "none"


@dataclass(frozen=True)
class TrunkSpec:
    """How a trunk is made and where its weights come from.

    Parameters
    ----------
    build : the trunk with random weights: three channels (N, 3, ...) -> (N, F)
    features : F
    weights : None where nobody publishes any
    adapt : the published tensors -> the trunk's, by name
    mean, std : statistics of the images in [0, 1], R, G and B, with which the weights were trained
    """

    build: Callable[[], nn.Module]
    features: int
    weights: WeightsName | None
    adapt: Callable[[State, nn.Module], State]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


def headless(network: nn.Module, classifier: str) -> nn.Module:
    """``network`` with nothing in the place of its ``classifier``, a dotted name."""
    network.set_submodule(classifier, nn.Identity())
    return network


def without(*classifier: str) -> Callable[[State, nn.Module], State]:
    """Published tensors less those whose names begin with ``classifier``: an ``adapt`` of `TrunkSpec`."""
    return lambda state, _: {name: tensor for name, tensor in state.items() if not name.startswith(classifier)}


class Encoder(nn.Module):
    """A trunk on one-channel slices, or on one-channel volumes, in [0, 1].

    Parameters
    ----------
    stem_channels : 3 repeats the slice to RGB; 1 sums the first convolution's kernels over RGB, and the image is
        normalised with the mean of the three channels' statistics
    freezing : which layers train; what is frozen stays in eval mode whatever ``train()`` says
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: TrunkSpec, stem_channels: int = 3, freezing: Freezing = Freezing.TRUNK) -> None:
        super().__init__()
        self.spec, self.features, self.stem_channels = spec, spec.features, stem_channels
        self.trunk = spec.build()
        stem = _stem(self.trunk)[1]
        mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
        if stem_channels == 1:
            stem.weight = nn.Parameter(_sum_channels(stem.weight.detach()))
            stem.in_channels = 1
            mean, std = mean.mean(dim=0, keepdim=True), std.mean(dim=0, keepdim=True)
        axes = [1] * (stem.weight.ndim - 2)
        self.register_buffer("mean", mean.view(-1, *axes), persistent=False)  # (C, 1, 1) or (C, 1, 1, 1)
        self.register_buffer("std", std.view(-1, *axes), persistent=False)
        # Measured on one CPU thread, Lite0, batch 8: 28.5 instead of 37.0 ms a slice; in bfloat16 11.9 instead of 20.7.
        self._format = torch.channels_last if isinstance(stem, nn.Conv2d) else torch.contiguous_format
        self.trunk = self.trunk.to(memory_format=self._format)
        self._held = _freeze(self.trunk, freezing)
        self.train(self.training)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, F) of images (N, 1, H, W), or volumes (N, 1, D, H, W), in [0, 1]."""
        features: Tensor = self.trunk(self.normalise(images).contiguous(memory_format=self._format))
        return features

    def normalise(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> what the trunk was trained on, (N, 1, ...) -> (N, C, ...)."""
        return (images - self.mean) / self.std  # (N, 1, H, W) - (C, 1, 1) -> (N, C, H, W)

    def train(self, mode: bool = True) -> "Encoder":
        """Set the mode of whatever is not frozen."""
        super().train(mode)
        for module in self._held:
            module.training = False
        return self

    def frozen_names(self) -> frozenset[str]:
        """The names of the tensors that are the published weights' own, now and after any training."""
        if self.spec.weights is None:
            return frozenset()
        held = {id(module) for module in self._held}
        parameters = {name for name, parameter in self.named_parameters() if not parameter.requires_grad}
        buffers = {
            f"{prefix}.{name}"
            for prefix, module in self.named_modules()
            if id(module) in held
            for name, _ in module.named_buffers(recurse=False)
        }
        return frozenset(parameters | buffers)

    def load_pretrained(self, file: Path | None = None) -> str:
        """Load the published weights into the trunk; returns the sha256 of their file.

        Raises
        ------
        WeightsMissing, WeightsChanged
            See `survnode.model.weights.find_weights`; changed also means that the tensors are not this network's.
        ValueError
            Nobody publishes weights for this trunk.
        """
        if self.spec.weights is None:
            msg = "there are no published weights for this trunk"
            raise ValueError(msg)
        path = find_weights(self.spec.weights, file)
        sha256 = sha256_of(path)
        state = self.spec.adapt(read_weights(path), self.trunk)
        stem = f"{_stem(self.trunk)[0]}.weight"
        if self.stem_channels == 1 and stem in state:
            state[stem] = _sum_channels(state[stem])
        try:
            self.trunk.load_state_dict(state)
        except RuntimeError as error:
            raise errors.WeightsChanged(self.spec.weights, path, "one with this network's tensors", sha256) from error
        return sha256


class PartlyTrained(nn.Module):
    """A network whose encoder may be frozen: only what was trained is worth keeping."""

    encoder: Encoder

    def trained_state(self) -> State:
        """What training made, by name, on the CPU: all but the tensors that are the published weights' own."""
        frozen = {f"encoder.{name}" for name in self.encoder.frozen_names()}
        state = self.state_dict()
        return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items() if name not in frozen}

    def load_trained_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over a `trained_state`.

        Raises
        ------
        CheckpointRefused
            Its names or shapes are not those of this network.
        """
        own = {name: tuple(tensor.shape) for name, tensor in self.trained_state().items()}
        given = {name: tuple(tensor.shape) for name, tensor in state.items()}
        wrong = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        if wrong:
            name = wrong[0]
            msg = (
                f"{len(wrong)} tensors do not fit the network: expected {name} {own.get(name)}, got {given.get(name)}."
            )
            raise errors.CheckpointRefused(msg)
        self.load_state_dict(state, strict=False)


def _stem(trunk: nn.Module) -> tuple[str, nn.Conv2d | nn.Conv3d]:
    """Name and module of the convolution that sees the image."""
    return next((name, module) for name, module in trunk.named_modules() if isinstance(module, (nn.Conv2d, nn.Conv3d)))


def _sum_channels(kernels: Tensor) -> Tensor:
    return kernels.sum(dim=1, keepdim=True)  # (out, 3, ...) -> (out, 1, ...)


def _freeze(trunk: nn.Module, freezing: Freezing) -> list[nn.Module]:
    """Stop the gradients of what ``freezing`` names; returns the modules that must stay in eval mode."""
    modules = list(trunk.modules())  # parents before children, in the order of the forward pass
    match freezing:
        case Freezing.NONE:
            return []
        case Freezing.TRUNK:
            trunk.requires_grad_(False)
            return modules
        case Freezing.TRUNK_BUT_STEM:
            trunk.requires_grad_(False)
            _stem(trunk)[1].requires_grad_(True)
            return []
        case Freezing.HALF:
            layers = [module for module in modules if _is_layer(module)]
            first_trained = layers[len(layers) // 2]
            frozen = modules[: modules.index(first_trained)]
            for parameter in (parameter for module in frozen for parameter in module.parameters(recurse=False)):
                parameter.requires_grad_(False)
            return [module for module in frozen if first_trained not in set(module.modules())]


def _is_layer(module: nn.Module) -> bool:
    weight = getattr(module, "weight", getattr(module, "in_proj_weight", None))
    return isinstance(weight, nn.Parameter) and weight.ndim >= 2
