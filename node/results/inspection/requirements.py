"""What the node's own rules want in an object, as tables: the standard's type 1 for what we write, and our habits."""

from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

# PS3.3 C.7.2.1, C.7.3.1, C.12.1, and what section A wants of each of our classes
TYPE_1_ALL = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber",
    "Modality", "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "SpecificCharacterSet",
    "InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime",
    "SeriesDescription", "ContentQualification", "ContributingEquipmentSequence",
)  # fmt: skip
_DOCUMENT = (
    "ValueType", "ConceptNameCodeSequence", "ContinuityOfContent", "ContentTemplateSequence", "ContentSequence",
    "CurrentRequestedProcedureEvidenceSequence",
)  # fmt: skip
_REPORT = (*_DOCUMENT, "CompletionFlag", "VerificationFlag", "PreliminaryFlag", "CodingSchemeIdentificationSequence")
_IMAGE = (
    "ImageType", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelData", "SourceImageSequence",
)  # fmt: skip

TYPE_1: dict[str, tuple[str, ...]] = {
    Comprehensive3DSRStorage: _REPORT,
    ComprehensiveSRStorage: _REPORT,
    EnhancedSRStorage: _REPORT,
    KeyObjectSelectionDocumentStorage: _DOCUMENT,
    SecondaryCaptureImageStorage: (
        *_IMAGE, "PlanarConfiguration", "ConversionType", "BodyPartExamined", "ImageComments",
    ),
    EncapsulatedPDFStorage: (
        "ConversionType", "BurnedInAnnotation", "SourceInstanceSequence", "DocumentTitle",
        "MIMETypeOfEncapsulatedDocument", "EncapsulatedDocument",
    ),
    SegmentationStorage: (
        *_IMAGE, "NumberOfFrames", "SegmentationType", "ContentLabel", "SegmentSequence",
        "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DimensionOrganizationSequence",
        "DimensionIndexSequence", "ReferencedSeriesSequence", "LossyImageCompression", "DeviceSerialNumber",
    ),
}  # fmt: skip

# Values that never differ, by class and, for reports, by role.
NO_IDENTITY = {"BurnedInAnnotation": "NO", "RecognizableVisualFeatures": "NO"}
FIXED: dict[str, dict[str, str]] = {
    KeyObjectSelectionDocumentStorage: {"Modality": "KO"},
    SecondaryCaptureImageStorage: {**NO_IDENTITY, "ConversionType": "WSD", "Modality": "OT"},
    EncapsulatedPDFStorage: {
        "RecognizableVisualFeatures": "NO",
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "Modality": "DOC",
    },
    SegmentationStorage: {"BurnedInAnnotation": "NO", "SegmentationType": "BINARY", "Modality": "SEG"},
}
REPORT_FLAGS = {
    "Modality": "SR", "CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED", "PreliminaryFlag": "PRELIMINARY",
}  # fmt: skip
