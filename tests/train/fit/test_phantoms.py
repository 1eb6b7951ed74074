"""The features of phantoms: one path with serving, one file a phantom, whole or absent."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from survnode.model.ct.lungs import lung_segmenter
from survnode.model.ct.preprocess import preprocess
from survnode.model.net.network import SurvivalNet, intensities
from survnode.train.cohorts.phantom import PhantomPatient, Scan
from survnode.train.fit.files import write_arrays
from survnode.train.fit.phantoms import PhantomFeatures, cache_key, cached_features, extract
from survnode.train.recipe import Training

TRAINING = Training.demonstration()
PATIENT = PhantomPatient(11, 20.0, 2.0, 14.0, 5.0, event=True)


@dataclass(frozen=True)
class Unscannable(PhantomPatient):
    """A patient whose CT must not be needed."""

    def scan(self) -> Scan:
        raise AssertionError


@pytest.fixture(scope="module")
def features() -> PhantomFeatures:
    return extract(PATIENT, TRAINING)


def test_features_are_those_of_the_serving_path(features: PhantomFeatures) -> None:
    volume = PATIENT.scan().volume
    stack = preprocess(volume, lung_segmenter(TRAINING.lungs), TRAINING.preprocessing)
    net = SurvivalNet(TRAINING.network)
    net.encoder.load_pretrained()
    slices = intensities(stack.hu, TRAINING.preprocessing.window_hu)
    chosen = [0, len(slices) // 2, len(slices) - 1]
    expected = net.eval().encode(slices[chosen]).numpy()
    assert features.features[chosen] == pytest.approx(expected, abs=2e-3)  # half precision
    assert np.array_equal(features.source, stack.source)


def test_what_is_on_disk_is_not_computed_again(features: PhantomFeatures, tmp_path: Path) -> None:
    write_arrays(tmp_path / f"{cache_key(PATIENT, TRAINING)}.safetensors", vars(features))
    done: list[None] = []
    found = cached_features([Unscannable(**vars(PATIENT))], TRAINING, tmp_path, done=lambda: done.append(None))
    for name, array in vars(features).items():
        assert np.array_equal(getattr(found[0], name), array)
    assert len(done) == 1


def test_key_changes_with_ct_preprocessing_and_encoder() -> None:
    preprocessing = TRAINING.preprocessing.model_copy(update={"min_lung_fraction": 0.05})
    network = TRAINING.network.model_copy(update={"stem_channels": 3})
    keys = {
        cache_key(PATIENT, TRAINING),
        cache_key(replace(PATIENT, seed=12), TRAINING),
        cache_key(PATIENT, TRAINING.model_copy(update={"preprocessing": preprocessing})),
        cache_key(PATIENT, TRAINING.model_copy(update={"network": network})),
    }
    assert len(keys) == 4


def test_key_does_not_change_with_what_trains_behind_the_encoder() -> None:
    network = TRAINING.network.model_copy(update={"feature_scale": 1.0, "embedding_dim": 64})
    assert cache_key(PATIENT, TRAINING.model_copy(update={"network": network})) == cache_key(PATIENT, TRAINING)


def test_attention_is_added_up_over_source_images() -> None:
    one = PhantomFeatures(
        np.zeros((4, 2), np.float16), np.array([1, 1, 2, 4]), np.zeros(6, np.bool_), np.array([250.0])
    )
    assert one.attention_by_image(np.array([0.1, 0.2, 0.3, 0.4])) == pytest.approx([0, 0.3, 0.3, 0, 0.4, 0])
