"""How long training takes: ``python tests/bench/train.py [--json] [--epochs 100] [--phantoms 20]``.

``epoch_s``                one epoch of one fold of LUNG1's size from cached features: 335 patients train, 38 validate,
                           of 72 slices, 1280 features in half precision and five views each; one thread
``ten_folds_lung1_size_s`` ten folds of 100 such epochs in two processes, wall time, their start included; all of it is
                           run, unless --epochs asks for fewer: then what is missing is extrapolated
``ratio_to_uncached``      ten folds without the cache of features, over the same ten folds with it: wall time of one
                           thread each, on the same phantoms

Both sides of the ratio are the paper's protocol on the same folds of the same phantoms, for one epoch: with the encoder
frozen an epoch costs the same as any other. Each fold makes a network, trains it for that epoch on batches of 4
patients in random views, scores the validation patients, and predicts the test patients. Without the cache each of
these slices is read, turned and encoded anew; the CT is preprocessed beforehand for both. The CT has half of the usual
slices (6 mm apart), which is to the disadvantage of the cache: encoding costs by the slice, the rest does not.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from survnode.model.ct.lungs import LungMethod, lung_segmenter
from survnode.model.ct.preprocess import Preprocessing, preprocess
from survnode.model.net.network import NetworkConfig, SurvivalNet, intensities
from survnode.model.net.trunks import EncoderName
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.folds import Fold, make_folds
from survnode.train.cohorts.phantom import draw_phantoms
from survnode.train.fit.augment import random_views
from survnode.train.fit.features import encode, encoder_of
from survnode.train.fit.inputs import Batch, FeatureInputs, Rng, pad
from survnode.train.fit.loop import Outcomes, Trainer
from survnode.train.fit.networks import new_net
from survnode.train.presets import PRESETS, Preset
from survnode.train.workers import Report, each, one_thread

PATIENTS, SLICES, FEATURES, VIEWS = 415, 72, 1280, 5
TRAIN, VALIDATION, EPOCHS, FOLDS = 335, 38, 100, 10
PAPER = PRESETS[Preset.PAPER]
NETWORK = NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0)  # as wide as EfficientNet-B0, and always at hand
COARSE = Preprocessing(spacing_mm=(6.0, 1.0, 1.0))


class Uncached(FeatureInputs):
    """Features that are made anew from slices (S, H, W) int16 whenever they are needed."""

    def __init__(self, slices: Sequence[NDArray[np.int16]]) -> None:
        super().__init__([], PAPER.augmentation.probability)
        self.slices = slices

    def batch(self, rows: Sequence[int], rng: Rng | None = None) -> Batch:
        return pad([self._encoded(row, rng) for row in rows], "cpu")

    def _encoded(self, row: int, rng: Rng | None) -> torch.Tensor:
        slices = intensities(self.slices[row], COARSE.window_hu)
        if rng is not None:
            drawn = np.flatnonzero(rng.random(len(slices)) < self.probability)
            slices[drawn] = random_views(
                slices[drawn], PAPER.augmentation, rng, window_hu=COARSE.window_hu, together=False
            )
        with torch.inference_mode():
            return encode(encoder_of(NETWORK)[0], NETWORK, slices)


def fit_lung1_size(report: Report, number: int, epochs: int) -> float:
    """Seconds that one fold fits, on random features."""
    del report
    rng = np.random.default_rng(0)
    one = rng.random((VIEWS, SLICES, FEATURES)).astype(np.float16)
    inputs = FeatureInputs([one.copy() for _ in range(PATIENTS)], PAPER.augmentation.probability)
    outcomes = Outcomes(rng.exponential(20, PATIENTS), rng.random(PATIENTS) < 0.9)
    settings = PAPER.fitting.model_copy(update={"epochs": epochs})
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(SurvivalNet(NETWORK), inputs, outcomes, settings, number, Path(folder, "state"))
        begun = time.perf_counter()
        trainer.fit(np.arange(TRAIN), np.arange(TRAIN, TRAIN + VALIDATION))
    return time.perf_counter() - begun


def ten_folds(epochs: int) -> float:
    """Seconds for ten folds of 100 epochs in two processes; only the fits of fewer epochs are extrapolated."""
    begun = time.perf_counter()
    fits = sum(each(fit_lung1_size, [(number, epochs) for number in range(FOLDS)], 2)) / 2
    return time.perf_counter() - begun + fits * (EPOCHS / epochs - 1)


def protocol(inputs: FeatureInputs, outcomes: Outcomes, folds: Sequence[Fold]) -> float:
    """Seconds for one epoch of every fold, and what it predicts."""
    settings = PAPER.fitting.model_copy(update={"epochs": 1, "warm_up_epochs": 0})
    begun = time.perf_counter()
    for fold in folds:
        trainer = Trainer(new_net(NETWORK, fold.number), inputs, outcomes, settings, fold.number)
        train, validation, test = (
            np.array([int(one) for one in part]) for part in (fold.train, fold.validation, fold.test)
        )
        trainer.fit(train, validation)
        trainer.predict(test)
    return time.perf_counter() - begun


def ratio(phantoms: int) -> float:
    """How many times longer ten folds take without the cache."""
    cohort = Cohort("phantoms", draw_phantoms(phantoms, 1, part=30), computed=True)
    segment = lung_segmenter(LungMethod.THRESHOLD)
    slices = [preprocess(patient.volume(), segment, COARSE).hu for patient in cohort.patients]
    outcomes = Outcomes(cohort.time_months, cohort.event)
    early = np.argsort(np.argsort(cohort.time_months)) < phantoms // 2  # half of them, so that ten folds are possible
    folds = make_folds([str(row) for row in range(phantoms)], early, count=FOLDS)
    uncached = Uncached(slices)
    plain = [uncached.batch([row]).inputs[0].numpy().astype(np.float16) for row in range(phantoms)]
    cached = FeatureInputs([np.stack([one] * VIEWS) for one in plain], PAPER.augmentation.probability)
    protocol(cached, outcomes, folds[:1])  # what happens once a process, for neither side
    return protocol(uncached, outcomes, folds) / protocol(cached, outcomes, folds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the ten folds; fewer are extrapolated")
    parser.add_argument("--phantoms", type=int, default=20, help="of the ratio, at least 20")
    arguments = parser.parse_args()
    one_thread()
    found = {
        "ratio_to_uncached": round(ratio(arguments.phantoms)),
        "ten_folds_lung1_size_s": round(ten_folds(arguments.epochs), 1),
        "epoch_s": round(fit_lung1_size(lambda _: None, 0, 5) / 5, 3),
    }
    sys.stdout.write(json.dumps(found) + "\n" if arguments.json else "".join(f"{k}: {v}\n" for k, v in found.items()))


if __name__ == "__main__":
    main()
