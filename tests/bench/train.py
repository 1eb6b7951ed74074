"""How long training takes: ``python tests/bench/train.py [--json] [--epochs 100] [--patients 3]``.

``epoch_s``                one epoch of one fold of LUNG1's size from cached features, one thread
``ten_folds_lung1_size_s`` ten folds of it in two processes, wall time, their start included
``ratio_to_uncached``      a patient's share of an epoch when slices are encoded anew, over that from cached features
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from survnode.model.ct.lungs import LungMethod, lung_segmenter
from survnode.model.ct.preprocess import Preprocessing, preprocess
from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import EncoderName
from survnode.train.cohorts.phantom import PhantomCohort
from survnode.train.fit.features import encode, encoder_of, intensities
from survnode.train.fit.inputs import FeatureInputs
from survnode.train.fit.loop import Outcomes, Trainer
from survnode.train.names import Preset
from survnode.train.presets import PRESETS
from survnode.train.workers import one_thread

PATIENTS, SLICES, FEATURES, VIEWS = 415, 72, 1280, 5
TRAIN, VALIDATION = 335, 38
NETWORK = NetworkConfig(encoder=EncoderName.EFFICIENTNET_LITE0)  # as wide as EfficientNet-B0, and always at hand


def fit_fold(number: int, epochs: int) -> float:
    """Seconds for one fold on random features."""
    rng = np.random.default_rng(0)
    one = rng.random((VIEWS, SLICES, FEATURES)).astype(np.float16)
    inputs = FeatureInputs([one.copy() for _ in range(PATIENTS)], PRESETS[Preset.PAPER].augmentation.probability)
    outcomes = Outcomes(rng.exponential(20, PATIENTS), rng.random(PATIENTS) < 0.9)
    settings = PRESETS[Preset.PAPER].fitting.model_copy(update={"epochs": epochs})
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(SurvivalNet(NETWORK), inputs, outcomes, settings, number, Path(folder, "state"))
        begun = time.perf_counter()
        trainer.fit(np.arange(TRAIN), np.arange(TRAIN, TRAIN + VALIDATION))
    return time.perf_counter() - begun


def ten_folds(epochs: int) -> float:
    """Seconds for ten folds of 100 epochs in two processes; only the fits of fewer epochs are extrapolated."""
    begun = time.perf_counter()
    with ProcessPoolExecutor(2, get_context("spawn"), one_thread) as pool:
        fits = sum(pool.map(fit_fold, range(10), [epochs] * 10)) / 2
    return time.perf_counter() - begun + fits * (100 / epochs - 1)


def encode_patient(patients: int) -> float:
    """Seconds to encode the preprocessed slices of one phantom."""
    settings, encoder = Preprocessing(), encoder_of(NETWORK)[0]
    seconds = 0.0
    for patient in PhantomCohort.draw(patients, 1, part=30).patients:
        stack = preprocess(patient.scan().volume, lung_segmenter(LungMethod.THRESHOLD), settings)
        begun = time.perf_counter()
        with torch.inference_mode():
            encode(encoder, NETWORK, intensities(stack.hu, settings.window_hu))
        seconds += time.perf_counter() - begun
    return seconds / patients


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--epochs", type=int, default=100, help="of the ten folds; fewer are extrapolated")
    parser.add_argument("--patients", type=int, default=3, help="phantoms that are encoded")
    arguments = parser.parse_args()
    one_thread()
    epoch_s = fit_fold(0, 5) / 5
    encoding_s = encode_patient(arguments.patients)
    found = {
        "ratio_to_uncached": round((encoding_s + epoch_s / TRAIN) / (epoch_s / TRAIN)),
        "ten_folds_lung1_size_s": round(ten_folds(arguments.epochs), 1),
        "epoch_s": round(epoch_s, 3),
    }
    sys.stdout.write(json.dumps(found) + "\n" if arguments.json else "".join(f"{k}: {v}\n" for k, v in found.items()))


if __name__ == "__main__":
    main()
