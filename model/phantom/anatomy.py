"""The anatomy of a made-up thorax as signed distances in mm: negative inside, about true near the surface.

Coordinates are (z, y, x) in mm from the middle of the volume: z to the head, y to the back, x to the patient's left.
Every function takes arrays that broadcast, so that one point, a slice or a volume cost one call.

The sizes are an adult's in round figures, the places were set by eye until slices looked like CT; no number here was
measured on patients. What matters of it is tested: the volume and the HU of the lungs, and that organs lie where they
belong (tests/model/phantom).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Length = NDArray[np.floating[Any]] | float

RIGHT, LEFT = 1, 2  # labels of the lungs
PLEURA_MM = 3.0  # between the inside of the rib cage and the lung: pleura and the fat outside it, chosen


@dataclass(frozen=True)
class Anatomy:
    """Sizes and places of one patient, mm and HU.

    Parameters
    ----------
    cavity_width, cavity_depth : half axes of the inside of the rib cage
    apex, carina : z of the lung apex and of the tracheal bifurcation
    domes : z of the right and left dome of the diaphragm
    fat : thickness of the subcutaneous fat
    heart, heart_radius : centre (z, y, x) and mean radius of the heart
    rib_spacing, rib_phase : distance of two ribs at the spine, and where they begin
    lung_hu, blood_hu : of the parenchyma and of vessels (higher after contrast)
    """

    cavity_width: float
    cavity_depth: float
    apex: float
    carina: float
    domes: tuple[float, float]
    fat: float
    heart: tuple[float, float, float]
    heart_radius: float
    rib_spacing: float
    rib_phase: float
    lung_hu: float
    blood_hu: float


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """One patient out of a moderately varied population of adults."""
    dome = rng.uniform(-55, -35)
    return Anatomy(
        cavity_width=rng.uniform(124, 140),
        cavity_depth=rng.uniform(80, 94),
        apex=rng.uniform(112, 126),
        carina=rng.uniform(32, 46),
        domes=(dome, dome - rng.uniform(5, 16)),
        fat=rng.uniform(7, 16),
        heart=(rng.uniform(-50, -38), rng.uniform(-38, -28), rng.uniform(14, 24)),
        heart_radius=rng.uniform(46, 55),
        rib_spacing=rng.uniform(22, 26),
        rib_phase=rng.uniform(0, 24),
        lung_hu=rng.uniform(-880, -830),
        blood_hu=rng.choice([42.0, rng.uniform(110, 170)]),
    )


def ellipse(u: Length, v: Length, a: Length, b: Length) -> Array:
    """Distance to an ellipse along the ray from its centre."""
    radius = np.sqrt(np.square(u) + np.square(v)) + np.float32(1e-3)
    return np.asarray(radius - radius / np.sqrt(np.square(u / a) + np.square(v / b) + np.float32(1e-9)), np.float32)


def ellipsoid(u: Length, v: Length, w: Length, radii: tuple[float, float, float]) -> Array:
    """Distance to an ellipsoid, scaled by its mean radius."""
    rho = np.sqrt(np.square(u / radii[0]) + np.square(v / radii[1]) + np.square(w / radii[2]))
    return np.asarray((rho - 1) * np.float32(np.mean(radii)), np.float32)


def narrowing(a: Anatomy, z: Length) -> Array:
    """Share of its full width that the rib cage has at ``z``: a dome that closes above the apex."""
    below = np.clip((a.apex + PLEURA_MM + 1 - z) / 150, 1e-3, 1)
    return np.asarray(np.sqrt(1 - (1 - below) ** 3), np.float32)


def body(a: Anatomy, z: Length, y: Length, x: Length) -> Array:
    """The skin."""
    shoulder = np.clip((np.asarray(z) - 60) / 90, 0, 1) ** 2
    width = a.cavity_width + 22 + a.fat + 4 * shoulder
    depth = a.cavity_depth + 21 + a.fat - 18 * shoulder
    return _squarish(np.asarray(x, np.float32), np.asarray(y, np.float32) - 3, width, depth)


def cavity(a: Anatomy, z: Length, y: Length, x: Length) -> Array:
    """The inside of the rib cage, from the neck down into the abdomen."""
    share = narrowing(a, z)
    back = -8 + 22 * (1 - share)
    return _squarish(np.asarray(x, np.float32), y - back, a.cavity_width * share, a.cavity_depth * share)


def _squarish(u: Length, v: Length, width: Length, depth: Length) -> Array:
    """Distance to a superellipse of exponent 2.5, which a chest resembles more than an ellipse."""
    across, down = np.abs(u / width), np.abs(v / depth)
    rho = (across**2 * np.sqrt(across) + down**2 * np.sqrt(down) + np.float32(1e-6)) ** np.float32(0.4)
    return np.asarray(np.sqrt(u * u + v * v) * (1 - 1 / rho), np.float32)


def diaphragm(a: Anatomy, y: Length, x: Length) -> Array:
    """Height (z) of the diaphragm: two domes that fall to the wall, lowest at the back."""
    left = np.asarray(x) > 0
    centre = np.where(left, 62.0, -62.0)
    rho = np.square((x - centre) / 88) + np.square((np.asarray(y) + 12) / 95)
    top = np.where(left, a.domes[1], a.domes[0])
    return np.asarray(top - 52 * rho - 0.2 * (np.asarray(y) + 12), np.float32)


def above_diaphragm(a: Anatomy, z: Length, y: Length, x: Length) -> Array:
    """Everything above it."""
    return np.asarray((diaphragm(a, y, x) - z) * np.float32(0.8), np.float32)


def heart(a: Anatomy, z: Length, y: Length, x: Length) -> Array:
    """An egg whose apex points to the left, the front and the feet."""
    down, back, left = z - a.heart[0], y - a.heart[1], x - a.heart[2]
    along, across = 0.80 * left - 0.60 * back, 0.60 * left + 0.80 * back
    scale = a.heart_radius / 50
    return ellipsoid(down + 0.25 * along, across, along, (50 * scale, 40 * scale, 60 * scale))


def mediastinum(a: Anatomy, z: Length, y: Length, x: Length) -> Array:
    """All between the lungs: central space, septum behind the sternum, spine, hila and heart."""
    back = 22 * (1 - narrowing(a, z))
    # The hila are soft tissue around the main bronchi; the septum narrows where the lungs nearly meet in front.
    parts: list[Length] = [
        ellipse(x - 3, y - back * 0.6, 25 + 0.05 * np.abs(z), 48),
        np.broadcast_to(np.abs(x - 2) - 3.5, np.broadcast_shapes(np.shape(x), np.shape(y))),
        ellipse(x, y - spine_y(a, z), 25, 28),
        heart(a, z, y, x) - 3,
        ellipse(x - 24, y - 40, 16, 17),
    ]
    parts += [ellipsoid(z - hz, y - hy, x - hx, (22, 15, 17)) for hz, hy, hx in (hilum(a, RIGHT), hilum(a, LEFT))]
    distance = np.asarray(parts[0], np.float32)
    for part in parts[1:]:
        distance = np.minimum(distance, np.asarray(part, np.float32))
    return distance


def lungs(a: Anatomy, z: Length, y: Length, x: Length) -> Array:
    """Both lungs; the sign of ``x`` (about 2 mm left of the middle) tells them apart."""
    above = np.maximum(cavity(a, z, y, x) + PLEURA_MM, above_diaphragm(a, z, y, x))
    return np.asarray(np.maximum(above, -mediastinum(a, z, y, x)), np.float32)


def spine_y(a: Anatomy, z: Length) -> Length:
    """The thoracic kyphosis: y of the middle of the vertebral bodies."""
    return a.cavity_depth - 24 - 12 * np.square(np.asarray(z, np.float32) / 150)


def hilum(a: Anatomy, side: int) -> tuple[float, float, float]:
    """Where bronchus and vessels enter the lung (z, y, x)."""
    return (a.carina - 28, 10.0, -34.0) if side == RIGHT else (a.carina - 32, 14.0, 38.0)


def ribs(a: Anatomy, z: Length, y: Length, x: Length, wall: Array) -> tuple[Array, Array]:
    """Distance to the ribs, and the share of the way from the spine (0) to the sternum (1).

    Parameters
    ----------
    wall : distance to `cavity`, which the ribs follow
    """
    way = np.asarray(np.abs(np.arctan2(x, np.asarray(y) + 8)) / np.pi, np.float32)
    fall = 95 * np.sin(way * np.float32(np.pi / 2)) ** 2  # a rib descends on its way to the front
    number = (z + fall + a.rib_phase) / a.rib_spacing
    off = (number - np.round(number)) * a.rib_spacing
    section = np.sqrt(np.square(off / 6.5) + np.square((wall - 5.5) / 4.2))
    return np.asarray((section - 1) * 5, np.float32), way


def sternum(a: Anatomy, z: Length, y: Length, x: Length) -> Array:
    """The breastbone, in front of the middle of the rib cage."""
    front = -8 + 22 * (1 - narrowing(a, z)) - a.cavity_depth * narrowing(a, z)
    high, low = a.apex - 45, -70
    ends = np.maximum(np.asarray(z) - high, low - np.asarray(z))
    return np.asarray(np.maximum(ellipse(x, y - front + 8, 17, 5.5), ends), np.float32)


def scapulae(a: Anatomy, z: Length, y: Length, x: Length) -> Array:
    """Both shoulder blades: thin plates that lean on the back of the rib cage."""
    side = np.abs(x)
    plate = np.abs(y - (a.cavity_depth + 4) + 0.012 * np.square(side - 60)) - 3.0
    width = np.abs(side - 92) - 28 * np.clip((np.asarray(z) + 20) / 60, 0.1, 1)
    return np.asarray(np.maximum(np.maximum(plate, width), -20 - np.asarray(z)), np.float32)
