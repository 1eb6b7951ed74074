"""What can keep a prediction from being made.

::

    ModelError
    ├── SeriesUnsuitable              this CT cannot be analysed, whatever the model; ``reason`` is its code
    ├── ExtraMissing                  an optional part of the installation is not on this machine
    ├── WeightsMissing                a weight file is not on this machine
    ├── WeightsChanged                a weight file is not the one that was asked for
    └── CheckpointRefused             a checkpoint that cannot be trusted or read
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Self


class Explained(StrEnum):
    """A code for machines with the ``sentence`` that explains it to a person: ``CODE = "CODE", "Sentence."``."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Self:  # noqa: D102  an enumeration's own
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member


class Reason(Explained):
    """Why a series, or a whole study, is not analysed."""

    NO_ELIGIBLE_SERIES = "NO_ELIGIBLE_SERIES", "The study holds no series that can be analysed."
    NOT_CT = "NOT_CT", "The images are not CT."
    LOCALIZER = "LOCALIZER", "The images are localizers."
    DERIVED_IMAGE = "DERIVED_IMAGE", "The images are a dose report, a screen save or otherwise derived."
    OWN_OUTPUT = "OWN_OUTPUT", "The images were written by this software."
    LOSSY_COMPRESSION = "LOSSY_COMPRESSION", "The images were compressed with loss."
    TOO_FEW_SLICES = "TOO_FEW_SLICES", "There are too few slices."
    NOT_AXIAL = "NOT_AXIAL", "The slices are not axial."
    GANTRY_TILT = "GANTRY_TILT", "The gantry was tilted."
    MIXED_ORIENTATION = "MIXED_ORIENTATION", "The slices do not share one orientation."
    MIXED_SIZE = "MIXED_SIZE", "The slices do not share one matrix and pixel spacing."
    MIXED_FRAMES_OF_REFERENCE = "MIXED_FRAMES_OF_REFERENCE", "The slices do not share one frame of reference."
    MISSING_GEOMETRY = "MISSING_GEOMETRY", "A slice lacks its position, orientation or pixel spacing."
    DUPLICATE_POSITIONS = "DUPLICATE_POSITIONS", "Several slices lie at one position."
    IRREGULAR_SPACING = "IRREGULAR_SPACING", "The slices are not evenly spaced: some are missing or misplaced."
    MISSING_RESCALE = "MISSING_RESCALE", "A slice lacks its rescale to Hounsfield units."
    TOO_LARGE = "TOO_LARGE", "The images are larger than can be analysed."
    UNREADABLE_PIXELS = "UNREADABLE_PIXELS", "The pixels of a slice cannot be read."
    NO_LUNGS = "NO_LUNGS", "No lungs were found in the images."
    LUNGS_INCOMPLETE = "LUNGS_INCOMPLETE", "A part of the lungs is missing in the images."
    NOTHING_KNOWN = "NOTHING_KNOWN", "The model needs values beside the images, and none is known."


class ModelError(Exception):
    """The root of everything that this package refuses."""


class SeriesUnsuitable(ModelError):
    """The CT cannot be analysed; trying again cannot help.

    Parameters
    ----------
    reason : what is told by its sentence
    detail : what was expected and what came, with numbers; never a patient's identity
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason.sentence} {detail}".strip())

    def __reduce__(self) -> tuple[type[Self], tuple[Reason, str]]:
        """Cross a process as it is: an exception is otherwise made anew from its message."""
        return type(self), (self.reason, self.detail)


class ExtraMissing(ModelError):
    """An optional part of the installation is not here: the message says what it is and how to install it."""

    def __init__(self, extra: str, needed_by: str, missing: Sequence[str], python: str) -> None:
        self.extra, self.needed_by, self.missing, self.python = extra, needed_by, tuple(missing), python
        verb = "is" if len(missing) == 1 else "are"
        super().__init__(
            f"{needed_by} needs the extra [{extra}], of which {', '.join(missing)} {verb} not installed:"
            f" in survnode's source folder, run {python} -m pip install -e '.[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, Sequence[str], str]]:
        """See `SeriesUnsuitable.__reduce__`."""
        return type(self), (self.extra, self.needed_by, self.missing, self.python)


class WeightsMissing(ModelError):
    """A pretrained weight file is not on this machine: the message says which, its sha256 and how to get it."""

    def __init__(self, name: str, sha256: str, places: Sequence[Path | str], remedy: str) -> None:
        self.name, self.sha256, self.places, self.remedy = name, sha256, tuple(places), remedy
        looked = ", ".join(str(place) for place in places)
        super().__init__(f"The weights {name} (sha256 {sha256}) were not found; looked at {looked}. {remedy}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, Sequence[Path | str], str]]:
        """See `SeriesUnsuitable.__reduce__`."""
        return type(self), (self.name, self.sha256, self.places, self.remedy)


class WeightsChanged(ModelError):
    """A weight file does not have the sha256 that was asked for."""

    def __init__(self, name: str, path: Path, expected: str, found: str) -> None:
        self.name, self.path, self.expected, self.found = name, path, expected, found
        super().__init__(f"The weights {name} at {path} have sha256 {found}, expected {expected}.")

    def __reduce__(self) -> tuple[type[Self], tuple[str, Path, str, str]]:
        """See `SeriesUnsuitable.__reduce__`."""
        return type(self), (self.name, self.path, self.expected, self.found)


class CheckpointRefused(ModelError):
    """A checkpoint is absent, altered, of an unknown version, or does not fit its own description."""
