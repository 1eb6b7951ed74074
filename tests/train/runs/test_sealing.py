"""The card of a trained model, and what a checkpoint keeps of its network."""

import numpy as np
import pytest
import torch

from survnode.model.net.network import NetworkConfig
from survnode.model.net.trunks import EncoderName
from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.fit.networks import new_net
from survnode.train.presets import PRESETS, Preset
from survnode.train.recipe import KeptWeights
from survnode.train.runs.model_card import INTENDED_USE
from survnode.train.runs.overlap import seen_in
from survnode.train.runs.sealing import OF_PHANTOMS, Learned, keep, rounded, seal

PATIENTS = tuple(DicomPatient(f"P{k}", 3.0, k < 2, False, "1.2", (), "ab") for k in range(5))
COHORT = Cohort("mine", PATIENTS)
SURVIVAL = np.array([0.4, 0.2, 0.8, 0.6])
SEEN = (seen_in(COHORT, PATIENTS[:4]),)
LEARNED = Learned("m", PATIENTS[:4], "mine, training part", SURVIVAL, {"ctd": 0.5}, [250.0, 300.0], SEEN)
RECIPE = PRESETS[Preset.DEMONSTRATION]


def test_card_counts_whom_the_model_learned_from_and_names_the_whole_cohort() -> None:
    card = seal(LEARNED, RECIPE, COHORT)
    assert (card.cohort.n_patients, card.cohort.n_events, card.cohort.sha256) == (4, 2, COHORT.sha256)
    assert card.cohort_survival[::25] == pytest.approx((0.2, 0.35, 0.5, 0.65, 0.8))
    assert (card.backbone.name, len(card.backbone.sha256)) == ("efficientnet_lite0-imagenet", 64)
    assert (card.demonstration, card.intended_use, card.licence) == (False, INTENDED_USE, "as the cohort's")


def test_what_learned_from_phantoms_is_a_demonstration_and_says_so() -> None:
    card = seal(LEARNED, RECIPE, Cohort("phantom", PATIENTS, computed=True))
    assert (card.demonstration, card.intended_use, card.licence) == (True, OF_PHANTOMS, "Apache-2.0")
    assert card.cohort.description == "computed phantoms, no patients: mine, training part"


def test_network_is_rounded_to_what_its_checkpoint_keeps() -> None:
    net = new_net(NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0), 0)
    whole = keep(net, KeptWeights.SINGLE)["embed.weight"].copy()
    assert torch.equal(net.embed.weight, torch.from_numpy(whole))
    half = keep(net, KeptWeights.HALF)["embed.weight"]
    assert half.dtype == np.float16
    assert np.array_equal(net.embed.weight.detach().numpy(), half.astype(np.float32))
    assert not np.array_equal(whole, half.astype(np.float32))


def test_figure_that_is_not_defined_is_none() -> None:
    assert (rounded(0.123456), rounded(float("nan")), rounded(float("inf"))) == (0.1235, None, None)
