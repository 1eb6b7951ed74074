"""Caches of slices and features of the tiny cohort."""

from dataclasses import replace
from pathlib import Path

from survnode.model.ct.lungs import LungMethod
from survnode.model.ct.preprocess import Preprocessing
from survnode.model.net.network import NetworkConfig
from survnode.model.net.trunks import EncoderName
from survnode.train.fit.features import FeatureCache
from survnode.train.fit.slices import SliceCache
from survnode.train.recipe import Augmentation

SETTINGS = Preprocessing(spacing_mm=(12.0, 4.0, 4.0), size=32)


def slices_in(folder: Path) -> SliceCache:
    return SliceCache(folder, SETTINGS, LungMethod.THRESHOLD)


def features_in(folder: Path, **changes: object) -> FeatureCache:
    network = NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0)
    cache = FeatureCache(folder, slices_in(folder), network, SETTINGS.window_hu, Augmentation(views=2), seed=1)
    return replace(cache, **changes)  # type: ignore[arg-type]  # one field of any kind
