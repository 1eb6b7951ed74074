"""Who the node says that it is, and presentation contexts and DIMSE statuses as tables, each with its clause.

The receiver, the sender and the conformance statement read the same rows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
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

ANY_STORAGE = "*"  # in place of a SOP class UID: every storage class, and every class that the standard does not list
VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"  # Storage Commitment Push Model (PS3.4 J)
FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # Study Root Query/Retrieve (PS3.4 C)
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
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
_NO_PATIENTS_STORAGE = (
    "1.2.840.10008.1.",  # storage commitment, media directory
    "1.2.840.10008.5.1.1.27",  # stored print
    "1.2.840.10008.5.1.4.1.1.200.1",  # protocols (PS3.4 GG: non-patient objects, as all that follow)
    "1.2.840.10008.5.1.4.1.1.200.3",
    "1.2.840.10008.5.1.4.1.1.200.7",
    "1.2.840.10008.5.1.4.1.1.201.",  # inventories
    "1.2.840.10008.5.1.4.38.",  # hanging protocols
    "1.2.840.10008.5.1.4.39.",  # colour palettes
    "1.2.840.10008.5.1.4.43.",  # implant templates
    "1.2.840.10008.5.1.4.44.",
    "1.2.840.10008.5.1.4.45.",
)
RESULT_TRANSFER_SYNTAXES: tuple[str, ...] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def accepted_contexts() -> Contexts:
    """What the node takes: any study, whole, and C-ECHO.

    CT comes in a transfer syntax that can be decoded without loss if the peer proposes one, everything else in
    whatever the peer proposes first: it is kept or dropped as it came, and nothing is decoded while it is received.
    """
    lossless = UNCOMPRESSED + LOSSLESS
    return {**dict.fromkeys(CT_SOP_CLASSES, lossless), VERIFICATION: RESULT_TRANSFER_SYNTAXES, ANY_STORAGE: ()}


def result_contexts() -> Contexts:
    """What a destination of results takes: every class that the node writes, and C-ECHO."""
    classes = (*RESULT_SOP_CLASSES, VERIFICATION)
    return dict.fromkeys(classes, RESULT_TRANSFER_SYNTAXES)


def fetched_contexts() -> list[tuple[str, str]]:
    """What a source is offered to send in answer to C-GET: SOP class and transfer syntax of each context.

    Each has a context of its own, so that a source can send every file as it lies there; lossy syntaxes too, since a
    study that was compressed with loss is reported as such.
    """
    return [(sop_class, syntax) for sop_class in CT_SOP_CLASSES for syntax in UNCOMPRESSED + LOSSLESS + LOSSY]


class ContextResult(IntEnum):
    """What a peer is answered about one presentation context (PS3.8 9.3.3.2)."""

    words: str

    def __new__(cls, code: int, words: str) -> Self:  # noqa: D102  what every member is made of
        member = int.__new__(cls, code)
        member._value_ = code
        member.words = words
        return member

    ACCEPTED = 0, "accepted"
    CLASS_UNSUPPORTED = 3, "this SOP class is not accepted"
    SYNTAXES_UNSUPPORTED = 4, "none of the proposed transfer syntaxes is accepted"


@dataclass(frozen=True)
class Negotiated:
    """The answer to one proposed presentation context.

    Parameters
    ----------
    transfer_syntax : the accepted one; empty if none is
    """

    result: ContextResult
    transfer_syntax: str = ""


def negotiated(contexts: Contexts, abstract_syntax: str, proposed: Sequence[str]) -> Negotiated:
    """What a peer is answered that proposes ``abstract_syntax`` in the transfer syntaxes ``proposed``.

    The first of them that ``contexts`` lists is taken; for storage, where `ANY_STORAGE` is among them, else the first.
    """
    anything = ANY_STORAGE in contexts and may_be_storage(abstract_syntax)
    if abstract_syntax not in contexts and not anything:
        return Negotiated(ContextResult.CLASS_UNSUPPORTED)
    listed = contexts.get(abstract_syntax, ())
    fits = [uid for uid in proposed if uid in listed] or (list(proposed) if anything else [])
    return Negotiated(ContextResult.ACCEPTED, fits[0]) if fits else Negotiated(ContextResult.SYNTAXES_UNSUPPORTED)


@lru_cache(maxsize=1024)
def may_be_storage(abstract_syntax: str) -> bool:
    """Whether a SOP class is one of storage, or unknown to the standard: private, or newer than this software."""
    uid = UID(abstract_syntax)  # it knows the standard's table (PS3.6 A)
    if not uid.type:
        return True
    return uid.type == "SOP Class" and "Storage" in uid.name and not uid.startswith(_NO_PATIENTS_STORAGE)


def name_of(uid: str) -> str:
    """A UID's name in the standard, itself where it has none."""
    return str(UID(uid).name) if _UID.fullmatch(uid) else NO_UID


def loggable_uid(uid: str) -> str:
    """The UID that a peer sent, if it is one: whatever else stands in its place may be a patient's name."""
    return uid if _UID.fullmatch(uid) else NO_UID


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
    PROCESSING_FAILURE = 0x0110, "This node failed.", "PS3.7 C.5.21"
    INVALID_UID = 0x0117, "A UID breaks the rules of UIDs.", "PS3.7 C.5.8"
    OUT_OF_RESOURCES = 0xA700, "The disk is full, or nearly full: send it again later.", "PS3.4 B.2.3"
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


NO_UID = "(no UID)"
_UID = re.compile(r"[0-9.]{1,64}")

WATCHDOG_AE_TITLE = "SURVNODE-WATCH"  # by which the node calls its own receiver, to see whether it answers


class Answer(IntEnum):
    """What a destination's status means for the object that was sent (PS3.4 B.2.3, PS3.7 C)."""

    STORED = 0
    TRY_AGAIN = 1  # the destination can take nothing now
    DOUBTFUL = 2  # it failed with this object, which may pass
    REFUSED = 3


def meaning_of(status: int | None) -> Answer:
    """What to do with an object that was answered with ``status``; None if no answer came.

    Without an answer the object may or may not be stored: it is sent again under the same UID. Many archives answer
    0x0110 or 0xCxxx for a full database or a lost mount, and for good only to what they can never read.
    """
    if status is None or status & 0xFF00 == 0xA700:
        return Answer.TRY_AGAIN
    if status == 0x0000 or status & 0xF000 == 0xB000:
        return Answer.STORED
    if status == 0x0110 or status & 0xF000 == 0xC000:
        return Answer.DOUBTFUL
    return Answer.REFUSED
