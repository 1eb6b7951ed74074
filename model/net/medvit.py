"""MedViT-small (Manzari et al., Comput Biol Med 157, 2023): convolution blocks and, now and then, transformer blocks.

Written from the published architecture so that the published weights load: the attributes carry their tensors' names.
Modules stand in the order in which an image passes them.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

HEAD_DIM = 32  # channels of one head, in attention and in grouped convolution
FEATURES = 1024

_STEM = (3, 64, 32, 64, 64)  # channels
_STEM_STRIDES = (2, 1, 1, 2)
# Channels of the blocks, stage by stage; each stage but the first halves the image.
_STAGES = (
    (96, 96, 96),
    (192, 192, 192, 256),
    (384, 384, 384, 384, 512) * 2,
    (768, 768, 1024),
)
_TRANSFORMER_CHANNELS = {256: 4, 512: 2, 1024: 1}  # channels of a transformer block -> its spatial reduction
_DROP_PATH = 0.1  # of the last block; linear from 0 at the first


class MedViT(nn.Module):
    """MedViT-small: RGB (N, 3, H, W) -> features (N, 1024), or logits (N, classes)."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        channels = zip(pairwise(_STEM), _STEM_STRIDES, strict=True)
        self.stem = nn.Sequential(*(ConvNormReLU(before, after, stride) for (before, after), stride in channels))
        self.features = nn.Sequential(*_blocks())
        self.norm = nn.BatchNorm2d(FEATURES)
        self.proj_head = nn.Sequential(nn.Linear(FEATURES, classes)) if classes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features or logits."""
        x = self.features(self.stem(images))  # (N, 3, H, W) -> (N, 64, H/4, W/4) -> (N, 1024, H/32, W/32)
        pooled = self.norm(x).mean(dim=(2, 3))  # (N, 1024)
        out: Tensor = self.proj_head(pooled)
        return out


class ConvNormReLU(nn.Module):
    """A 3 x 3 convolution of the stem."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H / stride, W / stride)."""
        return functional.relu(self.norm(self.conv(x)))


class PatchEmbed(nn.Module):
    """To the channels of a block, and to half the size with a stride of 2."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        pool = nn.AvgPool2d(2, stride=2, ceil_mode=True, count_include_pad=False)
        self.pool = pool if stride == 2 else nn.Identity()
        self.conv = nn.Conv2d(before, after, 1, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H / stride, W / stride)."""
        embedded: Tensor = self.norm(self.conv(self.pool(x)))
        return embedded


def patch_embed(before: int, after: int, stride: int = 1) -> nn.Module:
    """A `PatchEmbed` where something changes."""
    return nn.Identity() if stride == 1 and before == after else PatchEmbed(before, after, stride)


class ConvAttention(nn.Module):
    """Multi-head convolutional attention (MHCA): a grouped 3 x 3 convolution, a head a group, and a projection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.group_conv3x3 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels // HEAD_DIM, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.projection = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        mixed: Tensor = self.projection(functional.relu(self.norm(self.group_conv3x3(x))))
        return mixed


class SelfAttention(nn.Module):
    """Efficient multi-head self-attention (E-MHSA): keys and values at a coarser grid.

    Parameters
    ----------
    reduction : r; keys and values are means of r * r consecutive tokens
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool1d(reduction**2) if reduction > 1 else nn.Identity()
        self.norm = nn.BatchNorm1d(channels) if reduction > 1 else nn.Identity()
        self.q = nn.Linear(channels, channels)
        self.k = nn.Linear(channels, channels)
        self.v = nn.Linear(channels, channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        tokens = x.flatten(2).transpose(1, 2)  # (N, C, H, W) -> (N, C, HW) -> (N, HW, C)
        coarse = self.norm(self.pool(x.flatten(2))).transpose(1, 2)  # (N, HW / rr, C)
        q, k, v = _heads(self.q(tokens)), _heads(self.k(coarse)), _heads(self.v(coarse))  # (N, heads, tokens, 32)
        attended = functional.scaled_dot_product_attention(q, k, v)  # (N, heads, HW, 32), scaled by 32 ** -0.5
        projected: Tensor = self.proj(attended.transpose(1, 2).flatten(2))  # -> (N, HW, heads, 32) -> (N, HW, C)
        return projected.transpose(1, 2).view_as(x)  # (N, HW, C) -> (N, C, HW) -> (N, C, H, W)


def _heads(tokens: Tensor) -> Tensor:
    split: Tensor = tokens.unflatten(2, (-1, HEAD_DIM))  # (N, T, C) -> (N, T, heads, 32)
    return split.transpose(1, 2)  # (N, heads, T, 32)


class SqueezeExcite(nn.Module):
    """Channels weighed by what the whole image holds."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(channels, units), nn.ReLU(), nn.Linear(units, channels), nn.Hardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        weights: Tensor = self.fc(x.mean(dim=(2, 3)))[:, :, None, None]  # (N, C) -> (N, C, 1, 1)
        return x * weights


class FeedForward(nn.Module):
    """Local feed-forward: an inverted bottleneck with a depthwise convolution, its own input added."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        hidden = channels * ratio
        self.conv = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Hardswish(),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Hardswish(),
            SqueezeExcite(hidden, hidden // channels),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        residual: Tensor = self.conv(x)
        return x + residual


def stochastic_depth(drop_path: float) -> nn.Module:
    """Leaves out the residual of an image with the probability ``drop_path`` while training."""
    from torchvision.ops import StochasticDepth  # noqa: PLC0415  slow to import, see trunks

    depth: nn.Module = StochasticDepth(drop_path, "row")
    return depth


class ConvBlock(nn.Module):
    """Efficient convolution block (ECB)."""

    def __init__(self, before: int, after: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.patch_embed = patch_embed(before, after, stride)
        self.mhca = ConvAttention(after)
        self.drop_path = stochastic_depth(drop_path)
        self.norm = nn.BatchNorm2d(after)
        self.conv = FeedForward(after, ratio=3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H / stride, W / stride)."""
        x = self.patch_embed(x)
        x = x + self.drop_path(self.mhca(x))
        out: Tensor = x + self.conv(self.norm(x))
        return out


class TransformerBlock(nn.Module):
    """Local transformer block (LTB): three quarters of the channels from attention, the rest from convolution."""

    def __init__(self, before: int, after: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        attended = after * 3 // 4
        self.patch_embed = patch_embed(before, attended)
        self.norm1 = nn.BatchNorm2d(attended)
        self.e_mhsa = SelfAttention(attended, reduction)
        self.drop_path = stochastic_depth(drop_path)
        self.projection = patch_embed(attended, after - attended)
        self.mhca = ConvAttention(after - attended)
        self.norm2 = nn.BatchNorm2d(after)
        self.conv = FeedForward(after, ratio=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H, W)."""
        x = self.patch_embed(x)
        x = x + self.drop_path(self.e_mhsa(self.norm1(x)))
        y = self.projection(x)
        y = y + self.drop_path(self.mhca(y))
        x = torch.cat([x, y], dim=1)  # (N, 3/4 after, H, W), (N, 1/4 after, H, W) -> (N, after, H, W)
        out: Tensor = x + self.conv(self.norm2(x))
        return out


def _blocks() -> list[nn.Module]:
    channels = [after for stage in _STAGES for after in stage]
    halving = {sum(len(stage) for stage in _STAGES[:i]) for i in range(1, len(_STAGES))}  # first blocks of stages 2-4
    blocks: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise([_STEM[-1], *channels])):
        drop_path = _DROP_PATH * i / (len(channels) - 1)
        if after in _TRANSFORMER_CHANNELS:
            blocks.append(TransformerBlock(before, after, _TRANSFORMER_CHANNELS[after], drop_path))
        else:
            blocks.append(ConvBlock(before, after, 2 if i in halving else 1, drop_path))
    return blocks
