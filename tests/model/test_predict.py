"""The one call that node and train share, on a coarse phantom and heads of random values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from survnode.model.checkpoint import Backbone, Card, Checkpoint, CohortSummary, Lungs, limits_of
from survnode.model.ct.lungs import LungMethod
from survnode.model.ct.preprocess import Preprocessing
from survnode.model.ct.volume import Volume, load_volume, read_series
from survnode.model.errors import CheckpointRefused, WeightsMissing
from survnode.model.likeness import Acquisition, Difference, Likeness, fit_likeness
from survnode.model.net.network import NetworkConfig, SurvivalNet, intensities
from survnode.model.net.trunks import EncoderName
from survnode.model.phantom.phantom import Tumour, make_phantom, write_dicom
from survnode.model.predict import Predictor
from survnode.model.weights import WeightsName, find_weights, sha256_of

CONFIG = NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0, stem_channels=3)
SHA256 = sha256_of(find_weights(WeightsName.EFFICIENTNET_LITE0))


def member(seed: int) -> dict[str, NDArray[np.generic]]:
    torch.manual_seed(seed)
    return {name: tensor.numpy() for name, tensor in SurvivalNet(CONFIG).trained_state().items()}


def checkpoint(*seeds: int, backbone: str = SHA256, spacing_mm: float = 1.0) -> Checkpoint:
    card = Card(
        name="random",
        version="0",
        network=CONFIG.model_dump(mode="json"),
        preprocessing=Preprocessing(spacing_mm=(3.0, spacing_mm, spacing_mm), size=64),
        lungs=Lungs(method=LungMethod.THRESHOLD),
        backbone=Backbone(name="efficientnet_lite0", sha256=backbone),
        cohort=CohortSummary(description="nobody", n_patients=1, n_events=0, sha256="0"),
        limits=limits_of([200.0]),
        intended_use="tests",
        licence="Apache-2.0",
        members=len(seeds),
    ).sealed("0")
    return Checkpoint(card, tuple(member(seed) for seed in seeds))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    phantom = make_phantom(5, shape=(60, 128, 128), spacing_mm=(5.0, 3.0, 3.0), tumour=Tumour(20.0))
    return write_dicom(phantom, tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def volume(paths: list[Path]) -> Volume:
    return load_volume(read_series(paths))


def test_a_prediction_is_a_curve_and_shares_of_attention_on_real_images(volume: Volume) -> None:
    prediction = Predictor(checkpoint(1)).predict(volume)
    assert prediction.member_pmf.shape == (1, 25)
    np.testing.assert_allclose(prediction.member_pmf.sum(axis=1), 1)
    assert (np.diff(prediction.survival) <= 0).all()
    assert sum(item.weight for item in prediction.attention) == pytest.approx(1)
    assert all(volume.images[item.index] == item.image for item in prediction.attention)
    assert [item.index for item in prediction.attention] == sorted({item.index for item in prediction.attention})
    weights = [item.weight for item in prediction.ranked(5)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == max(item.weight for item in prediction.attention)


def test_the_order_of_the_files_changes_nothing(paths: list[Path], volume: Volume) -> None:
    predictor = Predictor(checkpoint(1))
    backwards = load_volume(read_series(reversed(paths)))
    one, other = predictor.predict(volume), predictor.predict(backwards)
    np.testing.assert_array_equal(one.member_pmf, other.member_pmf)
    assert one.attention == other.attention


def test_an_ensemble_is_the_mean_of_its_members_over_one_shared_encoder(volume: Volume) -> None:
    ensemble = Predictor(checkpoint(1, 2, 3))
    assert len({id(net.encoder) for net in ensemble.members}) == 1
    together = ensemble.predict(volume)
    alone = [Predictor(checkpoint(seed)).predict(volume) for seed in (1, 2, 3)]
    np.testing.assert_allclose(together.cif, np.mean([one.cif for one in alone], axis=0), atol=1e-7)
    np.testing.assert_allclose(together.member_cif, [one.cif[:] for one in alone], atol=1e-7)
    for number, item in enumerate(together.attention):
        assert item.weight == pytest.approx(np.mean([one.attention[number].weight for one in alone]), abs=1e-6)


def test_another_backbone_than_the_checkpoints_is_refused() -> None:
    with pytest.raises(CheckpointRefused, match="efficientnet_lite0 with sha256 ab"):
        Predictor(checkpoint(1, backbone="ab"))


def test_an_absent_weight_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"absent\.pth"):
        Predictor(checkpoint(1), encoder_weights=tmp_path / "absent.pth")


def test_tensors_of_another_shape_are_refused() -> None:
    good = checkpoint(1)
    state = dict(good.members[0])
    state["embed.bias"] = np.zeros(7, np.float32)
    with pytest.raises(CheckpointRefused, match=r"embed\.bias"):
        Predictor(Checkpoint(good.card, (state,)))


def test_a_network_that_is_not_known_is_refused() -> None:
    good = checkpoint(1)
    strange = good.card.model_copy(update={"network": {"encoder": "oracle"}})
    with pytest.raises(CheckpointRefused, match="encoder"):
        Predictor(Checkpoint(strange, good.members))


def test_noise_that_no_training_patient_had_is_said_and_the_numbers_stay_what_they_are(volume: Volume) -> None:
    whole = checkpoint(1)
    predictor = Predictor(whole)
    stack = predictor.preprocess(volume)
    slices = intensities(stack.hu, whole.card.preprocessing.window_hu)
    pooled = predictor.features(predictor.members[0], slices).mean(dim=0).detach().numpy()
    others = pooled * np.random.default_rng(0).normal(1, 0.05, (100, len(pooled)))
    known = fit_likeness([Acquisition({"lung volume [ml]": 5000.0})] * 100, others)
    plain, judging = predictor.predict(volume), Predictor(replace(whole, card=knowing(whole.card, known)))
    noise = np.random.default_rng(1).normal(0, 150, volume.hu.shape).astype(np.float32)
    found = judging.predict(replace(volume, hu=volume.hu + noise))
    assert Difference.IMAGES in {it.difference for it in found.unlike}
    like = judging.predict_stack(stack, volume.images)
    assert Difference.IMAGES not in {it.difference for it in like.unlike}
    assert plain.unlike == ()
    assert np.array_equal(like.member_pmf, plain.member_pmf)


def knowing(card: Card, known: Likeness | None) -> Card:
    return card.model_copy(update={"likeness": known})
