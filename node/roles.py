"""What result objects there are, and what each is to its reader."""

from enum import StrEnum


class ResultRole(StrEnum):
    """What a result object is to the reader; its value is also its key in a destination's profile."""

    REPORT = "report"
    CAPTURE = "captures"
    KEY_OBJECTS = "key_objects"
    CURVE = "curve"
    PDF = "pdf"
    SEGMENTATION = "segmentation"
    ATTENTION_REPORT = "attention_report"
    WITHDRAWAL = "withdrawal"


# What a destination takes unless it is told otherwise.
DEFAULT_ROLES = (ResultRole.REPORT, ResultRole.CAPTURE, ResultRole.KEY_OBJECTS, ResultRole.CURVE)
