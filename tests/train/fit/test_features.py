"""Features of a frozen encoder: kept for whom they are, and those that the encoder gives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from survnode.model.net.network import NetworkConfig, intensities
from survnode.model.net.trunks import EncoderName
from survnode.model.net.volumetric import VolumeEncoderName, VolumetricConfig
from survnode.train.cohorts.cohort import Cohort
from survnode.train.fit.features import encode, encoder_of
from survnode.train.recipe import Augmentation

from .kept import SETTINGS, features_in, slices_in


def test_plain_features_are_shared_and_random_ones_belong_to_their_seed(cohort: Cohort, tmp_path: Path) -> None:
    patient, cache = cohort.patients[0], features_in(tmp_path)
    bare, seeded = features_in(tmp_path, augmentation=Augmentation(probability=0)), features_in(tmp_path, seed=2)
    assert (cache.views, bare.views) == (3, 1)
    assert cache.path(patient, 0) == bare.path(patient, 0) == seeded.path(patient, 0)
    assert cache.path(patient, 1) != seeded.path(patient, 1)
    assert cache.path(patient, 1) != cache.path(patient, 2)
    assert cache.path(patient, 0) != features_in(tmp_path, window_hu=(-900.0, 300.0)).path(patient, 0)


def test_plain_features_are_those_of_the_slices_and_random_ones_are_others(cohort: Cohort, tmp_path: Path) -> None:
    patient, cache = cohort.patients[0], features_in(tmp_path)
    slices_in(tmp_path).fill([patient])
    steps: list[None] = []
    cache.fill([patient], done=lambda: steps.append(None))
    plain, *random = cache.read(patient)
    net = encoder_of(cache.network)[0]
    hu = slices_in(tmp_path).read(patient).hu
    with torch.inference_mode():
        expected = net(intensities(hu, SETTINGS.window_hu)).numpy()
    assert plain == pytest.approx(expected, abs=2e-3)  # kept in half precision
    assert all(not np.allclose(view, plain, atol=2e-3) for view in random)
    assert len(steps) == len(random) + 1 == 3


def test_encoder_is_made_once_and_the_random_numbers_go_on_undisturbed() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = torch.rand(1)
    network = NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0, stem_channels=3)
    encoder, sha256 = encoder_of(network)
    assert torch.cat([first, torch.rand(1)]).equal(expected)
    assert encoder_of(network)[0] is encoder
    assert len(sha256) == 64
    assert not any(weight.requires_grad for weight in encoder.trunk.parameters())


def test_encoder_that_nobody_publishes_is_random_but_always_the_same() -> None:
    pytest.importorskip("monai")
    network = VolumetricConfig(encoder=VolumeEncoderName.DENSENET3D_121)
    encoder, sha256 = encoder_of(network)
    volume = torch.rand(40, 1, 64, 64)
    with torch.inference_mode():
        assert encode(encoder, network, volume).shape == (1, encoder.features)  # one vector a patient
    assert sha256 == "random, 1x2x2"
