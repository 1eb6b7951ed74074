"""One CT image of a data set, classic or multi-frame, as plain values: what `volume` needs to place it in space."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import dictionary_description
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    CTImageStorage,
    EnhancedCTImageStorage,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
)

from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.model.errors import Reason, SeriesUnsuitable

CT_SOP_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})

# JPEG 2000 (.91) and HTJ2K (.203) may be lossless, but nothing outside the stream guarantees it.
LOSSY_TRANSFER_SYNTAXES = frozenset(
    {
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        "1.2.840.10008.1.2.4.53",  # JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8), retired
        "1.2.840.10008.1.2.4.55",  # JPEG Full Progression, Non-Hierarchical (Process 10 & 12), retired
        JPEGLSNearLossless,
        JPEG2000,
        HTJ2K,
    }
)


@dataclass(frozen=True, eq=False)
class Frame:
    """Where one image lies and how its stored values become HU.

    Parameters
    ----------
    frame_number : from 1; None for a single-frame instance
    position_mm : (3,) float64, LPS, centre of the first stored pixel
    row_direction : (3,) unit vector along a row, that is in the direction of growing column index
    column_direction : (3,) unit vector along a column
    pixel_spacing_mm : between rows, between columns (PS3.3 10.7.1.1)
    padding : lowest and highest stored value that mean "no pixel", if declared
    """

    sop_class_uid: str
    sop_instance_uid: str
    instance_number: int | None
    frame_number: int | None
    frame_of_reference_uid: str
    rows: int
    columns: int
    position_mm: NDArray[np.float64]
    row_direction: NDArray[np.float64]
    column_direction: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]
    gantry_tilt_degrees: float
    rescale_slope: float
    rescale_intercept: float
    padding: tuple[int, int] | None


def frames_of(ds: Dataset) -> Iterator[Frame]:
    """The images of one data set; a multi-frame instance yields each of its frames.

    Raises
    ------
    SeriesUnsuitable
        It is not a CT image of a patient, or lacks what places it in space.
    """
    _check_kind(ds)
    if "NumberOfFrames" not in ds:
        yield _frame(ds, [ds], None)
        return
    shared = list(ds.get("SharedFunctionalGroupsSequence", []))
    for number, own in enumerate(ds.get("PerFrameFunctionalGroupsSequence", []), start=1):
        yield _frame(ds, [own, *shared], number)


def _check_kind(ds: Dataset) -> None:
    if ds.get("Modality") != "CT" or ds.get("SOPClassUID") not in CT_SOP_CLASSES:
        raise SeriesUnsuitable(Reason.NOT_CT, f"Modality is {ds.get('Modality')!r}.")
    if OWN_MANUFACTURER in str(ds.get("Manufacturer", "")).lower():
        raise SeriesUnsuitable(Reason.OWN_OUTPUT)
    image_type = [str(value).upper() for value in ds.get("ImageType", None) or []]
    if "LOCALIZER" in image_type:
        raise SeriesUnsuitable(Reason.LOCALIZER)
    if any(value in image_type for value in ("SCREEN SAVE", "DOSE", "DOSE_INFO")) or _is_secondary(image_type, ds):
        raise SeriesUnsuitable(Reason.DERIVED_IMAGE, f"Image Type is {'/'.join(image_type)}.")
    transfer_syntax = ds.file_meta.get("TransferSyntaxUID") if hasattr(ds, "file_meta") else None
    if transfer_syntax in LOSSY_TRANSFER_SYNTAXES or ds.get("LossyImageCompression") == "01":
        raise SeriesUnsuitable(Reason.LOSSY_COMPRESSION)


def _is_secondary(image_type: list[str], ds: Dataset) -> bool:
    """Whether it is a capture in CT's clothes: SECONDARY (PS3.3 C.7.6.1.1.2), and without a place in space."""
    return image_type[1:2] == ["SECONDARY"] and "ImagePositionPatient" not in ds and "NumberOfFrames" not in ds


def _frame(ds: Dataset, groups: list[Dataset], number: int | None) -> Frame:
    position = _vector(groups, "PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = _vector(groups, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = _vector(groups, "PixelMeasuresSequence", "PixelSpacing", 2)
    row, column = orientation[:3], orientation[3:]
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.any(np.abs(lengths - 1) > 0.01) or abs(row @ column) > 0.01 or np.any(spacing <= 0):
        values = f"Orientation {listed(orientation)} with spacing {listed(spacing)} mm is no grid."
        raise SeriesUnsuitable(Reason.MISSING_GEOMETRY, values)
    slope = _find(groups, "PixelValueTransformationSequence", "RescaleSlope")
    intercept = _find(groups, "PixelValueTransformationSequence", "RescaleIntercept")
    if slope is None or intercept is None:
        raise SeriesUnsuitable(Reason.MISSING_RESCALE, f"Image {ds.get('InstanceNumber')}.")
    return Frame(
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        instance_number=None if ds.get("InstanceNumber") is None else int(ds.InstanceNumber),
        frame_number=number,
        frame_of_reference_uid=str(ds.get("FrameOfReferenceUID", "")),
        rows=int(ds.Rows),
        columns=int(ds.Columns),
        position_mm=position,
        row_direction=row / lengths[0],
        column_direction=column / lengths[1],
        pixel_spacing_mm=(float(spacing[0]), float(spacing[1])),
        gantry_tilt_degrees=float(_find(groups, "CTAcquisitionDetailsSequence", "GantryDetectorTilt") or 0),
        rescale_slope=float(slope),
        rescale_intercept=float(intercept),
        padding=_padding(ds),
    )


def _find(groups: list[Dataset], sequence: str, keyword: str) -> Any:
    """The value of ``keyword`` in the first group that has it, directly or in its macro's ``sequence``."""
    for group in groups:
        holder = group[sequence].value[0] if group.get(sequence) else group
        if holder.get(keyword) is not None:
            return holder[keyword].value
    return None


def listed(numbers: NDArray[np.float64]) -> str:
    """Numbers as a person reads them: 1, 0, 0.3827."""
    return ", ".join(f"{number:.4g}" for number in numbers.ravel())


def _vector(groups: list[Dataset], sequence: str, keyword: str, length: int) -> NDArray[np.float64]:
    value = _find(groups, sequence, keyword)
    name = dictionary_description(keyword)
    if value is None:
        raise SeriesUnsuitable(Reason.MISSING_GEOMETRY, f"{name} has no value.")
    try:
        vector = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (length,) or not np.isfinite(vector).all():
        raise SeriesUnsuitable(Reason.MISSING_GEOMETRY, f"{name} is {value}, expected {length} numbers.")
    return vector


def _padding(ds: Dataset) -> tuple[int, int] | None:
    """Stored values that mean "no pixel" (PS3.3 C.7.5.1.1.2)."""
    if ds.get("PixelPaddingValue") is None:
        return None
    value = int(ds.PixelPaddingValue)
    limit = int(ds.get("PixelPaddingRangeLimit") or value)
    return min(value, limit), max(value, limit)
