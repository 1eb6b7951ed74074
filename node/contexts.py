"""Who the node says that it is, and presentation contexts and DIMSE statuses as tables, each with its clause.

The receiver, the sender and the conformance statement read the same rows.
"""

from enum import IntEnum
from importlib.metadata import version
from typing import Self

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)

from survnode.node import errors
from survnode.node.roles import RESULT_SOP_CLASSES

# The one identity of this software: in associations, in the files that it receives and in those that it makes
# (PS3.7 D.3.3.2, PS3.10 7.1). The UID belongs to every version; a name has 16 characters at most.
IMPLEMENTATION_CLASS_UID = UID("2.25.222689209920316682736813724488297064198")
IMPLEMENTATION_VERSION_NAME = f"SURVNODE_{version('survnode')}"[:16]

Contexts = dict[str, tuple[str, ...]]  # SOP class UID -> transfer syntax UIDs, preferred first

VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"  # Storage Commitment Push Model (PS3.4 J)
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # the one instance of that class that everybody has

UNCOMPRESSED: tuple[str, ...] = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
LOSSLESS: tuple[str, ...] = (
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
)
LOSSY: tuple[str, ...] = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)

CT_SOP_CLASSES: tuple[str, ...] = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
RESULT_TRANSFER_SYNTAXES: tuple[str, ...] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def accepted_contexts(*, lossy: bool = False) -> Contexts:
    """What the node takes: CT in every transfer syntax that its decoders can read, and C-ECHO.

    Parameters
    ----------
    lossy : take images that were compressed with loss
    """
    syntaxes = UNCOMPRESSED + LOSSLESS + (LOSSY if lossy else ())
    return {**dict.fromkeys(CT_SOP_CLASSES, syntaxes), VERIFICATION: RESULT_TRANSFER_SYNTAXES}


def result_contexts() -> Contexts:
    """What a destination of results takes: every class that the node writes, and C-ECHO."""
    classes = (*RESULT_SOP_CLASSES, VERIFICATION)
    return dict.fromkeys(classes, RESULT_TRANSFER_SYNTAXES)


class StoreStatus(IntEnum):
    """What a sender is answered (PS3.4 B.2.3, PS3.7 C); never a warning, since nothing is ever changed or dropped."""

    meaning: str
    clause: str

    def __new__(cls, code: int, meaning: str, clause: str) -> Self:  # noqa: D102  what every member is made of
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning, member.clause = meaning, clause
        return member

    SUCCESS = 0x0000, "On disk and recorded, now or before.", "PS3.7 C.1.1"
    PROCESSING_FAILURE = 0x0110, "A fault of this node.", "PS3.7 C.5.21"
    INVALID_UID = 0x0117, "A UID breaks the rules of UIDs.", "PS3.7 C.5.8"
    OUT_OF_RESOURCES = 0xA700, "The disk is full, or too nearly: send it again later.", "PS3.4 B.2.3"
    MISMATCH = 0xA900, "The data set contradicts its command, or what is known of its UID.", "PS3.4 B.2.3"
    CANNOT_UNDERSTAND = 0xC000, "The data set cannot be read.", "PS3.4 B.2.3"


STATUS_OF_ERROR: dict[type[BaseException], StoreStatus] = {
    errors.UIDInvalid: StoreStatus.INVALID_UID,
    errors.InstanceUnparsable: StoreStatus.CANNOT_UNDERSTAND,
    errors.InstanceMismatch: StoreStatus.MISMATCH,
    errors.StorageFull: StoreStatus.OUT_OF_RESOURCES,
}


def status_of(error: BaseException) -> StoreStatus:
    """What the sender of an instance is answered when ``error`` kept it from being stored."""
    return STATUS_OF_ERROR.get(type(error), StoreStatus.PROCESSING_FAILURE)


class EventStatus(IntEnum):
    """What a destination is answered when it reports on a storage commitment (PS3.7 10.1.1.1.8)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT = 0x0115


class Answer(IntEnum):
    """What a destination's status means for the object that was sent (PS3.4 B.2.3, PS3.7 C)."""

    STORED = 0
    TRY_AGAIN = 1
    REFUSED = 2


def meaning_of(status: int | None) -> Answer:
    """What to do with an object that was answered with ``status``; None if no answer came.

    Without an answer the object may or may not be stored: it is sent again under the same UID.
    """
    if status is None or status & 0xFF00 == 0xA700:
        return Answer.TRY_AGAIN
    if status == 0x0000 or status & 0xF000 == 0xB000:
        return Answer.STORED
    return Answer.REFUSED
