"""What a process that fits a network needs of memory, and how many of them fit: asked before they start."""

from pathlib import Path

import torch
from torch import Tensor

from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.volumetric import VolumetricNet, volume_of
from survnode.train.fit.features import Network
from survnode.train.recipe import Recipe

PROCESS_BYTES = 1 << 30  # of an interpreter with torch, timm and a network's weights: 0.6 to 0.9 GiB were seen
FEATURE_BYTES = 2
# Beside what is kept for the gradients: the gradients themselves, and images. Measured on Lite0, half of it frozen, 24
# slices: 0.40 GiB are counted, 0.42 GiB were taken by the forward pass, 0.54 GiB by the backward one.
TEMPORARY = 1.4
SIZE = 224

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def process_bytes(recipe: Recipe, patients: int, slices: int) -> int:
    """What one process needs to fit a recipe on ``patients`` of at most ``slices`` slices each.

    With a frozen encoder the features of everybody; otherwise what a batch of slices leaves behind for its gradients.
    """
    network = recipe.network
    if recipe.frozen:
        views = 1 + (recipe.augmentation.views if recipe.augmentation.probability else 0)
        width = _on_meta(network).encoder.features
        return PROCESS_BYTES + patients * views * slices * width * FEATURE_BYTES
    return PROCESS_BYTES + int(TEMPORARY * recipe.fitting.batch * bytes_for_gradients(network, slices))


def bytes_for_gradients(network: Network, slices: int) -> int:
    """What one patient's slices of 224 x 224 leave behind in a forward pass of training, counted without any number."""
    net = _on_meta(network).train()
    seen = 1 if isinstance(network, NetworkConfig) else slices
    images = torch.empty(seen, 1, SIZE, SIZE, device="meta")
    weights = {id(parameter) for parameter in net.parameters()}
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        if id(tensor) not in weights:
            kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net.encoder(images if isinstance(net, SurvivalNet) else volume_of(images))
    return kept * (slices // seen)


def free_bytes() -> int | None:
    """What new processes may take: of the machine, and of the container around this one; None where nobody says."""
    limits = [value for value in (_free_of_machine(), _free_of_container()) if value is not None]
    return min(limits, default=None)


def processes_that_fit(wanted: int, bytes_each: int, free: int | None) -> int:
    """As many of the processes that are wanted as memory holds, and at least one."""
    return wanted if free is None else max(1, min(wanted, free // bytes_each))


def _on_meta(network: Network) -> SurvivalNet | VolumetricNet:
    with torch.device("meta"):
        return SurvivalNet(network) if isinstance(network, NetworkConfig) else VolumetricNet(network)


def _free_of_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _free_of_container() -> int | None:
    try:
        limit, used = ((_CGROUP / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):  # no limit: "max"
        return None
