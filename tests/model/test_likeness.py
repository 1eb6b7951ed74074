"""Who is unlike the training patients, on computed features and headers."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from survnode.model.likeness import (
    MIN_PATIENTS,
    Acquisition,
    Difference,
    KnownFeatures,
    Likeness,
    acquisition_of,
    fit_likeness,
)

FloatArray = NDArray[np.float64]
F, LATENT = 320, 6
MIXING = np.random.default_rng(0).normal(0, 1, (LATENT, F))
NOWHERE = [Acquisition()]


def features(count: int, seed: int) -> FloatArray:
    """Of ordinary patients: a few things differ between them, and every channel a little."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(0, 1, (count, LATENT)) @ MIXING + rng.normal(0, 0.3, (count, F)))


def scans(count: int, seed: int) -> list[Acquisition]:
    """Of a cohort from three scanners."""
    rng = np.random.default_rng(seed)
    return [
        Acquisition(
            {"slice thickness [mm]": float(rng.choice([1, 2, 3])), "lung volume [ml]": float(rng.lognormal(8.4, 0.25))},
            {"convolution kernel": str(rng.choice(["b30f", "b40f", "lung"])), "contrast agent": "none named"},
        ).measured(slice_mm=float(rng.choice([1, 2, 3])), pixel_mm=float(rng.uniform(0.6, 0.98)))
        for _ in range(count)
    ]


def auc(ordinary: FloatArray, other: FloatArray) -> float:
    return float((other[:, None] > ordinary[None]).mean())


def fitted(count: int, seed: int = 1) -> Likeness:
    found = fit_likeness(scans(count, seed), features(count, seed))
    assert found is not None
    return found


@pytest.mark.parametrize("count", [100, 400])
def test_at_most_two_ordinary_patients_in_a_hundred_are_called_unlike(count: int) -> None:
    shares = []
    for seed in range(8):
        known = fitted(count, seed)
        judged = [known.judge(*it) for it in zip(scans(250, 100 + seed), features(250, 200 + seed), strict=True)]
        shares.append(np.mean([bool(it) for it in judged]))
    assert np.mean(shares) <= 0.02


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it + 1.0 * np.random.default_rng(5).normal(0, 1, F),
        lambda it: it + np.random.default_rng(6).normal(0, 1.0, it.shape),
        lambda it: 0.7 * it + 0.5,
    ],
    ids=["shifted", "noisy", "smoothed"],
)
def test_shifted_and_noisy_features_are_found(change: Callable[[FloatArray], FloatArray]) -> None:
    known = fitted(120).features
    assert known is not None
    assert auc(known.distance(features(500, 2)), known.distance(change(features(500, 3)))) >= 0.9


def test_one_number_beyond_training_is_named_with_its_range_and_within_it_is_not() -> None:
    known = fitted(120)
    inside, outside = (Acquisition({"slice thickness [mm]": mm}) for mm in (2.0, 10.0))
    assert known.judge(inside) == ()
    (found,) = known.judge(outside)
    assert found.difference is Difference.SCAN
    assert found.sentence.endswith("trained on. Slice thickness [mm]: 10, in training 1 to 3.")


def test_kernel_of_no_training_patient_is_found_and_its_text_is_not_repeated() -> None:
    known = fitted(120)
    (found,) = known.judge(Acquisition(words={"convolution kernel": "Doe^Jane"}))
    assert "Convolution kernel: as of none of the 120 training patients." in found.sentence
    assert "Doe" not in found.sentence
    assert known.judge(Acquisition(words={"convolution kernel": "lung"})) == ()


def test_what_is_not_known_is_not_judged() -> None:
    assert fitted(120).judge(Acquisition()) == ()
    without = fit_likeness(scans(100, 1))
    assert without is not None
    assert without.judge(Acquisition(), features(1, 1)[0] + 100) == ()
    assert fit_likeness(scans(MIN_PATIENTS - 1, 1), features(MIN_PATIENTS - 1, 1)) is None


def test_setting_that_few_training_patients_tell_is_not_judged() -> None:
    told = [*(Acquisition(words={"manufacturer": "a"}) for _ in range(40)), *NOWHERE * 80]
    known = fit_likeness(told)
    assert known is not None
    assert known.judge(Acquisition(words={"manufacturer": "b"})) == ()


def test_setting_that_never_varied_may_vary_a_little() -> None:
    known = fit_likeness([Acquisition({"tube voltage [kV]": 120.0})] * 100)
    assert known is not None
    assert known.judge(Acquisition({"tube voltage [kV]": 121.0})) == ()
    assert known.judge(Acquisition({"tube voltage [kV]": 80.0})) != ()


def test_distance_is_mahalanobis_along_fixed_directions() -> None:
    known = KnownFeatures(centre=(1.0, 0.0), whitening=(0.5, 0.0, 0.0, 2.0))
    # two channels along cos(0) and cos(pi (c + 1/2) / 2): sum, and difference by the square root of 2
    assert known.distance(np.array([4.0, 2.0])) == pytest.approx(np.hypot(0.5 * (6 - 1), 2 * (4 - 2) / np.sqrt(2)))


def test_same_patients_give_the_same_and_a_file_keeps_it() -> None:
    known = fitted(100)
    assert known == fitted(100)
    assert Likeness.model_validate(json.loads(known.model_dump_json())) == known


def test_header_says_how_the_scan_was_made() -> None:
    ds = Dataset()
    ds.Manufacturer, ds.ConvolutionKernel, ds.KVP, ds.Exposure = " SIEMENS ", ["I30f", "3"], "120", "0"
    found = acquisition_of(ds)
    assert found.numbers == {"tube voltage [kV]": 120.0}
    assert found.words == {"manufacturer": "siemens", "convolution kernel": "i30f/3", "contrast agent": "none named"}
    ds.ContrastBolusAgent = "IOMERON"
    assert acquisition_of(ds).words["contrast agent"] == "named"


def test_damaged_header_is_not_known() -> None:
    ds = Dataset()
    ds[Tag("KVP")] = RawDataElement(Tag("KVP"), "DS", 4, b"none", 0, False, True)
    assert acquisition_of(ds).numbers == {}
    assert acquisition_of(ds).measured(slice_mm=None, pixel_mm=0.0).numbers == {}
