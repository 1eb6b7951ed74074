"""What is known of a patient beside the image, on its way to the head.

Values are imputed with the training patients' median and scaled by their mean and deviation, which stand in the
network's own weights: each fold, and each member of an ensemble, has its own. Whether a value was
missing is an input too.
"""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

# Further off, a value says nothing more: one slip of a decimal point must not outweigh the image.
LARGEST_DEVIATION = 5.0


class BesideConfig(BaseModel):
    """Everything that shapes a `Beside`.

    Parameters
    ----------
    columns : names of the C columns, see `survnode.model.covariates`
    width : of the vector that is joined to the image's
    dropout : probability with which a column is left out in training
    absent : share of the training patients who lose the whole table at each step, so that one model serves with and
        without it
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...] = Field(min_length=1)
    width: int = Field(default=32, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    absent: float = Field(default=0.3, ge=0, lt=1)


class Beside(nn.Module):
    """Values (B, C), NaN where missing -> a vector (B, `width`)."""

    median: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: BesideConfig) -> None:
        super().__init__()
        count = len(config.columns)
        self.config = config
        self.register_buffer("median", torch.zeros(count))
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.dropout = nn.Dropout(config.dropout)
        self.embed = nn.Linear(2 * count, config.width)

    def forward(self, values: Tensor) -> Tensor:
        """See the class; in training some patients lose all of their values by chance."""
        if self.training and self.config.absent:
            lost = torch.rand(len(values), 1, device=values.device) < self.config.absent
            values = values.masked_fill(lost, torch.nan)
        missing = values.isnan()
        filled = torch.where(missing, self.median, values)
        scaled = ((filled - self.mean) / self.deviation).clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION)
        vector: Tensor = self.embed(torch.cat([self.dropout(scaled), missing.float()], dim=1)).relu()  # (B, 2 C)
        return vector

    def none_of(self, patients: int) -> Tensor:
        """The values (B, C) of patients of whom nothing is known."""
        return torch.full((patients, len(self.config.columns)), torch.nan, device=self.median.device)

    @torch.no_grad()
    def learn_scale(self, values: Tensor) -> None:
        """Take median, mean and deviation from the training patients' values (B, C)."""
        known = (~values.isnan()).sum(dim=0).clamp(min=1)
        median = values.nanmedian(dim=0).values.nan_to_num(0.0)
        filled = torch.where(values.isnan(), median, values).double()
        mean = filled.mean(dim=0)
        deviation = (filled - mean).square().mean(dim=0).sqrt()
        self.median.copy_(median)
        self.mean.copy_(mean)
        # What is the same in all of them, or never known, says nothing; one as its deviation keeps it finite.
        self.deviation.copy_(torch.where((deviation > 0) & (known > 1), deviation, torch.ones_like(deviation)))
