"""What result objects there are, and what each is to its reader and to a PACS: the one table of roles.

Whatever else knows something of a role (a constructor, a destination's profile) is keyed by it and written where that
is made.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Self

# PS3.6 table A-1, by the names that pydicom gives them. They are written out since every command that lists something
# knows of roles, and pydicom takes longer to import than the list to be shown.
Comprehensive3DSRStorage = "1.2.840.10008.5.1.4.1.1.88.34"
ComprehensiveSRStorage = "1.2.840.10008.5.1.4.1.1.88.33"
EncapsulatedPDFStorage = "1.2.840.10008.5.1.4.1.1.104.1"
EnhancedSRStorage = "1.2.840.10008.5.1.4.1.1.88.22"
KeyObjectSelectionDocumentStorage = "1.2.840.10008.5.1.4.1.1.88.59"
SecondaryCaptureImageStorage = "1.2.840.10008.5.1.4.1.1.7"
SegmentationStorage = "1.2.840.10008.5.1.4.1.1.66.4"

# The classes of a report by their names in a destination's configuration, in order of preference: the same content,
# in a class that an older PACS takes.
REPORT_CLASSES: dict[str, str] = {
    "comprehensive-3d": Comprehensive3DSRStorage,
    "comprehensive": ComprehensiveSRStorage,
    "enhanced": EnhancedSRStorage,
}
_REPORT = tuple(REPORT_CLASSES.values())
_IMAGE = (SecondaryCaptureImageStorage,)
_KEY_OBJECTS = (KeyObjectSelectionDocumentStorage,)


class ResultRole(StrEnum):
    """What a result object is to the reader; its value is also its key in a destination's profile.

    The members stand in the order in which a reader wants them, which is that of sending.

    Parameters
    ----------
    sop_classes : that it is written in, preferred first
    series_number : of its series, unless a site chooses another
    description : of what it holds, in a list of series and above a document
    file_name : relative to the folder of its result; ``{rank}`` is the rank of a capture
    by_default : whether a destination gets it unless it is told otherwise
    """

    sop_classes: tuple[str, ...]
    series_number: int
    description: str
    file_name: str
    by_default: bool

    def __new__(  # noqa: D102  what every member is made of
        cls,
        key: str,
        sop_classes: tuple[str, ...],
        series_number: int,
        description: str,
        file_name: str,
        by_default: bool = False,
    ) -> Self:
        member = str.__new__(cls, key)
        member._value_ = key
        member.sop_classes, member.series_number, member.description = sop_classes, series_number, description
        member.file_name, member.by_default = file_name, by_default
        return member

    # fmt: off
    REPORT = "report", _REPORT, 9101, "AI survival report", "report.dcm", True
    CAPTURE = "captures", _IMAGE, 9102, "AI attention", "captures/{rank:02d}.dcm", True
    KEY_OBJECTS = "key_objects", _KEY_OBJECTS, 9103, "AI key images", "key-objects.dcm", True
    CURVE = "curve", _IMAGE, 9104, "AI survival curve", "curve.dcm", True
    PDF = "pdf", (EncapsulatedPDFStorage,), 9105, "AI survival summary", "summary.pdf.dcm"
    SEGMENTATION = "segmentation", (SegmentationStorage,), 9106, "AI lung segmentation", "lungs.dcm"
    ATTENTION_REPORT = "attention_report", _REPORT, 9107, "AI attention values", "attention-report.dcm"
    WITHDRAWAL = "withdrawal", _KEY_OBJECTS, 9108, "AI results withdrawn", "withdrawal.dcm"
    # fmt: on

    @property
    def is_report(self) -> bool:
        """Whether it is a Structured Report, which can be written in each of `REPORT_CLASSES`."""
        return self.sop_classes == _REPORT

    @property
    def is_image(self) -> bool:
        """Whether it has pixels."""
        return not self.is_report and self.sop_classes[0] in {SecondaryCaptureImageStorage, SegmentationStorage}

    @property
    def place(self) -> int:
        """Of its objects in the order of sending, from 0."""
        return tuple(ResultRole).index(self)

    def path(self, rank: int = 0) -> str:
        """Its file, relative to the folder of its result."""
        return self.file_name.format(rank=rank)

    def sop_class(self, report_sop_class: str | None = None) -> str:
        """The class in which it is written for whoever gets reports in ``report_sop_class``; None: the preferred."""
        return report_sop_class if self.is_report and report_sop_class else self.sop_classes[0]


DEFAULT_ROLES = tuple(role for role in ResultRole if role.by_default)
SERIES_NUMBERS = {role: role.series_number for role in ResultRole}
RESULT_SOP_CLASSES = tuple(dict.fromkeys(uid for role in ResultRole for uid in role.sop_classes))


def best_report_class(accepted: Collection[str]) -> str | None:
    """The preferred class of a report among those ``accepted``; None if there is none."""
    return next((sop_class for sop_class in _REPORT if sop_class in accepted), None)
