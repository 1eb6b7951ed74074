"""The names that commands take; light, so that ``--help`` needs no torch."""

from enum import StrEnum


class CohortName(StrEnum):
    """Whose CT and outcomes."""

    PHANTOM = "phantom"
    LUNG1 = "lung1"
    CLARO = "claro"
    TABLE = "table"


class Preset(StrEnum):
    """A recipe with a name."""

    PAPER = "paper"  # what the paper says, and usual values where it says nothing
    RELEASED = "released"  # what its published code does where that differs
    RECOMMENDED = "recommended"  # what learns
