"""What a network costs: parameters and floating point operations."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(*modules: nn.Module, trainable: bool = False) -> int:
    """The number of parameters, or of those that train."""
    parameters = (parameter for module in modules for parameter in module.parameters())
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad or not trainable)


def count_flops(module: nn.Module, *inputs: Tensor) -> int:
    """Floating point operations of one forward pass, a multiply-add counted as two, attention included.

    Neither weights nor images are needed: build the module and its inputs under ``torch.device("meta")``.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    # The counter does not see into fused attention.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            module(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return int(counter.get_total_flops())
