"""The images of one series in space, from their headers alone; refused is what cannot be placed there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from survnode.model.ct.budget import check_claims
from survnode.model.ct.frames import Frame, frames_of, listed
from survnode.model.errors import Reason, SeriesUnsuitable

# Tolerances, chosen from how CT is written and not fitted to a cohort. Positions are decimal strings, which scanners
# round to 0.01-0.1 mm, so that one gap of an even series is off by up to 0.1 mm; a missing slice doubles a gap.
SPACING_TOLERANCE_MM = 0.1  # of one gap from the median gap ...
SPACING_TOLERANCE = 0.02  # ... or this share of the median gap, whichever is more: of 5 mm and more it is
DUPLICATE_MM = 0.01  # two slices nearer than this lie at one position: the finest step that scanners write
# Direction cosines and pixel spacings are written with 6 digits or so: they differ by rounding or by much more.
DIRECTION_TOLERANCE = 1e-3  # of each direction cosine between slices of one series: 0.06 degrees
PIXEL_SPACING_TOLERANCE_MM = 1e-3
AXIAL_DEGREES = 10.0  # between the patient's axes and those of the slices: who lies askew is, a reformat is not
TILT_DEGREES = 0.5  # between normal and stack: moves a slice by 2.6 mm over 300 mm, less than one slice of 3 mm
MIN_SLICES = 20  # a chest in slices of 10 mm has 25-35; localizers, test slices and most biopsy scans have fewer


@dataclass(frozen=True)
class SourceImage:
    """One CT image as the sender named it; ``frame_number`` (from 1) only for a frame of a multi-frame instance."""

    sop_class_uid: str
    sop_instance_uid: str
    instance_number: int | None = None
    frame_number: int | None = None


@dataclass(frozen=True)
class Arrangement:
    """The images of one series in space, feet to head, before a pixel is read.

    Parameters
    ----------
    frames : (D) in the order feet to head
    spacing_mm : (D, H, W)
    directions : (3, 3) float64, its columns the unit vectors of the axes W, H, D in LPS
    origin_mm : (3,) float64, LPS position of the centre of voxel (0, 0, 0)
    transpose, flip_rows, flip_columns : how the stored matrix becomes H = front to back, W = right to left
    """

    frames: tuple[Frame, ...]
    spacing_mm: tuple[float, float, float]
    directions: NDArray[np.float64]
    origin_mm: NDArray[np.float64]
    transpose: bool
    flip_rows: bool
    flip_columns: bool

    @property
    def images(self) -> tuple[SourceImage, ...]:
        """The source of each slice, feet to head."""
        return tuple(
            SourceImage(frame.sop_class_uid, frame.sop_instance_uid, frame.instance_number, frame.frame_number)
            for frame in self.frames
        )

    @property
    def extent_mm(self) -> float:
        """Length from the first slice to the last, the slices' own thickness included."""
        return len(self.frames) * self.spacing_mm[0]

    def upright(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The stored matrix turned so that rows run front to back and columns right to left."""
        if self.transpose:
            pixels = pixels.T
        if self.flip_rows:
            pixels = pixels[::-1]
        return pixels[:, ::-1] if self.flip_columns else pixels


def arrange(datasets: Iterable[Dataset]) -> Arrangement:
    """The images of one series in space.

    Parameters
    ----------
    datasets : of one series, in any order, with or without pixels; classic or (legacy converted) enhanced CT

    Raises
    ------
    SeriesUnsuitable
        Its reason says which rule was broken, its detail where.
    """
    datasets = list(datasets)
    frames = [frame for ds in datasets for frame in frames_of(ds)]
    check_claims(datasets)
    if len(frames) < MIN_SLICES:
        raise SeriesUnsuitable(Reason.TOO_FEW_SLICES, f"Found {len(frames)}, at least {MIN_SLICES} are needed.")
    return stack(frames)


def stack(frames: Sequence[Frame]) -> Arrangement:
    """Two images or more in space, in whatever order they came; raises as `arrange`."""
    _check_one_grid(frames)
    row, column = frames[0].row_direction, frames[0].column_direction
    normal = np.cross(row, column)
    if normal[2] < 0:  # prone or feet first: the normal points to the feet
        normal = -normal
    frames = sorted(frames, key=lambda frame: float(frame.position_mm @ normal))
    _check_straight(frames, normal)
    _check_axial(row, column, normal)
    spacing = _even_spacing(frames, normal)
    return _canonical(tuple(frames), row, column, normal, spacing)


def _check_one_grid(frames: Sequence[Frame]) -> None:
    first = frames[0]
    for frame in frames:
        if frame.frame_of_reference_uid != first.frame_of_reference_uid:
            raise SeriesUnsuitable(Reason.MIXED_FRAMES_OF_REFERENCE)
        if (frame.rows, frame.columns) != (first.rows, first.columns):
            sizes = f"Found {first.rows} x {first.columns} and {frame.rows} x {frame.columns}."
            raise SeriesUnsuitable(Reason.MIXED_SIZE, sizes)
        if not np.allclose(frame.pixel_spacing_mm, first.pixel_spacing_mm, rtol=0, atol=PIXEL_SPACING_TOLERANCE_MM):
            spacings = f"Found pixels of {first.pixel_spacing_mm} and {frame.pixel_spacing_mm} mm."
            raise SeriesUnsuitable(Reason.MIXED_SIZE, spacings)
        directions = np.concatenate([frame.row_direction, frame.column_direction])
        reference = np.concatenate([first.row_direction, first.column_direction])
        if not np.allclose(directions, reference, rtol=0, atol=DIRECTION_TOLERANCE):
            orientations = f"Found {listed(reference)} and {listed(directions)}."
            raise SeriesUnsuitable(Reason.MIXED_ORIENTATION, orientations)


def _check_axial(row: NDArray[np.float64], column: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    """Refuse slices whose three axes are not the patient's, each to within `AXIAL_DEGREES`."""
    nearest = np.abs(np.stack([row, column, normal])).max(axis=1)
    if abs(normal[2]) != nearest[2] or np.any(nearest < np.cos(np.radians(AXIAL_DEGREES))):
        angle = np.degrees(np.arccos(np.clip(abs(normal[2]), 0, 1)))
        raise SeriesUnsuitable(Reason.NOT_AXIAL, f"The slices' normal is {angle:.1f} degrees off the patient's axis.")


def _check_straight(frames: Sequence[Frame], normal: NDArray[np.float64]) -> None:
    """Refuse slices that share a place, or that are stacked along another line than their normal."""
    gaps = np.diff([frame.position_mm @ normal for frame in frames])
    if np.any(gaps < DUPLICATE_MM):
        shared = int((gaps < DUPLICATE_MM).sum())
        raise SeriesUnsuitable(Reason.DUPLICATE_POSITIONS, f"{shared} of {len(frames)} share another's place.")
    line = frames[-1].position_mm - frames[0].position_mm
    sheared = np.degrees(np.arccos(np.clip(line @ normal / np.linalg.norm(line), -1, 1)))
    tilt = max(float(sheared), *(abs(frame.gantry_tilt_degrees) for frame in frames))
    if tilt > TILT_DEGREES:
        raise SeriesUnsuitable(Reason.GANTRY_TILT, f"Found {tilt:.1f} degrees, at most {TILT_DEGREES} are accepted.")


def _even_spacing(frames: Sequence[Frame], normal: NDArray[np.float64]) -> float:
    """The distance between neighbours in mm, checked to be even."""
    along = np.array([frame.position_mm @ normal for frame in frames])
    gaps = np.diff(along)
    spacing = float(np.median(gaps))
    off = np.abs(gaps - spacing)
    if off.max() > max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * spacing):
        worst = int(off.argmax())
        raise SeriesUnsuitable(
            Reason.IRREGULAR_SPACING,
            f"Slices are {spacing:.2f} mm apart, but {gaps[worst]:.2f} mm lie between slices"
            f" {worst + 1} and {worst + 2} of {len(frames)}.",
        )
    return float((along[-1] - along[0]) / len(gaps))


def _canonical(
    frames: tuple[Frame, ...],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    normal: NDArray[np.float64],
    spacing: float,
) -> Arrangement:
    """Turn the axes of the stored matrix to right-to-left and front-to-back."""
    first = frames[0]
    transpose = bool(abs(row[0]) < abs(row[1]))
    across, down = (column, row) if transpose else (row, column)  # directions of increasing W and H
    across_mm, down_mm = first.pixel_spacing_mm if transpose else first.pixel_spacing_mm[::-1]
    width, height = (first.rows, first.columns) if transpose else (first.columns, first.rows)
    origin = first.position_mm.copy()
    flip_columns, flip_rows = bool(across[0] < 0), bool(down[1] < 0)
    if flip_columns:
        origin, across = origin + across * across_mm * (width - 1), -across
    if flip_rows:
        origin, down = origin + down * down_mm * (height - 1), -down
    return Arrangement(
        frames=frames,
        spacing_mm=(spacing, float(down_mm), float(across_mm)),
        directions=np.stack([across, down, normal], axis=1),
        origin_mm=origin,
        transpose=transpose,
        flip_rows=flip_rows,
        flip_columns=flip_columns,
    )
