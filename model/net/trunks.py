"""The image networks that can encode slices, as published, without their classifiers.

timm and torchvision are imported when a network of theirs is built: with the compiler that they bring along they take
longer to load than torch itself, and most processes that know the names build none.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, cast

from torch import nn

from survnode.model.net.encoders import State, TrunkSpec, headless, without
from survnode.model.net.medvit import FEATURES, MedViT
from survnode.model.weights import WeightsName

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


class EncoderName(StrEnum):
    """A slice encoder."""

    EFFICIENTNET_B0 = "efficientnet_b0"
    EFFICIENTNET_LITE0 = "efficientnet_lite0"
    VGG16 = "vgg16"
    RESNET50 = "resnet50"
    ALEXNET = "alexnet"
    VIT_B_16 = "vit_b_16"
    MEDVIT_SMALL = "medvit_small"
    DINOV2_S = "dinov2_s"


def _in_order(state: State, trunk: nn.Module) -> State:
    """The same network under other names: its tensors one by one in order, then two of the classifier.

    A wrong number or shape does not pass the strict load that follows.
    """
    *published, _, _ = state.values()
    return dict(zip(trunk.state_dict(), published, strict=False))


def _dinov2(state: State, trunk: nn.Module) -> State:
    """Without the mask token, and with the positions of 37 x 37 patches resampled to 16 x 16."""
    from timm.models.vision_transformer import checkpoint_filter_fn  # noqa: PLC0415

    adapted: State = checkpoint_filter_fn(state, cast("VisionTransformer", trunk))
    return adapted


def _torchvision(name: str, classifier: str) -> nn.Module:
    from torchvision import models  # noqa: PLC0415

    return headless(getattr(models, name)(), classifier)


def _efficientnet_lite0() -> nn.Module:
    import timm  # noqa: PLC0415

    return timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)


def _dinov2_s() -> nn.Module:
    import timm  # noqa: PLC0415

    # Features are the class token. 224 / 14 = 16 patches a side.
    return timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=224)


TRUNKS: dict[EncoderName, TrunkSpec] = {
    EncoderName.EFFICIENTNET_B0: TrunkSpec(
        lambda: _torchvision("efficientnet_b0", "classifier"),
        1280,
        WeightsName.EFFICIENTNET_B0,
        without("classifier."),
    ),
    # TensorFlow's Lite networks were trained on pixels scaled to [-1, 1].
    EncoderName.EFFICIENTNET_LITE0: TrunkSpec(
        _efficientnet_lite0, 1280, WeightsName.EFFICIENTNET_LITE0, _in_order, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    ),
    # Of VGG16 and AlexNet the two fully connected layers of 4096 stay.
    EncoderName.VGG16: TrunkSpec(
        lambda: _torchvision("vgg16", "classifier.6"), 4096, WeightsName.VGG16, without("classifier.6.")
    ),
    EncoderName.RESNET50: TrunkSpec(lambda: _torchvision("resnet50", "fc"), 2048, WeightsName.RESNET50, without("fc.")),
    EncoderName.ALEXNET: TrunkSpec(
        lambda: _torchvision("alexnet", "classifier.6"), 4096, WeightsName.ALEXNET, without("classifier.6.")
    ),
    # Features are the class token.
    EncoderName.VIT_B_16: TrunkSpec(
        lambda: _torchvision("vit_b_16", "heads"), 768, WeightsName.VIT_B_16, without("heads.")
    ),
    EncoderName.MEDVIT_SMALL: TrunkSpec(MedViT, FEATURES, WeightsName.MEDVIT_SMALL, without("proj_head.")),
    EncoderName.DINOV2_S: TrunkSpec(_dinov2_s, 384, WeightsName.DINOV2_S, _dinov2),
}
