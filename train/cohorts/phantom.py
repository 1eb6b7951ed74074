"""A cohort without patients: phantoms whose hazard of death depends on the size of their tumour and on nothing else.

Radius: none in one of ten patients, else uniform from 5 to 45 mm. Hazard: 0.03 exp((radius - 22) / 6.5) deaths a month,
constant in time. Follow-up ends at 60 months, and at random at a rate of one patient in 120 months. With these numbers
the true radius itself scores a time-dependent concordance of 0.85 within 24 months, and 53 % die in them. Sampling and
noise vary as they do between scanners, so that a model learns to look past both.
"""

import hashlib
import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.volume import Volume
from survnode.model.phantom.phantom import Tumour, make_phantom, tumour_slices
from survnode.train.cohorts.clinical import TWO_YEARS_MONTHS

SHARE_WITHOUT_TUMOUR = 0.1
RADIUS_MM = (5.0, 45.0)
HAZARD_A_MONTH, HAZARD_RADIUS_MM, HAZARD_SCALE_MM = 0.03, 22.0, 6.5
FOLLOW_UP_MONTHS, LOSS_MONTHS = 60.0, 120.0

FIELD_MM = 410.0  # of view, as 512 pixels of 0.8 mm
SLICES, SLICE_MM = 100, 3.0
PIXEL_MM = (0.8, 1.6)  # the coarser ones cost a fraction of the time
NOISE_HU = (8.0, 20.0)  # standard deviation


@dataclass(frozen=True)
class Truth:
    """Which images of a patient show the tumour: [first, end) counted from the feet; the radius is 0 for none."""

    radius_mm: float
    first: int
    end: int


@dataclass(frozen=True)
class PhantomPatient:
    """A `Patient` who is computed.

    Parameters
    ----------
    seed : of the phantom
    radius_mm : of the tumour; 0 for none
    pixel_mm, noise_hu : of the CT
    time_months, event : end of follow-up, True if by death
    """

    id: str
    seed: int
    radius_mm: float
    pixel_mm: float
    noise_hu: float
    time_months: float
    event: bool

    @property
    def died_within_two_years(self) -> bool:
        """By exact months."""
        return self.event and self.time_months < TWO_YEARS_MONTHS

    @property
    def key(self) -> str:
        """Changes with anything that changes the CT, but the code that paints it."""
        pixels = self.seed, self.radius_mm, self.pixel_mm, self.noise_hu, SLICES, SLICE_MM, FIELD_MM
        return hashlib.sha256(json.dumps(pixels).encode()).hexdigest()

    @property
    def tumour(self) -> Tumour | None:
        """As the phantom has it."""
        return Tumour(self.radius_mm) if self.radius_mm else None

    @property
    def grid(self) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
        """Shape and spacing in mm of the CT, (D, H, W)."""
        size = round(FIELD_MM / self.pixel_mm)
        return (SLICES, size, size), (SLICE_MM, self.pixel_mm, self.pixel_mm)

    def volume(self) -> Volume:
        """The CT, painted."""
        shape, spacing_mm = self.grid
        phantom = make_phantom(
            self.seed, shape=shape, spacing_mm=spacing_mm, tumour=self.tumour, noise_hu=self.noise_hu
        )
        return as_volume(phantom.hu, phantom.spacing_mm)

    def truth(self) -> Truth:
        """Where the tumour is."""
        shape, spacing_mm = self.grid
        shown = range(0) if self.tumour is None else tumour_slices(self.seed, self.tumour, shape, spacing_mm)
        return Truth(self.radius_mm, shown.start, shown.stop)


def draw_phantoms(count: int, seed: int, part: int = 0, prefix: str = "PHANTOM") -> tuple[PhantomPatient, ...]:
    """The first ``count`` patients of one part of a seed; two parts have none in common."""
    return tuple(
        _draw_patient(f"{prefix}-{index + 1:03d}", np.random.default_rng([seed, part, index])) for index in range(count)
    )


def hazard_a_month(radius_mm: float) -> float:
    """Deaths a month of patients whose tumour has this radius, 0 for none."""
    return HAZARD_A_MONTH * math.exp((radius_mm - HAZARD_RADIUS_MM) / HAZARD_SCALE_MM)


def as_volume(hu: NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> Volume:
    """A phantom's voxels as the volume that its DICOM images would give."""
    images = tuple(SourceImage("1.2.840.10008.5.1.4.1.1.2", f"2.25.{index + 1}", index + 1) for index in range(len(hu)))
    return Volume(hu.astype(np.float32), spacing_mm, images, np.eye(3), np.zeros(3))


def _draw_patient(name: str, rng: np.random.Generator) -> PhantomPatient:
    seed = int(rng.integers(2**31))
    without = rng.random() < SHARE_WITHOUT_TUMOUR
    radius = 0.0 if without else round(rng.uniform(*RADIUS_MM), 2)
    pixel, noise = round(rng.uniform(*PIXEL_MM), 2), round(rng.uniform(*NOISE_HU), 1)
    death = rng.exponential(1 / hazard_a_month(radius))
    leaving = min(FOLLOW_UP_MONTHS, rng.exponential(LOSS_MONTHS))
    return PhantomPatient(name, seed, radius, pixel, noise, min(death, leaving), death <= leaving)
