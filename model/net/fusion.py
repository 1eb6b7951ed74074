"""One vector of a patient from the embeddings of the slices.

Every fusion takes embeddings (B, S, E) and a mask (B, S), True at real slices, and gives the patients' vectors (B, E)
and the attention (B, S): it sums to 1 over a patient's real slices and is exactly 0 on padding. None of them knows the
order of the slices: permuting the slices permutes the attention and leaves the vector as it is.
"""

from enum import StrEnum

import torch
from torch import Tensor, nn

HEAD_DIM = 32  # of the class token's attention heads


class Fusion(StrEnum):
    """How slices become one vector."""

    ATTENTION = "attention"  # the paper's: one linear layer scores each slice
    ATTENTION_MLP = "attention_mlp"  # the same with a hidden layer
    MEAN = "mean"
    CLASS_TOKEN = "class_token"  # noqa: S105  self-attention with a token that gathers the volume


class SoftAttention(nn.Module):
    """a_j = softmax_j(score(h_j)) over the real slices; the patient is sum_j a_j h_j.

    Parameters
    ----------
    width : E
    hidden : units of the score's hidden layer; 0 for the paper's single linear layer
    """

    def __init__(self, width: int, hidden: int = 0) -> None:
        super().__init__()
        if hidden:
            self.score: nn.Module = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        else:
            self.score = nn.Linear(width, 1)

    def forward(self, embedded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Patients (B, E) and attention (B, S)."""
        scores = self.score(embedded).squeeze(-1).float()  # (B, S, 1) -> (B, S)
        attention = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)  # (B, S), 0 on padding
        return weighted_sum(embedded, attention), attention


class MeanFusion(nn.Module):
    """The mean over the real slices."""

    def forward(self, embedded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Patients (B, E) and attention (B, S), which is 1 / R at each of R real slices."""
        attention = mask / mask.sum(dim=1, keepdim=True)  # (B, S)
        return weighted_sum(embedded, attention), attention


class ClassTokenFusion(nn.Module):
    """Self-attention among the slices and a class token, which becomes the patient.

    One pre-norm transformer block without positions. The attention that it reports is the class token's on the slices,
    averaged over the heads, without the token's share on itself.

    Parameters
    ----------
    width : E, a multiple of 32
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(width) * 0.02)
        self.norm1 = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, width // HEAD_DIM, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, embedded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Patients (B, E) and attention (B, S)."""
        token = self.token.expand(len(embedded), 1, -1)  # (B, 1, E)
        tokens = torch.cat([token, embedded], dim=1)  # (B, 1 + S, E)
        keys = self.norm1(tokens)
        ignored = nn.functional.pad(~mask, (1, 0))  # (B, 1 + S), the token itself is never ignored
        # With a single block only the class token's own row is needed: the others would be thrown away.
        gathered, weights = self.attend(keys[:, :1], keys, keys, key_padding_mask=ignored)  # (B, 1, E), (B, 1, 1 + S)
        token = token + gathered
        token = token + self.mlp(self.norm2(token))
        on_slices = weights[:, 0, 1:].float()  # (B, S)
        attention = on_slices / on_slices.sum(dim=1, keepdim=True)
        return self.norm(token).squeeze(1), attention  # (B, 1, E) -> (B, E)


def weighted_sum(embedded: Tensor, attention: Tensor) -> Tensor:
    """sum_j a_j h_j: (B, S, E) and (B, S) -> (B, E)."""
    fused: Tensor = (attention.to(embedded.dtype).unsqueeze(1) @ embedded).squeeze(1)  # (B, 1, S) @ (B, S, E) -> (B, E)
    return fused


def build_fusion(fusion: Fusion, width: int) -> nn.Module:
    """The fusion of that name for embeddings of ``width`` E."""
    match fusion:
        case Fusion.ATTENTION:
            return SoftAttention(width)
        case Fusion.ATTENTION_MLP:
            return SoftAttention(width, hidden=width // 2)
        case Fusion.MEAN:
            return MeanFusion()
        case Fusion.CLASS_TOKEN:
            return ClassTokenFusion(width)
