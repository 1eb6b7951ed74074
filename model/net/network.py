"""The network, in reading order: slices -> features -> embeddings -> one vector a patient -> months.

`SurvivalNet` reads from top to bottom; its parts are in `encoders` (with `trunks`), `fusion` and `heads`.
"""

from enum import StrEnum
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from survnode.model.net.beside import Beside, BesideConfig
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
    beside : what is known beside the image and joined to its vector before the head; None for nothing
    sees_image : False: the head sees what stands beside the image and nothing else
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
    beside: BesideConfig | None = None
    sees_image: bool = True
    feature_scale: float = Field(default=1.0, gt=0)
    feature_dropout: float = Field(default=0.0, ge=0, lt=1)
    slice_dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _sees_something(self) -> Self:
        if not self.sees_image and self.beside is None:
            msg = "a network that does not see the image needs something beside it"
            raise ValueError(msg)
        return self

    @property
    def needs_beside(self) -> bool:
        """Whether it says nothing of a patient of whom nothing is known beside the image."""
        return self.beside is not None and not (self.sees_image and self.beside.absent)

    @property
    def head_width(self) -> int:
        """Size of the vector that reaches the head."""
        return self.embedding_dim * self.sees_image + (self.beside.width if self.beside else 0)


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
        self.beside = Beside(config.beside) if config.beside else None
        # Named by what it is: so are its weights in a checkpoint.
        self.add_module(config.head, build_head(config.head, config.head_width, config.n_bins, config.deephit))

    @property
    def head(self) -> DeepHit:
        """What makes months of a patient's vector."""
        return head_of(self, self.config.head)

    def forward(self, slices: Tensor, mask: Tensor, beside: Tensor | None = None) -> Output:
        """Predict from slices.

        Parameters
        ----------
        slices : (B, S, 1, H, W) float, windowed to [0, 1], feet to head; what stands on padding does not matter
        mask : (B, S) bool, True at real slices, at least one a patient
        beside : (B, C) values known beside the image, NaN where missing; None: nothing is known of anybody
        """
        real = self.encoder(slices[mask])  # (B, S, 1, H, W) -> (N, 1, H, W) -> (N, F): padding is never encoded
        features = real.new_zeros(*mask.shape, real.shape[-1])  # (B, S, F)
        features[mask] = real
        return self.forward_features(features, mask, beside)

    def forward_features(self, features: Tensor, mask: Tensor, beside: Tensor | None = None) -> Output:
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
        return self._said(patients, attention, mask, beside)  # (B, E) -> (B, K + 1)

    @property
    def fuses_linearly(self) -> bool:
        """Whether `forward_fused` can take the place of `forward_features`."""
        return self.config.fusion in (Fusion.ATTENTION, Fusion.MEAN) and self.config.embedded is Embedded.SLICES

    def forward_fused(self, features: Tensor, mask: Tensor, beside: Tensor | None = None) -> Output:
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
        return self._said(self.embed(fused), attention, mask, beside)

    def _said(self, image: Tensor, attention: Tensor, mask: Tensor, beside: Tensor | None) -> Output:
        if not self.config.sees_image:
            attention = mask / mask.sum(dim=1, keepdim=True)  # it looks nowhere: no slice is shown before another
        return said(self.head, self._joined(image, beside), attention)

    def _joined(self, image: Tensor, beside: Tensor | None) -> Tensor:
        """What reaches the head: the image's vector (B, E) and that of what stands beside it."""
        if self.beside is None:
            return image
        known = self.beside(self.beside.none_of(len(image)) if beside is None else beside)  # (B, C) -> (B, width)
        return torch.cat([image, known], dim=1) if self.config.sees_image else known

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
