"""The lung mask as a Segmentation on the images of the CT: the right and the left lung, each a segment."""

import hashlib
from collections.abc import Sequence

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage
from pydicom.valuerep import DSfloat

from survnode.model.ct.arrangement import Arrangement, stack
from survnode.model.ct.frames import Frame, frames_of
from survnode.model.ct.volume import Mask
from survnode.node.results import codes
from survnode.node.results.envelope import Envelope, ResultObject, ascii_text, coded, referenced
from survnode.node.results.identity import derived_uid
from survnode.node.results.source.subject import REQUIRED
from survnode.node.roles import ResultRole

SEGMENTS = {"Right lung": codes.RIGHT, "Left lung": codes.LEFT}  # in the order of the mask's values 1 and 2


def segmentation(lungs: Mask, envelope: Envelope) -> ResultObject:
    """The mask as a BINARY segmentation; its frames have the places and the matrix of the CT's own images.

    Parameters
    ----------
    lungs : (D, H, W) on the grid of the `Volume` of the source, upright as it is
    """
    arrangement = stack([frame for ds in envelope.source.headers for frame in frames_of(ds)])
    stored = np.stack([as_stored(plane, arrangement) for plane in lungs])
    stand_ins = [_stand_in(place, arrangement, envelope) for place in range(len(arrangement.frames))]
    ds = envelope.build(
        Segmentation,
        ResultRole.SEGMENTATION,
        variant=hashlib.sha256(stored.tobytes()).hexdigest(),
        source_images=stand_ins,
        pixel_array=stored,
        segmentation_type="BINARY",
        segment_descriptions=_segments(envelope),
        device_serial_number=envelope.device_uid,
        content_label="LUNGS",
        content_description="Right and left lung",
    )
    _name_sources(ds, dict(zip((item.SOPInstanceUID for item in stand_ins), arrangement.frames, strict=True)), envelope)
    ds.BurnedInAnnotation = "NO"
    dimensions = envelope.uid("dimensions", ResultRole.SEGMENTATION)
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    if not arrangement.frames[0].frame_of_reference_uid:
        del ds.FrameOfReferenceUID, ds.PositionReferenceIndicator  # the source names none, so no place is stated
    return ResultObject(ResultRole.SEGMENTATION, ds)


def as_stored(plane: NDArray[np.uint8], arrangement: Arrangement) -> NDArray[np.uint8]:
    """One upright slice (H, W) in the order of the pixels that the source stored: undoes `Arrangement.upright`."""
    if arrangement.flip_columns:
        plane = plane[:, ::-1]
    if arrangement.flip_rows:
        plane = plane[::-1]
    return plane.T if arrangement.transpose else plane


def _stand_in(place: int, arrangement: Arrangement, envelope: Envelope) -> Dataset:
    """What highdicom reads of a source image: its geometry, and a UID to know it by.

    A frame of a multi-frame image stands as an image of its own, since highdicom takes no more than one of those.
    """
    frame = arrangement.frames[place]
    ds = Dataset()
    for keyword in REQUIRED:
        setattr(ds, keyword, "")  # the patient is written afterwards
    evidence = envelope.source.evidence[0]
    ds.StudyInstanceUID, ds.SeriesInstanceUID = evidence.StudyInstanceUID, evidence.SeriesInstanceUID
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, derived_uid("stand-in", str(place))
    ds.Modality, ds.Rows, ds.Columns = "CT", frame.rows, frame.columns
    ds.FrameOfReferenceUID = frame.frame_of_reference_uid or derived_uid("no frame of reference")
    ds.ImagePositionPatient = _decimals(frame.position_mm)
    first = arrangement.frames[0]
    ds.ImageOrientationPatient = _decimals([*first.row_direction, *first.column_direction])
    ds.PixelSpacing = _decimals(first.pixel_spacing_mm)
    ds.SliceThickness = _decimals(arrangement.spacing_mm[:1])[0]
    for element in envelope.source.subject.compression:
        ds.add(element)
    return ds


def _decimals(values: Sequence[float] | NDArray[np.float64]) -> list[DSfloat]:
    return [DSfloat(float(value), auto_format=True) for value in values]


def _segments(envelope: Envelope) -> list[SegmentDescription]:
    return [_segment(number, label, envelope) for number, label in enumerate(SEGMENTS, start=1)]


def _segment(number: int, label: str, envelope: Envelope) -> SegmentDescription:
    algorithm = AlgorithmIdentificationSequence(
        ascii_text(envelope.model.lungs if envelope.model else "lungs")[:64], codes.ARTIFICIAL_INTELLIGENCE, ""
    )
    segment = SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.ANATOMICAL_STRUCTURE,
        segmented_property_type=codes.LUNG,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_id=label,
        tracking_uid=envelope.uid("tracking", label),
    )
    del segment.SegmentationAlgorithmIdentificationSequence  # it demands a family, which only the model knows
    segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [coded(SEGMENTS[label])]
    return segment


def _name_sources(ds: Dataset, frames: dict[str, Frame], envelope: Envelope) -> None:
    """Write the source images in place of their stand-ins."""
    for group in ds.PerFrameFunctionalGroupsSequence:
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        frame = frames.get(source.ReferencedSOPInstanceUID)
        if frame is None:
            continue  # both lungs' frames of one image share the item, and it is written already
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = frame.sop_class_uid, frame.sop_instance_uid
        if frame.frame_number is not None:
            source.ReferencedFrameNumber = frame.frame_number
    evidence = envelope.source.evidence
    ds.SourceImageSequence = [referenced(item) for item in evidence]
    series = Dataset()
    series.SeriesInstanceUID = evidence[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = [referenced(item) for item in evidence]
    ds.ReferencedSeriesSequence = [series]
