"""What the node knows of a study and its results, as plain values."""

from enum import StrEnum


class ResultRole(StrEnum):
    """What a result object is to the reader; its value is also its key in a destination's profile."""

    REPORT = "report"
    CAPTURE = "captures"
    KEY_OBJECTS = "key_objects"
    CURVE = "curve"
