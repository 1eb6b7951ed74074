"""Whether a patient is like those that a model knows: what the encoder saw, and what the scanner did.

A checkpoint keeps a few numbers of its training patients (`Likeness`), fitted by `fit_likeness`; `Likeness.judge` says
how a further patient lies beyond them. One limit in two units covers both distances, so that together they name one
ordinary patient in a hundred.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from pydicom import Dataset
from pydicom.config import disable_value_validation

from survnode.model.errors import Explained

FloatArray = NDArray[np.float64]

QUANTILE = 0.99  # of the training patients' distances, each measured without the tenth that the patient belongs to
PARTS = 10
MIN_PATIENTS = 100  # fewer have no 99th percentile: nobody is judged by them
MIN_KNOWN = 0.5  # share of the training patients of whom a fact must be known before it is judged
# That pooled features are seen along: on phantoms 16 to 48 find the same, and a hundred patients tell their covariance.
DIRECTIONS = 24
LEAST_RATIO = 0.05  # a scanner's setting that never varied in training may vary by this share

SLICE_SPACING, PIXEL_SPACING, LUNGS = "slice spacing [mm]", "pixel spacing [mm]", "lung volume [ml]"
NUMBERS = {"slice thickness [mm]": "SliceThickness", "tube voltage [kV]": "KVP", "exposure [mAs]": "Exposure"}
WORDS = {"manufacturer": "Manufacturer", "convolution kernel": "ConvolutionKernel"}
CONTRAST = "contrast agent"
FACT_KEYWORDS = (*NUMBERS.values(), *WORDS.values(), "ContrastBolusAgent")


class Difference(Explained):
    """How a patient is unlike those that the model was trained on."""

    IMAGES = "IMAGES", "The images are unlike those that the model was trained on."
    SCAN = "SCAN", "The scan is unlike those that the model was trained on."


@dataclass(frozen=True)
class Unlikeness:
    """One difference, and in which facts it lies; no text of a header is repeated."""

    difference: Difference
    facts: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What a report says of it."""
        return " ".join((self.difference.sentence, *(f"{fact[0].upper()}{fact[1:]}." for fact in self.facts)))


@dataclass(frozen=True)
class Acquisition:
    """What the scanner did, and how large the lungs are; what is not known is absent.

    Parameters
    ----------
    numbers : above 0, by name and unit
    words : in small letters, by name
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def measured(self, **values: float | None) -> Self:
        """The same with ``slice_mm``, ``pixel_mm`` and ``lungs_ml`` of the CT where they are known and above 0."""
        names = {"slice_mm": SLICE_SPACING, "pixel_mm": PIXEL_SPACING, "lungs_ml": LUNGS}
        known = {names[name]: value for name, value in values.items() if value is not None and _is_positive(value)}
        return type(self)({**self.numbers, **known}, self.words)


def acquisition_of(ds: Dataset) -> Acquisition:
    """What the header of one image says of how its series was made.

    Enhanced CT keeps most of it in functional groups, which are not read: of such a CT it is not known.
    """
    with disable_value_validation(), warnings.catch_warnings():  # pydicom's warnings quote values
        warnings.simplefilter("ignore")
        numbers = {name: value for name, keyword in NUMBERS.items() if (value := _number(ds, keyword)) is not None}
        words = {name: text for name, keyword in WORDS.items() if (text := _text(ds, keyword))}
        contrast = "named" if _text(ds, "ContrastBolusAgent") else "none named"
    return Acquisition(numbers, {**words, CONTRAST: contrast})


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KnownNumber(_Part):
    """One number of the training patients: the middle and half the width of nine in ten, of logarithms."""

    name: str
    middle: float
    width: float = Field(gt=0)
    low: float
    high: float

    def distance(self, value: float) -> float:
        """From the middle, in widths."""
        return abs(math.log(value) - self.middle) / self.width


class KnownWords(_Part):
    """Every value that one word had among the training patients."""

    name: str
    values: tuple[str, ...] = Field(min_length=1)


class KnownFeatures(_Part):
    """The training patients' pooled features along `DIRECTIONS` of them.

    Parameters
    ----------
    centre : (P,) their mean
    whitening : (P * P,) row by row, what makes their covariance the identity
    """

    centre: tuple[float, ...]
    whitening: tuple[float, ...]

    def distance(self, pooled: FloatArray) -> FloatArray:
        """The Mahalanobis distance of pooled features (..., F)."""
        off = _seen_along(pooled) - np.array(self.centre)
        whitening = np.reshape(self.whitening, (off.shape[-1], off.shape[-1]))
        return np.asarray(np.linalg.norm(off @ whitening.T, axis=-1))


class Likeness(_Part):
    """What a checkpoint knows of its training patients, to find who is unlike them.

    Parameters
    ----------
    patients : how many these were
    features, max_features : None where the encoder was trained too, and no two members have the same features
    max_numbers : the widths that a number may lie off the middle
    """

    patients: int = Field(ge=MIN_PATIENTS)
    features: KnownFeatures | None = None
    max_features: float | None = None
    numbers: tuple[KnownNumber, ...] = ()
    max_numbers: float | None = None
    words: tuple[KnownWords, ...] = ()

    def judge(self, acquisition: Acquisition, pooled: FloatArray | None = None) -> tuple[Unlikeness, ...]:
        """How a patient with these pooled features (F,) is unlike the training patients; empty for who is not."""
        return tuple(self._differences(acquisition, pooled))

    def _differences(self, acquisition: Acquisition, pooled: FloatArray | None) -> Iterator[Unlikeness]:
        features, limit = self.features, self.max_features
        if features is not None and limit is not None and pooled is not None and features.distance(pooled) > limit:
            yield Unlikeness(Difference.IMAGES)
        if facts := (*self._numbers_off(acquisition), *self._words_unseen(acquisition)):
            yield Unlikeness(Difference.SCAN, facts)

    def _numbers_off(self, acquisition: Acquisition) -> Iterator[str]:
        for known in self.numbers:
            value = acquisition.numbers.get(known.name)
            if value is not None and self.max_numbers is not None and known.distance(value) > self.max_numbers:
                yield f"{known.name}: {value:.4g}, in training {known.low:.4g} to {known.high:.4g}"

    def _words_unseen(self, acquisition: Acquisition) -> Iterator[str]:
        for known in self.words:
            if acquisition.words.get(known.name, known.values[0]) not in known.values:
                yield f"{known.name}: as of none of the {self.patients} training patients"


def fit_likeness(acquisitions: Sequence[Acquisition], pooled: FloatArray | None = None) -> Likeness | None:
    """What is to be kept of training patients, one row of ``pooled`` (B, F) each; None for too few of them."""
    count = len(acquisitions)
    if count < MIN_PATIENTS:
        return None
    off_features, off_numbers = np.zeros(count), np.zeros(count)
    for part in range(PARTS):  # whoever helped to make a measure is nearer by it than the next patient will be
        out = np.arange(count) % PARTS == part
        numbers = _known_numbers([it for it, is_out in zip(acquisitions, out, strict=True) if not is_out])
        off_numbers[out] = [_farthest(numbers, it) for it, is_out in zip(acquisitions, out, strict=True) if is_out]
        if pooled is not None:
            off_features[out] = _known_features(pooled[~out]).distance(pooled[out])
    max_features, max_numbers = _limits(off_features, off_numbers)
    return Likeness(
        patients=count,
        features=None if pooled is None else _known_features(pooled),
        max_features=None if pooled is None else max_features,
        numbers=_known_numbers(acquisitions),
        max_numbers=max_numbers or None,
        words=_known_words(acquisitions),
    )


def _limits(*distances: FloatArray) -> list[float]:
    """One limit for each distance (B,), such that one patient in a hundred passes any of them."""
    rank = min(math.ceil(QUANTILE * (len(distances[0]) + 1)), len(distances[0]))  # the next patient counts too
    units = [float(np.sort(each)[rank - 1]) for each in distances]
    together = np.max([each / (unit or 1.0) for each, unit in zip(distances, units, strict=True)], axis=0)
    return [round(unit * float(np.sort(together)[rank - 1]), 4) for unit in units]


def _seen_along(pooled: FloatArray) -> FloatArray:
    """Pooled features (..., F) along a few fixed directions (..., P): cosines over channels, which have no order.

    They need no numbers in the checkpoint, and keep the distances of all channels alike, as random ones would.
    """
    channels, along = pooled.shape[-1], min(DIRECTIONS, pooled.shape[-1])
    at = np.outer(np.arange(channels) + 0.5, np.arange(along))
    return np.asarray(pooled @ np.cos(np.pi * at / channels))


def _known_features(pooled: FloatArray) -> KnownFeatures:
    seen = _seen_along(np.asarray(pooled, np.float64))
    count, along = seen.shape
    covariance = np.cov(seen, rowvar=False).reshape(along, along)
    variances = np.diag(np.maximum(np.diag(covariance), 1e-12))
    share = along / (count + along)  # shrunk towards its diagonal the more, the fewer patients there are
    whitening = np.linalg.inv(np.linalg.cholesky((1 - share) * covariance + share * variances))
    return KnownFeatures(centre=_kept(seen.mean(axis=0)), whitening=_kept(whitening.ravel()))


def _kept(values: FloatArray) -> tuple[float, ...]:
    """As a card keeps them: six digits."""
    return tuple(float(f"{value:.6g}") for value in values)


def _known_numbers(acquisitions: Sequence[Acquisition]) -> tuple[KnownNumber, ...]:
    names = sorted({name for it in acquisitions for name in it.numbers})
    found = {name: [it.numbers[name] for it in acquisitions if name in it.numbers] for name in names}
    enough = MIN_KNOWN * len(acquisitions)
    return tuple(_known_number(name, values) for name, values in found.items() if len(values) >= enough)


def _known_number(name: str, values: Sequence[float]) -> KnownNumber:
    low, middle, high = (float(it) for it in np.quantile(np.log(values), (0.05, 0.5, 0.95)))
    width = max((high - low) / 2, LEAST_RATIO)
    rounded = {"middle": round(middle, 5), "width": round(width, 5)}
    return KnownNumber(name=name, low=float(f"{min(values):.4g}"), high=float(f"{max(values):.4g}"), **rounded)


def _farthest(numbers: Sequence[KnownNumber], acquisition: Acquisition) -> float:
    """How far the farthest of the numbers lies off its middle; a width, where all are nearer: no limit is tighter."""
    known = [it.distance(acquisition.numbers[it.name]) for it in numbers if it.name in acquisition.numbers]
    return max((1.0, *known)) if numbers else 0.0


def _known_words(acquisitions: Sequence[Acquisition]) -> tuple[KnownWords, ...]:
    names = sorted({name for it in acquisitions for name in it.words})
    found = {name: [it.words[name] for it in acquisitions if name in it.words] for name in names}
    enough = MIN_KNOWN * len(acquisitions)
    return tuple(
        KnownWords(name=name, values=tuple(sorted(set(values))))
        for name, values in found.items()
        if len(values) >= enough
    )


def _text(ds: Dataset, keyword: str) -> str:
    """A text in small letters, its values as one; empty where there is none, or none that can be read."""
    try:
        value = ds.get(keyword)
    except Exception:  # noqa: BLE001  a header may hold anything, and pydicom raises what it likes at it
        return ""
    parts = [value] if isinstance(value, str) else value if isinstance(value, Sequence) else []
    return "/".join(str(part).strip().lower() for part in parts)


def _number(ds: Dataset, keyword: str) -> float | None:
    """A number above 0; None where there is none."""
    try:
        value = float(ds[keyword].value) if keyword in ds else None
    except Exception:  # noqa: BLE001  as above
        return None
    return value if _is_positive(value) else None


def _is_positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0
