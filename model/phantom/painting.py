"""The tissues of the made-up thorax: one slice of organs, then the tubes that cross slices.

Places and sizes are in mm and were set by eye, as were the numbers that make edges and textures: they claim to look
like a thorax and no more.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from survnode.model.phantom import anatomy as thorax
from survnode.model.phantom.anatomy import LEFT, RIGHT, Anatomy, Array

# HU: air by definition, the others in round figures of what is usual at 120 kV: chosen, not measured.
AIR, FAT, MUSCLE, MARROW, CORTEX = -1000.0, -100.0, 52.0, 180.0, 650.0
LIVER, SPLEEN, WATER, CARTILAGE, DISC, TABLE = 62.0, 50.0, 12.0, 120.0, 80.0, -180.0
SMALLEST_VESSEL_MM = 0.85  # radius; thinner ones double the time and are hardly seen
VERTEBRA_MM = 24.0  # height of a vertebral body and its disc


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels lie, mm from the middle: ``z`` (D), ``y`` (H, 1), ``x`` (1, W)."""

    z: Array
    y: Array
    x: Array
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> "Grid":
        """A grid around the middle of the thorax."""
        z, y, x = (
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32) for n, step in zip(shape, spacing_mm, strict=True)
        )
        return cls(z, y[:, None], x[None, :], spacing_mm)


@dataclass(frozen=True, eq=False)
class Texture:
    """Smooth random values of variance below 1 on a lattice of 7 mm around the middle."""

    lattice: Array

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Texture":
        """One patient's texture."""
        return cls(rng.standard_normal((64, 64, 64)).astype(np.float32))

    def on(self, z: float, y: Array, x: Array) -> Array:
        """Values (H, W) of one slice, by linear interpolation along each axis."""
        depth = _weights(np.array([z], np.float32))[0]
        near = np.flatnonzero(depth)
        plane = np.tensordot(depth[near], self.lattice[near], axes=1)
        return np.asarray(_weights(y.ravel()) @ plane @ _weights(x.ravel()).T, np.float32)


def _weights(position: Array, count: int = 64) -> Array:
    """(n, count) weights of linear interpolation."""
    place = np.clip(position / 7 + (count - 1) / 2, 0, count - 1)
    return np.asarray(np.clip(1 - np.abs(place[:, None] - np.arange(count)), 0, 1), np.float32)


@dataclass(frozen=True, eq=False)
class Canvas:
    """One slice at ``z``, or a part of it, while it is painted.

    Parameters
    ----------
    y, x : (H, 1) and (1, W), mm
    hu, rough : (H, W); a part of a slice shares its ``hu``
    pixel : mm
    """

    z: float
    y: Array
    x: Array
    hu: Array
    rough: Array
    pixel: np.float32

    @classmethod
    def blank(cls, grid: Grid, index: int, texture: Texture) -> "Canvas":
        """Slice ``index``, nothing but air."""
        z, pixel = float(grid.z[index]), np.float32((grid.spacing_mm[1] + grid.spacing_mm[2]) / 2)
        hu = np.full((grid.y.size, grid.x.size), AIR, np.float32)
        return cls(z, grid.y, grid.x, hu, texture.on(z, grid.y, grid.x), pixel)

    def part(self, y: tuple[float, float], x: tuple[float, float]) -> "Canvas":
        """What lies between these mm: most organs are small, and computing their distance is most of the work."""
        place = _between(self.y, y), _between(self.x, x)
        return replace(self, y=self.y[place[0]], x=self.x[:, place[1]], hu=self.hu[place], rough=self.rough[place])

    def fill(self, distance: Array, hu: float | Array) -> None:
        """Fill where ``distance`` is negative, in part at the edge (partial volume)."""
        share = np.clip(0.5 - distance / self.pixel, 0, 1)
        share *= hu - self.hu
        self.hu[...] += share


def _between(axis: Array, ends: tuple[float, float]) -> slice:
    return slice(*(int(place) for place in np.searchsorted(axis.ravel(), ends)))


MIDDLE_MM = (-70.0, 105.0)  # x of everything between the lungs, the heart included


def paint_slice(slice_: Canvas, anatomy: Anatomy) -> NDArray[np.bool_]:
    """Paint all that is drawn slice by slice, outside in; returns where the lungs are, (H, W)."""
    width, depth = anatomy.cavity_width + anatomy.fat + 30, anatomy.cavity_depth + anatomy.fat + 30
    trunk = slice_.part((-depth, depth), (-width, width))
    middle = trunk.part((-depth, depth), MIDDLE_MM)
    inside = thorax.cavity(anatomy, trunk.z, trunk.y, trunk.x)
    _table(slice_, anatomy)
    _wall(trunk, anatomy, inside)
    if trunk.z < max(anatomy.domes) + 8:
        _abdomen(trunk, anatomy, inside)
    _mediastinum(middle, anatomy)
    _spine(trunk.part((20, depth), (-40, 40)), anatomy)
    lung = np.maximum(inside + thorax.PLEURA_MM, thorax.above_diaphragm(anatomy, trunk.z, trunk.y, trunk.x))
    between = lung[:, _between(trunk.x, MIDDLE_MM)]
    np.maximum(between, -thorax.mediastinum(anatomy, middle.z, middle.y, middle.x), out=between)
    gravity = 0.25 * trunk.y  # the dependent lung is denser
    trunk.fill(lung, anatomy.lung_hu + gravity + 18 * trunk.rough)
    shown = np.zeros(slice_.hu.shape, np.bool_)
    shown[_between(slice_.y, (-depth, depth)), _between(slice_.x, (-width, width))] = lung < 0
    return shown


def _table(canvas: Canvas, a: Anatomy) -> None:
    back = a.cavity_depth + a.fat
    part = canvas.part((back, back + 50), (-190, 190))
    top = back + 29 - 16 * np.square(part.x / 190)
    part.fill(np.maximum(np.abs(part.y - top - 4) - 4, np.abs(part.x) - 185), TABLE)
    part.fill(np.maximum(np.abs(part.y - top - 4) - 2.5, np.abs(part.x) - 183), -940.0)


def _wall(canvas: Canvas, a: Anatomy, inside: Array) -> None:
    """Skin, fat, muscle with planes of fat, ribs, sternum, scapulae, and fat inside the rib cage."""
    z, y, x = canvas.z, canvas.y, canvas.x
    skin = thorax.body(a, z, y, x)
    canvas.fill(skin, MUSCLE)
    canvas.fill(skin + 2, FAT + 8 * canvas.rough)
    muscle = np.maximum(skin + a.fat + 2 * canvas.rough, -inside)
    canvas.fill(muscle, np.where(canvas.rough > 0.8, FAT, MUSCLE))
    if z > -22:
        behind = canvas.part((40, 150), (-135, 135))
        blades = thorax.scapulae(a, z, behind.y, behind.x)
        behind.fill(blades, CORTEX)
        behind.fill(blades + 1.5, MARROW)
    bones, way = thorax.ribs(a, z, y, x, inside)
    canvas.fill(bones, np.where(way > 0.78, CARTILAGE, CORTEX))
    canvas.fill(bones + 2, np.where(way > 0.78, CARTILAGE, MARROW))
    front = canvas.part((-130, 40), (-20, 20))
    plate = thorax.sternum(a, z, front.y, front.x)
    front.fill(plate, CORTEX)
    front.fill(plate + 1.8, MARROW)
    canvas.fill(inside, FAT + 6 * canvas.rough)


def _abdomen(canvas: Canvas, a: Anatomy, inside: Array) -> None:
    """Under the diaphragm: liver, stomach with a bubble of gas, spleen."""
    z, y, x = canvas.z, canvas.y, canvas.x
    below = np.maximum(z + 2 - thorax.diaphragm(a, y, x), inside + 2)
    canvas.fill(below - 2, MUSCLE)  # the diaphragm itself
    canvas.fill(below, FAT + 6 * canvas.rough)
    canvas.fill(np.maximum(below + 1, x - 45 + 0.5 * y), LIVER + 5 * canvas.rough)
    canvas.fill(np.maximum(below + 2, thorax.ellipsoid(z + 105, y - 38, x - 88, (45, 36, 26))), SPLEEN)
    stomach = np.maximum(below + 2, thorax.ellipsoid(z + 108, y + 18, x - 68, (46, 42, 40)))
    canvas.fill(stomach, MUSCLE)
    canvas.fill(stomach + 4, WATER)
    canvas.fill(np.maximum(stomach + 4, y + 25), AIR)


def _mediastinum(canvas: Canvas, a: Anatomy) -> None:
    """Heart, great vessels, oesophagus."""
    z, y, x = canvas.z, canvas.y, canvas.x
    canvas.fill(thorax.heart(a, z, y, x), a.blood_hu)
    arch, back = a.carina + 26, thorax.spine_y(a, z)

    def vessel(left: float, behind: float, width: float, depth: float, height: float = 0.0) -> None:
        """An ellipse of these half axes; ``height``: how far above or under its end ``z`` is."""
        part = canvas.part((behind - depth - 4, behind + depth + 4), (left - width - 4, left + width + 4))
        distance = thorax.ellipse(part.x - left, part.y - behind, width, depth)
        part.fill(np.maximum(distance, height) if height else distance, a.blood_hu)

    if z < arch:
        vessel(26, float(back) - 20, 12.5, 12.5)
    if a.heart[0] < z < arch:
        vessel(-8, -26, 15, 15)
    if a.heart[0] < z < arch + 35:
        vessel(-26, -14, 8, 9)
    vessel(9, 4, 12, 34, abs(z - arch) - 11)
    vessel(18, -20, 14, 17, abs(z - a.carina + 16) - 13)  # the pulmonary trunk
    vessel(-8, -4, 28, 8, abs(z - a.carina + 22) - 8)  # the right pulmonary artery
    if z > arch:  # the branches of the arch
        for left, behind in ((-16.0, -16.0), (8.0, -14.0), (20.0, -2.0)):
            vessel(left, behind, 6, 6)
    gullet = canvas.part((float(back) - 35, float(back) - 13), (-3, 20))
    gullet.fill(thorax.ellipse(gullet.x - 8, gullet.y - back + 24, 7, 5), MUSCLE)


def _spine(canvas: Canvas, a: Anatomy) -> None:
    """Vertebral bodies and discs, canal, arch and processes."""
    z, y, x = canvas.z, canvas.y, canvas.x
    back = thorax.spine_y(a, z)
    step = abs((z / VERTEBRA_MM + 0.5) % 1 - 0.5) * VERTEBRA_MM  # distance to the middle of the vertebra
    canvas.fill(thorax.ellipse(x, y - back - 22, 15, 13), 390.0)
    process = np.maximum(np.abs(x) - 4 + step * 0.15, np.abs(y - back - 38) - 14)
    canvas.fill(process, 320.0)
    if step < 6:
        canvas.fill(np.maximum(np.abs(y - back - 20 - 0.15 * np.abs(x)) - 5, np.abs(x) - 36), 320.0)
    canvas.fill(thorax.ellipse(x, y - back - 20, 9, 8), 28.0)
    vertebra = thorax.ellipse(x, y - back, 18, 15)
    canvas.fill(vertebra, DISC if step > 9.5 else CORTEX)
    if step <= 9.5:
        canvas.fill(vertebra + 1.8, (CORTEX if step > 8 else MARROW) + 25 * canvas.rough)


@dataclass(frozen=True, eq=False)
class Tubes:
    """Straight pieces of vessels or airways: ``start`` and ``end`` (n, 3) in (z, y, x) mm, ``radius`` (n) mm."""

    start: Array
    end: Array
    radius: Array


def vessels(a: Anatomy, rng: np.random.Generator) -> Tubes:
    """Trees that grow from each hilum, fork and thin out until they are too thin or leave the lung."""
    pieces = [piece for side in (RIGHT, LEFT) for piece in _tree(a, side, rng)]
    start, end, radius = (np.concatenate([piece[i] for piece in pieces]) for i in range(3))
    return Tubes(start, end, radius)


def _tree(a: Anatomy, side: int, rng: np.random.Generator) -> list[tuple[Array, Array, Array]]:
    """Generations of (start, end, radius), the thickest first."""
    stems = 22
    start = np.tile(np.array(thorax.hilum(a, side), np.float32), (stems, 1))
    outward = 1.0 if side == LEFT else -1.0
    way = rng.normal(size=(stems, 3)) * (1.0, 1.0, 0.5) + (-0.25, 0.1, 0.8 * outward)
    radius = rng.uniform(2.8, 4.6, stems)
    pieces = []
    while radius.size:
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        length = np.clip(radius * rng.uniform(5, 9, radius.size), 6, 26)
        end = start + way * length[:, None]
        pieces.append((start.astype(np.float32), end.astype(np.float32), radius.astype(np.float32)))
        z, y, x = end.astype(np.float32).T
        inside = thorax.lungs(a, z, y, x) < np.where(length > 15, 6, -2)
        start, way = np.repeat(end[inside], 2, axis=0), np.repeat(way[inside], 2, axis=0)
        radius = np.repeat(radius[inside], 2) * rng.uniform(0.68, 0.88, len(way))
        way = way + 0.42 * rng.normal(size=way.shape)
        thick = radius > SMALLEST_VESSEL_MM
        start, way, radius = start[thick], way[thick], radius[thick]
    return pieces


def airways(a: Anatomy, wall_mm: float = 0.0) -> Tubes:
    """Trachea, main and lobar bronchi, thicker by ``wall_mm``."""
    top, carina = (200.0, -2.0, 0.0), (a.carina, 8.0, 2.0)
    right, left = thorax.hilum(a, RIGHT), thorax.hilum(a, LEFT)
    pieces = [(top, carina, 8.5), (carina, right, 6.5), (carina, left, 5.8)]
    for hilum, out in ((right, -1.0), (left, 1.0)):
        for dz, dy, dx in ((24.0, -8.0, 18.0), (-16.0, -22.0, 16.0), (-34.0, 14.0, 14.0)):
            end = (hilum[0] + dz, hilum[1] + dy, hilum[2] + out * dx)
            pieces.append((hilum, end, 3.2))
    start, end_, radius = ([piece[i] for piece in pieces] for i in range(3))
    return Tubes(np.array(start, np.float32), np.array(end_, np.float32), np.array(radius, np.float32) + wall_mm)


def paint_tubes(hu: Array, grid: Grid, tubes: Tubes, value: float) -> None:
    """Paint tubes into a volume (D, H, W), in part at the edge."""
    pixel = np.float32((grid.spacing_mm[1] + grid.spacing_mm[2]) / 2)
    for start, end, radius in zip(tubes.start, tubes.end, tubes.radius, strict=True):
        place = box(grid, np.minimum(start, end) - radius - pixel, np.maximum(start, end) + radius + pixel)
        part = hu[place]
        if part.size:
            share = np.clip(0.5 - (_to_line(grid, place, start, end) - radius) / pixel, 0, 1)
            part += share * (value - part)


def box(grid: Grid, low: Array, high: Array) -> tuple[slice, slice, slice]:
    """The voxels between two corners (z, y, x) mm."""
    axes = (grid.z, grid.y.ravel(), grid.x.ravel())
    first = [int(np.searchsorted(axis, corner)) for axis, corner in zip(axes, low, strict=True)]
    last = [int(np.searchsorted(axis, corner, "right")) for axis, corner in zip(axes, high, strict=True)]
    return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])


def _to_line(grid: Grid, box: tuple[slice, slice, slice], start: Array, end: Array) -> Array:
    """Distance of the voxels in ``box`` to a piece of line."""
    z = grid.z[box[0]][:, None, None] - start[0]
    y, x = grid.y[box[1]][None] - start[1], grid.x[:, box[2]][None] - start[2]
    way = end - start
    along = np.clip((z * way[0] + y * way[1] + x * way[2]) / (way @ way), 0, 1)
    away = np.square(z - along * way[0]) + np.square(y - along * way[1]) + np.square(x - along * way[2])
    return np.asarray(np.sqrt(away), np.float32)
