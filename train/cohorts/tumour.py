"""How large the tumour is that somebody drew: volume and longest axis from an RTSTRUCT, or from a DICOM SEG.

Each is measured as it was drawn, in the patient's space; no CT is read. Of contours the volume is the area within each
plane times the distance of planes, a contour within another one being a hole (PS3.3 C.8.8.6.3).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage, SegmentationStorage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from survnode.model.ct.budget import read_file

FloatArray = NDArray[np.float64]

SAME_PLANE_MM = 0.01  # positions are decimal strings


@dataclass(frozen=True)
class TumourSize:
    """The volume of what was drawn, and the longest distance between two of its points."""

    volume_ml: float
    axis_mm: float


def drawn_tumour(paths: Sequence[Path], series_instance_uid: str, name: str) -> TumourSize | None:
    """The size of the tumour in the first of these files that shows one on that CT; None if none does.

    Parameters
    ----------
    name : regular expression, any case, in the names of its regions or the labels of its segments
    """
    for path in paths:
        ds = read_file(path, pixels=True)
        if series_instance_uid not in set(_series_of(ds)):
            continue
        wanted = re.compile(name, re.IGNORECASE)
        if ds.SOPClassUID == RTStructureSetStorage:
            found = _of_contours(list(_contours(ds, wanted)))
        else:
            found = _of_segments(ds, wanted) if ds.SOPClassUID == SegmentationStorage else None
        if found is not None:
            return found
    return None


def _series_of(ds: Dataset) -> Iterator[str]:
    """The CT series on which a file was drawn."""
    for frame in ds.get("ReferencedFrameOfReferenceSequence", []):
        for study in frame.get("RTReferencedStudySequence", []):
            yield from (str(series.SeriesInstanceUID) for series in study.get("RTReferencedSeriesSequence", []))
    yield from (str(series.SeriesInstanceUID) for series in ds.get("ReferencedSeriesSequence", []))


def _contours(ds: Dataset, wanted: re.Pattern[str]) -> Iterator[FloatArray]:
    """The closed contours (N, 3) in mm of the regions of that name."""
    numbers = {roi.ROINumber for roi in ds.StructureSetROISequence if wanted.search(str(roi.get("ROIName", "")))}
    for region in ds.get("ROIContourSequence", []):
        if region.ReferencedROINumber in numbers:
            for contour in region.get("ContourSequence", []):
                points = np.array(contour.ContourData, np.float64).reshape(-1, 3)
                if len(points) > 2 and np.ptp(points[:, 2]) < SAME_PLANE_MM:
                    yield points


def _of_contours(contours: Sequence[FloatArray]) -> TumourSize | None:
    planes: dict[float, list[FloatArray]] = {}
    for points in contours:
        planes.setdefault(round(float(points[0, 2]), 2), []).append(points[:, :2])
    if len(planes) < 2:
        return None
    gap_mm = float(np.median(np.diff(sorted(planes))))
    area_mm2 = sum(_area(outlines) for outlines in planes.values())
    return TumourSize(area_mm2 * gap_mm / 1000, _longest(np.concatenate(contours)))


def _area(outlines: Sequence[FloatArray]) -> float:
    """Of one plane in mm2: what lies within an odd number of outlines."""
    return abs(sum(_signed(outline, outlines) for outline in outlines))


def _signed(outline: FloatArray, others: Iterable[FloatArray]) -> float:
    x, y = outline.T
    area = abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2
    within = sum(bool(Outline(other).contains_point(outline[0])) for other in others if other is not outline)
    return -area if within % 2 else area


def _of_segments(ds: Dataset, wanted: re.Pattern[str]) -> TumourSize | None:
    numbers = {int(it.SegmentNumber) for it in ds.SegmentSequence if wanted.search(str(it.get("SegmentLabel", "")))}
    frames = np.atleast_3d(ds.pixel_array) > 0
    shared = ds.SharedFunctionalGroupsSequence[0]
    corners, points = set(), []
    count, (down_mm, across_mm) = 0, map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, np.float64).reshape(2, 3)
    for frame, groups in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        if int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber) not in numbers or not frame.any():
            continue
        corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, np.float64)
        y, x = np.nonzero(frame)
        points.append(corner + x[:, None] * across_mm * row + y[:, None] * down_mm * column)
        corners.add(round(float(corner @ np.cross(row, column)), 2))
        count += len(x)
    if len(corners) < 2:
        return None
    gap_mm = float(np.median(np.diff(sorted(corners))))
    return TumourSize(count * down_mm * across_mm * gap_mm / 1000, _longest(np.concatenate(points)))


def _longest(points: FloatArray) -> float:
    """The longest distance between two of the points (N, 3)."""
    try:
        points = points[ConvexHull(points).vertices]
    except QhullError:  # all in a plane
        points = np.unique(points, axis=0)
    return float(pdist(points).max())
