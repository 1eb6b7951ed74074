"""Every code that the results use: the standard's, and one table of our own.

No survival probability could be verified in SNOMED CT, NCIt or DCM, so these are private and declared as such
(PS3.3 C.12.1.1.7).
"""

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.sr.coding import Code

from survnode.model.ct.coverage import CoverageWarning
from survnode.model.errors import Reason
from survnode.model.likeness import Difference

SCHEME = "99SURVNODE"

# DICOM's own
ONCOLOGY_REPORT = Code("126001", "DCM", "Oncology Measurement Report")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
FINDING = Code("121071", "DCM", "Finding")
COMMENT = Code("121106", "DCM", "Comment")
DEVICE = CodedConcept("121007", "DCM", "Device")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
REJECTED_FOR_QUALITY = Code("113001", "DCM", "Rejected for Quality Reasons")
FOR_RESEARCH = Code("113009", "DCM", "For Research")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
SPATIAL_RESAMPLING = Code("113085", "DCM", "Spatial resampling")
COVERAGE_INCOMPLETE = Code("130576", "DCM", "Anatomy coverage incomplete")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")

# other people's
ENGLISH = CodedConcept("en-US", "RFC5646", "English (United States)")
UNSPECIFIED_CT = Code("25045-6", "LN", "CT unspecified body region")
LUNG = Code("39607008", "SCT", "Lung")
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
# The parent of good, bad and uncertain prognoses in SNOMED CT; which of these a number means, nobody has validated.
PROGNOSIS = Code("365858006", "SCT", "Prognosis/outlook finding")
PERCENT = Code("%", "UCUM", "percent")

# ours
ATTENTION = Code("ATTENTION", SCHEME, "Share of the model's attention")


MODELS_DISAGREE = Code("W-DISAGREE", SCHEME, "The models of the ensemble disagree")
IMAGES_MISSING = Code("W-MISSING", SCHEME, "Fewer images were received than the PACS holds")

_WARNINGS = {
    CoverageWarning.CUT_BELOW: "W-CUT-BELOW",
    CoverageWarning.CUT_ABOVE: "W-CUT-ABOVE",
    CoverageWarning.SHORT: "W-SHORT",
    CoverageWarning.ONE_LUNG: "W-ONE-LUNG",
    CoverageWarning.LUNG_REPLACED: "W-REPLACED",
}


def warning(of_coverage: CoverageWarning) -> Code:
    """What a reader must know of the lungs that were analysed."""
    return Code(_WARNINGS[of_coverage], SCHEME, of_coverage.sentence.rstrip("."))


_UNLIKE = {Difference.IMAGES: "W-UNLIKE-IMAGE", Difference.SCAN: "W-UNLIKE-SCAN"}


def unlike(difference: Difference) -> Code:
    """How the patient is unlike those that the model was trained on."""
    return Code(_UNLIKE[difference], SCHEME, difference.sentence.rstrip("."))


def is_reason(code: str) -> bool:
    """Whether a code of `SCHEME` says why a study was not analysed."""
    return code in _REASONS.values()


def survival(month: int) -> Code:
    """The predicted probability of being alive ``month`` months after the CT."""
    return Code(f"OS-M{month:02d}", SCHEME, f"Predicted {month}-month overall survival probability")


def cumulative_incidence(month: int) -> Code:
    """The predicted probability of having died by the end of month ``month``."""
    return Code(f"CIF-M{month:02d}", SCHEME, f"Predicted cumulative incidence of death at month {month}")


_REASONS = {
    Reason.NO_ELIGIBLE_SERIES: "NA-NO-SERIES",
    Reason.NOT_CT: "NA-NOT-CT",
    Reason.LOCALIZER: "NA-LOCALIZER",
    Reason.DERIVED_IMAGE: "NA-DERIVED",
    Reason.OWN_OUTPUT: "NA-OWN-OUTPUT",
    Reason.LOSSY_COMPRESSION: "NA-LOSSY",
    Reason.TOO_FEW_SLICES: "NA-FEW-SLICES",
    Reason.NOT_AXIAL: "NA-NOT-AXIAL",
    Reason.GANTRY_TILT: "NA-TILT",
    Reason.MIXED_ORIENTATION: "NA-ORIENTATION",
    Reason.MIXED_SIZE: "NA-MIXED-SIZE",
    Reason.MIXED_FRAMES_OF_REFERENCE: "NA-MIXED-FRAMES",
    Reason.MISSING_GEOMETRY: "NA-GEOMETRY",
    Reason.DUPLICATE_POSITIONS: "NA-DUPLICATES",
    Reason.IRREGULAR_SPACING: "NA-SPACING",
    Reason.MISSING_RESCALE: "NA-RESCALE",
    Reason.TOO_LARGE: "NA-TOO-LARGE",
    Reason.UNREADABLE_PIXELS: "NA-PIXELS",
    Reason.NO_LUNGS: "NA-NO-LUNGS",
    Reason.LUNGS_INCOMPLETE: "NA-LUNGS-CUT",
    Reason.NOTHING_KNOWN: "NA-NOTHING-KNOWN",
}


def not_analysed(reason: Reason) -> Code:
    """Why a study was not analysed; the names of `Reason` are longer than a Code Value may be."""
    return Code(_REASONS[reason], SCHEME, reason.sentence.rstrip("."))


def private_scheme() -> CodingSchemeIdentificationItem:
    """The declaration of `SCHEME`."""
    return CodingSchemeIdentificationItem(
        designator=SCHEME, name="survnode survival prediction codes", responsible_organization="survnode"
    )
