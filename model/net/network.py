"""The network, in reading order: slices -> features -> embeddings -> one vector a patient -> months.

`SurvivalNet` reads from top to bottom; its parts are in `encoders` (with `trunks`), `fusion` and `heads`.
"""

from enum import StrEnum
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from survnode.model.net.deephit import DeepHit, DeepHitConfig
from survnode.model.net.encoders import Encoder, Freezing, PartlyTrained
from survnode.model.net.fusion import Fusion, SoftAttention, build_fusion, weighted_sum
from survnode.model.net.heads import HeadName, build_head
from survnode.model.net.trunks import TRUNKS, EncoderName


class Embedded(StrEnum):
    """What is embedded."""

    SLICES = "slices"  # each slice's features, before they are fused (the paper)
    PATIENT = "patient"  # the patient's vector, after it (the Medical Slice Transformer)


class NetworkConfig(BaseModel):
    """Everything that shapes a `SurvivalNet`; the defaults are the paper's.

    Parameters
    ----------
    stem_channels : 1 sums the encoder's RGB kernels, 3 repeats the slice
    embedding_dim : E
    embedded : the features of slices, or of the patient
    deephit : sizes of the head's stacks, whichever head it is
    n_bins : K, monthly bins up to the horizon
    feature_scale : features reach the embedding as (features - centre) * feature_scale
    feature_dropout : probability with which a feature is dropped in training, after centring
    slice_dropout : probability with which a slice is left out in training, so that no patient is learned by one slice
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderName = EncoderName.EFFICIENTNET_B0
    stem_channels: Literal[1, 3] = 1
    freezing: Freezing = Freezing.TRUNK
    embedding_dim: int = Field(default=256, gt=0)
    fusion: Fusion = Fusion.ATTENTION
    embedded: Embedded = Embedded.SLICES
    head: HeadName = HeadName.DEEPHIT
    deephit: DeepHitConfig = DeepHitConfig()
    n_bins: int = Field(default=24, gt=0)
    feature_scale: float = Field(default=1.0, gt=0)
    feature_dropout: float = Field(default=0.0, ge=0, lt=1)
    slice_dropout: float = Field(default=0.0, ge=0, lt=1)


def intensities(hu: NDArray[np.int16], window_hu: tuple[float, float]) -> Tensor:
    """HU (S, H, W) -> the network's input (S, 1, H, W): ``window_hu`` mapped linearly to [0, 1], the rest clipped."""
    low, high = window_hu
    scaled: NDArray[np.float32] = (hu.astype(np.float32) - low) / (high - low)
    return torch.from_numpy(scaled.clip(0, 1))[:, None]


class Output(NamedTuple):
    """What a network says of a batch of patients.

    Parameters
    ----------
    logits : (B, K + 1), the last bin for those alive at the horizon
    attention : (B, S), sums to 1 over the real slices and is 0 on padding; None from a network without slices
    outputs : what the head put out, from which its loss is computed; of DeepHit the logits
    """

    logits: Tensor
    attention: Tensor | None
    outputs: Tensor

    @property
    def pmf(self) -> Tensor:
        """Probability mass over the bins, (B, K + 1) float32, sums to 1."""
        return self.logits.float().softmax(dim=1)


def said(head: DeepHit, patients: Tensor, attention: Tensor | None) -> Output:
    """What a head says of patients' vectors, (B, E) -> (B, K + 1)."""
    outputs = head(patients)
    return Output(head.logits(outputs), attention, outputs)


def head_of(net: nn.Module, name: HeadName) -> DeepHit:
    """The head of a network, whose module has its name."""
    head = net.get_submodule(name)
    if not isinstance(head, DeepHit):
        raise TypeError(name)
    return head


class SurvivalNet(PartlyTrained):
    """CT slices of patients -> probability mass over the months to death.

    Parameters
    ----------
    encoder : a pretrained encoder to share, for example between the members of an ensemble; default: a new one with
        random weights, to be filled by ``net.encoder.load_pretrained()``
    """

    feature_centre: Tensor

    def __init__(self, config: NetworkConfig, encoder: Encoder | None = None) -> None:
        super().__init__()
        width = config.embedding_dim
        self.config = config
        self.encoder = encoder or Encoder(TRUNKS[config.encoder], config.stem_channels, config.freezing)
        self.register_buffer("feature_centre", torch.zeros(self.encoder.features))  # (F,)
        self.feature_dropout = nn.Dropout(config.feature_dropout)
        self.embed = nn.Linear(self.encoder.features, width)
        self.fusion = build_fusion(
            config.fusion, width if config.embedded is Embedded.SLICES else self.encoder.features
        )
        # Named by what it is: so are its weights in a checkpoint.
        self.add_module(config.head, build_head(config.head, width, config.n_bins, config.deephit))

    @property
    def head(self) -> DeepHit:
        """What makes months of a patient's vector."""
        return head_of(self, self.config.head)

    def forward(self, slices: Tensor, mask: Tensor) -> Output:
        """Predict from slices.

        Parameters
        ----------
        slices : (B, S, 1, H, W) float, windowed to [0, 1], feet to head; what stands on padding does not matter
        mask : (B, S) bool, True at real slices, at least one a patient
        """
        real = self.encoder(slices[mask])  # (B, S, 1, H, W) -> (N, 1, H, W) -> (N, F): padding is never encoded
        features = real.new_zeros(*mask.shape, real.shape[-1])  # (B, S, F)
        features[mask] = real
        return self.forward_features(features, mask)

    def forward_features(self, features: Tensor, mask: Tensor) -> Output:
        """Predict from the encoder's features (B, S, F), for example cached ones; otherwise as `forward`."""
        if not mask.any(dim=1).all():
            msg = "each patient needs at least one real slice"
            raise ValueError(msg)
        mask = self.shown(mask)
        features = features.masked_fill(~mask.unsqueeze(-1), 0)  # (B, S, F), so that nothing on padding can leak
        features = self.feature_dropout((features - self.feature_centre) * self.config.feature_scale)
        if self.config.embedded is Embedded.PATIENT:
            patients, attention = self.fusion(features, mask)  # (B, S, F) -> (B, F), (B, S)
            patients = self.embed(patients)  # (B, F) -> (B, E)
        else:
            embedded = self.embed(features)  # (B, S, F) -> (B, S, E)
            patients, attention = self.fusion(embedded, mask)  # (B, S, E) -> (B, E), (B, S)
        return said(self.head, patients, attention)  # (B, E) -> (B, K + 1)

    @property
    def fuses_linearly(self) -> bool:
        """Whether `forward_fused` can take the place of `forward_features`."""
        return self.config.fusion in (Fusion.ATTENTION, Fusion.MEAN) and self.config.embedded is Embedded.SLICES

    def forward_fused(self, features: Tensor, mask: Tensor) -> Output:
        """What `forward_features` says, up to rounding, with the slices fused before they are embedded.

        Embedding and the score of a soft attention are linear and the attention sums to 1, so they may change places:
        score(W f + b) = (w W) f + const, and sum_j a_j (W f_j + b) = W (sum_j a_j f_j) + b. One vector a patient is
        embedded instead of one a slice: of 72 x 1280 x 256 products 72 x 1280 are left. Padding must be finite.
        """
        mask = self.shown(mask)
        features = self.feature_dropout((features - self.feature_centre) * self.config.feature_scale)  # (B, S, F)
        if isinstance(self.fusion, SoftAttention) and isinstance(self.fusion.score, nn.Linear):
            weight, bias = self.fusion.score.weight, self.fusion.score.bias  # (1, E), (1)
            scores = features @ (weight @ self.embed.weight)[0] + (weight @ self.embed.bias + bias)  # (B, S)
            attention = scores.float().masked_fill(~mask, -torch.inf).softmax(dim=1)  # (B, S)
        else:
            attention = mask / mask.sum(dim=1, keepdim=True)
        fused = weighted_sum(features, attention)  # (B, S, F) -> (B, F)
        return said(self.head, self.embed(fused), attention)

    def shown(self, mask: Tensor) -> Tensor:
        """The mask (B, S) with real slices left out by chance in training, but none of a patient who would lose all."""
        if not self.training or self.config.slice_dropout == 0:
            return mask
        kept = mask & (torch.rand(mask.shape, device=mask.device) >= self.config.slice_dropout)
        return torch.where(kept.any(dim=1, keepdim=True), kept, mask)

    @torch.no_grad()
    def encode(self, slices: Tensor) -> Tensor:
        """Features (N, F) of slices (N, 1, H, W) in [0, 1], without gradients; in eval mode if the caller set it."""
        features: Tensor = self.encoder(slices)
        return features
