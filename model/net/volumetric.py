"""The 3D baselines: networks that see the whole volume at once instead of slices.

ResNet3D-18 and DenseNet3D-121 are a `VolumetricNet`. The Medical Slice Transformer works slice by slice, so it is a
`SurvivalNet` with a configuration of its own, `medical_slice_transformer`.
"""

from enum import StrEnum
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from survnode.model.extras import require_extra
from survnode.model.net.deephit import DeepHit, DeepHitConfig
from survnode.model.net.encoders import Encoder, Freezing, PartlyTrained, TrunkSpec, headless, without
from survnode.model.net.fusion import Fusion
from survnode.model.net.heads import HeadName, build_head
from survnode.model.net.network import Embedded, NetworkConfig, Output, head_of, said
from survnode.model.net.trunks import EncoderName
from survnode.model.weights import WeightsName

MIN_DEPTH = 32  # DenseNet halves the volume five times; thinner ones are filled up with empty slices


class VolumeEncoderName(StrEnum):
    """A volume encoder."""

    RESNET3D_18 = "resnet3d_18"  # Tran et al., CVPR 2018, trained on Kinetics-400
    # Huang et al., CVPR 2017, in 3D; nobody publishes weights.
    DENSENET3D_121 = "densenet3d_121"  # its first convolution passes every slice, as in the paper's published code
    DENSENET3D_121_MONAI = "densenet3d_121_monai"  # MONAI's own, which passes every other slice


class VolumetricConfig(BaseModel):
    """Everything that shapes a `VolumetricNet`; the fields mean what they mean in `NetworkConfig`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: VolumeEncoderName = VolumeEncoderName.RESNET3D_18
    stem_channels: Literal[1, 3] = 1
    freezing: Freezing = Freezing.TRUNK
    embedding_dim: int = Field(default=256, gt=0)
    head: HeadName = HeadName.DEEPHIT
    deephit: DeepHitConfig = DeepHitConfig()
    n_bins: int = Field(default=24, gt=0)


class VolumetricNet(PartlyTrained):
    """CT volumes of patients -> probability mass over the months to death."""

    def __init__(self, config: VolumetricConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(VOLUME_TRUNKS[config.encoder], config.stem_channels, config.freezing)
        self.embed = nn.Linear(self.encoder.features, config.embedding_dim)
        self.add_module(config.head, build_head(config.head, config.embedding_dim, config.n_bins, config.deephit))

    @property
    def head(self) -> DeepHit:
        """What makes months of a patient's vector."""
        return head_of(self, self.config.head)

    def forward(self, slices: Tensor, mask: Tensor) -> Output:
        """Predict from slices (B, S, 1, H, W) in [0, 1], feet to head, and their mask (B, S)."""
        return self.forward_features(self.encode(slices, mask))

    def forward_features(self, features: Tensor) -> Output:
        """Predict from the encoder's features (B, F)."""
        return said(self.head, self.embed(features), None)  # (B, F) -> (B, E) -> (B, K + 1)

    def encode(self, slices: Tensor, mask: Tensor) -> Tensor:
        """Features (B, F), each patient at their own depth: a convolution would see the padding of a batch."""
        return torch.cat([self.encoder(volume_of(own[real])) for own, real in zip(slices, mask, strict=True)])


def volume_of(slices: Tensor) -> Tensor:
    """Slices (R, 1, H, W) -> a volume (1, 1, D, H, W) of at least `MIN_DEPTH`."""
    volume = slices.transpose(0, 1).unsqueeze(0)  # (R, 1, H, W) -> (1, R, H, W) -> (1, 1, R, H, W)
    return functional.pad(volume, (0, 0, 0, 0, 0, max(0, MIN_DEPTH - volume.shape[2])))


def medical_slice_transformer(freezing: Freezing = Freezing.TRUNK) -> NetworkConfig:
    """The Medical Slice Transformer (Müller-Franzes et al., Sci Rep 2025) with a DeepHit head.

    DINOv2-S on each slice, one transformer block over the features with a class token, and of this token the embedding.
    """
    return NetworkConfig(
        encoder=EncoderName.DINOV2_S,
        stem_channels=3,
        freezing=freezing,
        fusion=Fusion.CLASS_TOKEN,
        embedded=Embedded.PATIENT,
    )


def _densenet3d_121() -> nn.Module:
    trunk = _densenet3d_121_monai()
    stem = next(module for module in trunk.modules() if isinstance(module, nn.Conv3d))
    stem.stride = (1, 2, 2)
    return trunk


def _densenet3d_121_monai() -> nn.Module:
    require_extra("train", "The network DenseNet3D-121")
    from monai.networks.nets.densenet import DenseNet121  # noqa: PLC0415  wanted by this baseline alone, slow to import

    return headless(DenseNet121(spatial_dims=3, in_channels=3, out_channels=1), "class_layers.out")


def _r3d_18() -> nn.Module:
    from torchvision.models.video import r3d_18  # noqa: PLC0415  slow to import, see trunks

    return headless(r3d_18(), "fc")


VOLUME_TRUNKS: dict[VolumeEncoderName, TrunkSpec] = {
    VolumeEncoderName.RESNET3D_18: TrunkSpec(
        _r3d_18,
        512,
        WeightsName.RESNET3D_18,
        without("fc."),
        mean=(0.43216, 0.394666, 0.37645),
        std=(0.22803, 0.22145, 0.216989),
    ),
    VolumeEncoderName.DENSENET3D_121: TrunkSpec(
        _densenet3d_121, 1024, None, without(), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    ),
    VolumeEncoderName.DENSENET3D_121_MONAI: TrunkSpec(
        _densenet3d_121_monai, 1024, None, without(), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    ),
}
