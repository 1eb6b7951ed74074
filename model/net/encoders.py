"""Slice encoders: windowed CT slices (N, C, 224, 224) -> pooled features (N, F).

An `Encoder` is a published image network without its classifier (the trunk), the statistics with which its weights
were trained, and the rule which of its layers train. The layer from F to the slice embedding belongs to the network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import timm
import torch
import torchvision
from torch import Tensor, nn

from survnode.model import errors
from survnode.model.weights import WeightsName, find_weights, read_weights, sha256_of

State = dict[str, Tensor]


class EncoderName(StrEnum):
    """An image network that can encode slices."""

    EFFICIENTNET_B0 = "efficientnet_b0"
    EFFICIENTNET_LITE0 = "efficientnet_lite0"


class Freezing(StrEnum):
    """Which layers of the trunk train; the embedding behind it always does.

    Half: the layers that hold a weight of two or more dimensions (convolutions, linear and attention layers) are
    counted in the order in which an image passes them. The first half of them, rounded down, is frozen, together with
    all that comes before the first trained one: norms, tokens, positions.
    """

    TRUNK = "trunk"  # nothing of the trunk: the paper's "all layers but the last"
    TRUNK_BUT_STEM = "trunk_but_stem"  # as released: the stem trains, and BatchNorm stays in train mode
    HALF = "half"
    NONE = "none"


@dataclass(frozen=True)
class TrunkSpec:
    """How a trunk is made and where its weights come from.

    Parameters
    ----------
    build : the trunk with random weights: RGB (N, 3, 224, 224) -> (N, F)
    features : F
    adapt : the published tensors -> the trunk's, by name
    mean, std : statistics of the RGB images in [0, 1] with which the weights were trained
    """

    build: Callable[[], nn.Module]
    features: int
    weights: WeightsName
    adapt: Callable[[State, nn.Module], State]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Encoder(nn.Module):
    """A trunk on one-channel slices in [0, 1].

    Parameters
    ----------
    stem_channels : 3 repeats the slice to RGB; 1 sums the first convolution's kernels over RGB
    freezing : which layers train; what is frozen stays in eval mode whatever ``train()`` says
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: EncoderName, stem_channels: int = 3, freezing: Freezing = Freezing.TRUNK) -> None:
        super().__init__()
        spec = TRUNKS[name]
        self.name, self.spec, self.features, self.stem_channels = name, spec, spec.features, stem_channels
        mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
        if stem_channels == 1:
            mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
        self.register_buffer("mean", mean.view(-1, 1, 1), persistent=False)  # (C, 1, 1)
        self.register_buffer("std", std.view(-1, 1, 1), persistent=False)
        self.trunk = spec.build()
        if stem_channels == 1:
            _, stem = _stem(self.trunk)
            stem.weight = nn.Parameter(
                stem.weight.detach().sum(dim=1, keepdim=True)
            )  # (out, 3, k, k) -> (out, 1, k, k)
            stem.in_channels = 1
        self.trunk = self.trunk.to(memory_format=torch.channels_last)
        self._held = _freeze(self.trunk, freezing)
        self.train(self.training)

    def forward(self, slices: Tensor) -> Tensor:
        """Features (N, F) of slices (N, 1, H, W) in [0, 1]."""
        features: Tensor = self.trunk(self.normalise(slices).contiguous(memory_format=torch.channels_last))
        return features

    def normalise(self, slices: Tensor) -> Tensor:
        """Slices (N, 1, H, W) in [0, 1] -> what the trunk was trained on, (N, C, H, W)."""
        return (slices - self.mean) / self.std  # (N, 1, H, W) - (C, 1, 1) -> (N, C, H, W)

    def train(self, mode: bool = True) -> "Encoder":
        """Set the mode of whatever is not frozen."""
        super().train(mode)
        for module in self._held:
            module.training = False
        return self

    def frozen_names(self) -> frozenset[str]:
        """The names of the parameters and buffers that training leaves as the pretrained weights had them."""
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
            See `survnode.model.weights.find_weights`; also if the file's tensors do not fit.
        """
        path = find_weights(self.spec.weights, file)
        sha256 = sha256_of(path)
        state = self.spec.adapt(read_weights(path), self.trunk)
        stem, _ = _stem(self.trunk)
        if self.stem_channels == 1:
            state[f"{stem}.weight"] = state[f"{stem}.weight"].sum(dim=1, keepdim=True)
        try:
            self.trunk.load_state_dict(state)
        except RuntimeError as error:
            raise errors.WeightsChanged(self.spec.weights, path, "the tensors of this network", sha256) from error
        return sha256


def _stem(trunk: nn.Module) -> tuple[str, nn.Conv2d]:
    """Name and module of the convolution that sees the image."""
    return next((name, module) for name, module in trunk.named_modules() if isinstance(module, nn.Conv2d))


def _is_layer(module: nn.Module) -> bool:
    weight = getattr(module, "weight", getattr(module, "in_proj_weight", None))
    return isinstance(weight, nn.Parameter) and weight.ndim >= 2


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
            first = layers[len(layers) // 2]
            before = modules[: modules.index(first)]
            for module in before:
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(False)
            return [module for module in before if first not in set(module.modules())]


def _without(*heads: str) -> Callable[[State, nn.Module], State]:
    """Published tensors without those of the classifier."""
    return lambda state, _: {name: tensor for name, tensor in state.items() if not name.startswith(heads)}


def _in_order(state: State, trunk: nn.Module) -> State:
    """The same network under other names: tensors taken one by one in order, shapes checked by the caller's load."""
    return dict(zip(trunk.state_dict(), state.values(), strict=False))  # the classifier's two tensors come last


def _efficientnet_b0() -> nn.Module:
    trunk = torchvision.models.efficientnet_b0()
    trunk.classifier = nn.Identity()
    return trunk  # type: ignore[no-any-return]


def _efficientnet_lite0() -> nn.Module:
    return timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)


TRUNKS: dict[EncoderName, TrunkSpec] = {
    EncoderName.EFFICIENTNET_B0: TrunkSpec(
        _efficientnet_b0, 1280, WeightsName.EFFICIENTNET_B0, _without("classifier.")
    ),
    # TensorFlow's Lite networks were trained on pixels scaled to [-1, 1].
    EncoderName.EFFICIENTNET_LITE0: TrunkSpec(
        _efficientnet_lite0, 1280, WeightsName.EFFICIENTNET_LITE0, _in_order, (0.5,) * 3, (0.5,) * 3
    ),
}
