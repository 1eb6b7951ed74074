"""Pixels -> a Secondary Capture image, as a PACS wants it from a workstation."""

from collections.abc import Iterable

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from survnode.model.ct.arrangement import SourceImage
from survnode.node.results import codes
from survnode.node.results.envelope import Envelope, coded
from survnode.node.roles import ResultRole

Pixels = NDArray[np.uint8]  # (rows, columns, 3) RGB


def secondary_capture(
    pixels: Pixels, envelope: Envelope, role: ResultRole, number: int, comment: str, sources: Iterable[SourceImage]
) -> Dataset:
    """The image object; it has no place in space, or viewers would sort it by that instead of by its number."""
    ds = envelope.build(
        SCImage,
        role,
        number,
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        study_instance_uid=envelope.source.subject.attributes.StudyInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    ds.PatientOrientation = None
    ds.ConversionType = "WSD"
    ds.DateOfSecondaryCapture, ds.TimeOfSecondaryCapture = ds.ContentDate, ds.ContentTime
    ds.BodyPartExamined = "CHEST"
    ds.BurnedInAnnotation = "NO"  # nothing in the pixels names the patient
    ds.RecognizableVisualFeatures = "NO"
    ds.ImageComments = comment
    ds.DerivationDescription = comment
    ds.SourceImageSequence = [_source(image) for image in sources]
    requests = envelope.source.subject.requests
    if requests:
        ds.RequestAttributesSequence = list(requests)
    for element in envelope.source.subject.compression:
        ds.add(element)
    return ds


def _source(image: SourceImage) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
    if image.frame_number is not None:
        item.ReferencedFrameNumber = image.frame_number
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE)]
    return item
