"""What can differ between two CT of one patient: each rule gives a volume anew, and at strength 0 the same one.

Strengths are chosen from what differs between scanners and protocols, not fitted to a cohort; the reason stands beside
each in `disturbances`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from survnode.model.ct.volume import Mask, Volume
from survnode.model.errors import Explained

FloatArray = NDArray[np.float32]
Interval = tuple[float, float]  # from, to; in mm from the centre of a volume's first voxel

GRAIN_PIXELS = 0.7  # standard deviation of the blur that makes white noise the grain of a soft kernel: by eye
# HU of what takes up contrast medium, and how much of it: blood, muscle and tumours (0 to 150) all of it, fat (below
# -50) and bone (above 300) none. Chosen from the usual HU of these tissues.
TAKE_UP_HU, TAKE_UP_SHARE = (-50.0, 0.0, 150.0, 300.0), (0.0, 1.0, 1.0, 0.0)


class DisturbanceKind(Explained):
    """What is changed; the sentence says how, and what a strength means."""

    NOISE = "noise", "Grain of a soft kernel with this standard deviation is added."
    SMOOTHER = "smoother kernel", "Each slice is blurred by a Gaussian of this standard deviation."
    SHARPER = "sharper kernel", "What a Gaussian of this standard deviation takes away is added once more."
    THICKER = "thicker slices", "Each slice is the mean over this length; the slices stay as far apart as they were."
    FEWER = "fewer slices", "Of this many neighbouring slices one is kept."
    SHIFT = "shifted grid", "The voxels lie this far from where they lay, along each axis, read linearly."
    CONTRAST = "contrast medium", "Soft tissue is brighter by this much; fat, lung and bone are as they were."
    FIELD_OF_VIEW = "field of view", "Each slice ends this far outside the lungs; below 0 it cuts them."
    TOP = "top of the stack", "The stack ends this far above the lungs; below 0 it cuts them."
    BASE = "base of the stack", "The stack begins this far below the lungs; below 0 it cuts them."


UNITS = {DisturbanceKind.NOISE: "HU", DisturbanceKind.CONTRAST: "HU", DisturbanceKind.FEWER: "slices"}  # others: mm


@dataclass(frozen=True)
class Disturbance:
    """One change of a volume, and how strong it is."""

    kind: DisturbanceKind
    strength: float
    rule: Callable[[Volume, float], Volume]

    def apply(self, volume: Volume) -> Volume:
        """The changed volume; the one that is given stays as it is."""
        return self.rule(volume, self.strength)

    @property
    def unit(self) -> str:
        """Of its strength."""
        return UNITS.get(self.kind, "mm")

    def __str__(self) -> str:
        """For people."""
        return f"{self.kind}, {self.strength:g} {self.unit}"


def disturbances(lungs_mm: tuple[Interval, Interval, Interval], seed: int) -> tuple[Disturbance, ...]:
    """Ten kinds, each at two or three strengths.

    Parameters
    ----------
    lungs_mm : where the lungs lie, as `lung_extent_mm`
    seed : of the noise
    """
    kind = DisturbanceKind
    rules: dict[DisturbanceKind, tuple[Callable[[Volume, float], Volume], tuple[float, ...]]] = {
        kind.NOISE: (partial(with_noise, seed=seed), (10, 20, 40)),  # routine chests have 10-20, low doses more
        kind.SMOOTHER: (smoothed, (0.5, 1, 2)),  # kernels of body CT differ by about 1 mm in resolution
        kind.SHARPER: (sharpened, (0.5, 1)),
        kind.THICKER: (averaged, (5, 10)),  # usual thicknesses of older protocols
        kind.FEWER: (thinned, (2, 3)),
        kind.SHIFT: (shifted, (0.5, 1.5, 5)),  # half of a pixel, half of a slice, a table that was set elsewhere
        kind.CONTRAST: (enhanced, (30, 60, 120)),  # muscle and tumours take up 20-60 HU, blood 100 and more
        kind.FIELD_OF_VIEW: (partial(_narrowed, lungs_mm=lungs_mm), (20, 5, -20)),
        kind.TOP: (partial(_lowered, lungs_mm=lungs_mm), (5, -20, -60)),  # lungs are 200-300 mm high
        kind.BASE: (partial(_raised, lungs_mm=lungs_mm), (5, -20, -60)),
    }
    return tuple(
        Disturbance(kind, strength, rule) for kind, (rule, strengths) in rules.items() for strength in strengths
    )


def lung_extent_mm(lungs: Mask, spacing_mm: tuple[float, float, float]) -> tuple[Interval, Interval, Interval]:
    """From where to where ``lungs`` (D, H, W) lie along each axis, from the centre of the first voxel."""
    places = np.nonzero(lungs)
    first, second, third = (
        (float(place.min() * step), float(place.max() * step)) for place, step in zip(places, spacing_mm, strict=True)
    )
    return first, second, third


def with_noise(volume: Volume, sd_hu: float, *, seed: int) -> Volume:
    """``volume`` with grain of ``sd_hu``, within its own range of HU, as a scanner's is cut off at its lowest value."""
    rng = np.random.default_rng(seed)
    lowest, highest = volume.hu.min(), volume.hu.max()
    hu = volume.hu.copy()
    for row in range(len(hu)):  # a slice at a time: no second volume in memory
        grain = ndimage.gaussian_filter(rng.standard_normal(hu.shape[1:], np.float32), GRAIN_PIXELS)
        hu[row] += np.float32(sd_hu) * grain / grain.std()
    return replace(volume, hu=hu.clip(lowest, highest))


def smoothed(volume: Volume, sd_mm: float) -> Volume:
    """``volume`` with each slice blurred by a Gaussian of ``sd_mm``."""
    _, height, width = volume.spacing_mm
    return replace(volume, hu=ndimage.gaussian_filter(volume.hu, (0, sd_mm / height, sd_mm / width), mode="nearest"))


def sharpened(volume: Volume, sd_mm: float) -> Volume:
    """``volume`` with what a Gaussian of ``sd_mm`` takes away from each slice added once more (an unsharp mask)."""
    return replace(volume, hu=volume.hu + (volume.hu - smoothed(volume, sd_mm).hu))


def averaged(volume: Volume, thickness_mm: float) -> Volume:
    """``volume`` with each slice the mean over ``thickness_mm``; thinner than the slices lie apart changes nothing."""
    step = volume.spacing_mm[0]
    thickness = max(thickness_mm, step)
    reach = int(np.ceil((thickness / step - 1) / 2))
    edges = (np.arange(-reach, reach + 2) - 0.5) * step
    weights = np.diff(edges.clip(-thickness / 2, thickness / 2)) / thickness  # the share of each neighbour
    return replace(volume, hu=ndimage.correlate1d(volume.hu, weights, axis=0, mode="nearest"))


def thinned(volume: Volume, every: float) -> Volume:
    """One of ``every`` neighbouring slices, those left over at the ends shared out between them; of 0, all."""
    step = max(int(every), 1)
    rest = (len(volume.hu) - 1) % step
    kept = slice(rest // 2, None, step)
    part = _part(volume, (kept, slice(None), slice(None)))
    return replace(part, spacing_mm=(volume.spacing_mm[0] * step, *volume.spacing_mm[1:]))


def shifted(volume: Volume, mm: float) -> Volume:
    """``volume`` on a grid that lies ``mm`` further along each axis; the patient stays where they were."""
    steps = [-mm / step for step in volume.spacing_mm]
    hu = ndimage.shift(volume.hu, steps, order=1, mode="nearest")
    return replace(volume, hu=hu, origin_mm=volume.origin_mm + volume.directions @ np.full(3, mm))


def enhanced(volume: Volume, added_hu: float) -> Volume:
    """``volume`` with soft tissue brighter by ``added_hu``, see `TAKE_UP_HU`."""
    hu = volume.hu.copy()
    for row in range(len(hu)):
        hu[row] += np.interp(hu[row], TAKE_UP_HU, TAKE_UP_SHARE) * added_hu
    return replace(volume, hu=hu)


def cropped(volume: Volume, kept_mm: tuple[Interval, Interval, Interval]) -> Volume:
    """The voxels of ``volume`` whose centres lie within ``kept_mm`` along each axis; one at least."""
    depth, height, width = (
        _between(interval, count, step)
        for interval, count, step in zip(kept_mm, volume.hu.shape, volume.spacing_mm, strict=True)
    )
    return _part(volume, (depth, height, width))


def _between(interval: Interval, count: int, step: float) -> slice:
    places = np.arange(count) * step
    inside = np.flatnonzero((places >= interval[0] - 1e-6) & (places <= interval[1] + 1e-6))
    return slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 1)


def _part(volume: Volume, place: tuple[slice, slice, slice]) -> Volume:
    depth, height, width = (part.start or 0 for part in place)
    steps_mm = np.array([width, height, depth]) * volume.spacing_mm[::-1]
    return replace(
        volume,
        hu=np.ascontiguousarray(volume.hu[place]),
        images=volume.images[place[0]],
        origin_mm=volume.origin_mm + volume.directions @ steps_mm,
    )


ALL: Interval = (-np.inf, np.inf)


def _narrowed(volume: Volume, margin_mm: float, *, lungs_mm: tuple[Interval, Interval, Interval]) -> Volume:
    _, rows, columns = ((low - margin_mm, high + margin_mm) for low, high in lungs_mm)
    return cropped(volume, (ALL, rows, columns))


def _lowered(volume: Volume, margin_mm: float, *, lungs_mm: tuple[Interval, Interval, Interval]) -> Volume:
    return cropped(volume, ((-np.inf, lungs_mm[0][1] + margin_mm), ALL, ALL))


def _raised(volume: Volume, margin_mm: float, *, lungs_mm: tuple[Interval, Interval, Interval]) -> Volume:
    return cropped(volume, ((lungs_mm[0][0] - margin_mm, np.inf), ALL, ALL))
