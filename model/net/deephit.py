"""DeepHit for one event (Lee et al., AAAI 2018): a patient's vector -> logits over the months and the survivor bin."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class DeepHitConfig(BaseModel):
    """Sizes of the hidden layers; the paper's own are not known, these are DeepHit's usual ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shared: tuple[int, ...] = (100, 100)
    cause_specific: tuple[int, ...] = (100, 100)
    dropout: float = Field(default=0.3, ge=0, lt=1)


class DeepHit(nn.Module):
    """A shared stack, a cause-specific stack that also sees the input, and one softmax over all K + 1 bins.

    Parameters
    ----------
    width : E, size of the input vector
    n_bins : K; one more logit is for those alive at the horizon
    """

    def __init__(self, width: int, n_bins: int, config: DeepHitConfig) -> None:
        super().__init__()
        latent = config.shared[-1] if config.shared else width
        last = config.cause_specific[-1] if config.cause_specific else width + latent
        self.shared = fully_connected([width, *config.shared], config.dropout)
        self.cause_specific = fully_connected([width + latent, *config.cause_specific], config.dropout)
        self.bins = nn.Linear(last, self.outputs(n_bins))

    def forward(self, patients: Tensor) -> Tensor:
        """Outputs (B, `outputs`) of vectors (B, E): what the loss is computed from."""
        latent = self.shared(patients)  # (B, 100)
        residual = torch.cat([patients, latent], dim=1)  # (B, E + 100)
        outputs: Tensor = self.bins(self.cause_specific(residual))
        return outputs

    @staticmethod
    def outputs(n_bins: int) -> int:
        """How many numbers it puts out for K bins."""
        return n_bins + 1

    def logits(self, outputs: Tensor) -> Tensor:
        """Logits (B, K + 1) of what `forward` put out; their softmax is the probability mass."""
        return outputs


def fully_connected(sizes: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear, ReLU and dropout from each size to the next."""
    layers: list[nn.Module] = []
    for size, following in pairwise(sizes):
        layers += [nn.Linear(size, following), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
