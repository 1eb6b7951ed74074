"""One instance as it came over the network, and the few attributes of it that the node needs before it is stored."""

import re
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from io import BytesIO

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from survnode.model.ct.frames import OWN_MANUFACTURER
from survnode.node import errors
from survnode.node.contexts import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from survnode.node.intake.facts import FACT_KEYWORDS, Facts, facts_of, text_of

SOP_CLASS_UID, SOP_INSTANCE_UID = Tag("SOPClassUID"), Tag("SOPInstanceUID")
STUDY_DATE, ACCESSION_NUMBER, MANUFACTURER = Tag("StudyDate"), Tag("AccessionNumber"), Tag("Manufacturer")
PATIENT_ID = Tag("PatientID")
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = Tag("StudyInstanceUID"), Tag("SeriesInstanceUID")
WANTED = [
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_DATE,
    ACCESSION_NUMBER,
    PATIENT_ID,
    STUDY_INSTANCE_UID,
    SERIES_INSTANCE_UID,
    MANUFACTURER,
    *(Tag(keyword) for keyword in FACT_KEYWORDS),
]

# PS3.5 9.1 forbids leading zeros too, but scanners have written them for decades and they harm nothing here.
_UID = re.compile(rb"[0-9]+(\.[0-9]+)*")
_UID_MAX_LENGTH = 64

_INFLATED_HEADER_BYTES = 1 << 20  # enough for the attributes up to the series; the rest need not be inflated
_INFLATED_MAX_BYTES = 1 << 29  # a data set that inflates to more is a bomb: the later steps inflate it whole


@dataclass(frozen=True)
class Received:
    """A C-STORE request.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : of the command
    transfer_syntax_uid : of the presentation context
    encoded : the data set as it came
    called_ae_title : of the association
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    encoded: bytes
    called_ae_title: str = ""

    @cached_property
    def sha256(self) -> str:
        """Of the encoded data set: two copies of one instance have the same."""
        return sha256(self.encoded).hexdigest()

    @cached_property
    def part10(self) -> bytes:
        """The whole file: preamble, file meta information, data set as received (PS3.10 7.1)."""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(self.sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(self.sop_instance_uid)
        meta.TransferSyntaxUID = UID(self.transfer_syntax_uid)
        meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
        meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
        file = DicomBytesIO()
        file.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(file, meta, enforce_standard=True)
        return bytes(file.getvalue()) + self.encoded


@dataclass(frozen=True)
class Header:
    """Where an instance belongs.

    Parameters
    ----------
    elements : what else was read of it
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    accession_number: str = ""
    study_date: str = ""
    elements: Dataset = field(default_factory=Dataset, compare=False, repr=False)

    @property
    def facts(self) -> Facts:
        """What it says of its series."""
        return facts_of(self.elements)

    @property
    def is_own(self) -> bool:
        """Whether this software says that it made it."""
        return OWN_MANUFACTURER in text_of(self.elements, "Manufacturer").lower()


def read_header(received: Received) -> Header:
    """Where the instance belongs; reads up to its Series Instance UID and no further.

    Raises
    ------
    UIDInvalid
        A UID of the command or of the data set breaks the rules of UIDs.
    InstanceUnparsable
        The data set cannot be read.
    InstanceMismatch
        It lacks a UID, or is another instance than its command says.
    """
    for uid in (received.sop_class_uid, received.sop_instance_uid):
        checked_uid(uid.encode("utf-8", "surrogateescape"), "The command's SOP UID")
    elements = _read_elements(received)
    header = Header(
        sop_class_uid=_uid_of(elements, SOP_CLASS_UID),
        sop_instance_uid=_uid_of(elements, SOP_INSTANCE_UID),
        study_instance_uid=_uid_of(elements, STUDY_INSTANCE_UID),
        series_instance_uid=_uid_of(elements, SERIES_INSTANCE_UID),
        patient_id=_text_of(elements, PATIENT_ID),
        accession_number=_text_of(elements, ACCESSION_NUMBER),
        study_date=_text_of(elements, STUDY_DATE),
        elements=elements,
    )
    if (header.sop_class_uid, header.sop_instance_uid) != (received.sop_class_uid, received.sop_instance_uid):
        raise errors.InstanceMismatch("The SOP UIDs of the data set are not those of the command.")
    return header


def checked_uid(value: bytes, name: str) -> str:
    """A UID as text, without its padding.

    Raises
    ------
    UIDInvalid
    """
    uid = value[:-1] if value.endswith((b"\0", b" ")) else value
    if len(uid) > _UID_MAX_LENGTH or not _UID.fullmatch(uid):
        raise errors.UIDInvalid(f"{name} is not 1 to {_UID_MAX_LENGTH} digits and dots.")
    return uid.decode("ascii")


def _read_elements(received: Received) -> Dataset:
    """The wanted elements, their values still raw."""
    syntax = UID(received.transfer_syntax_uid)
    try:
        encoded = received.encoded
        if syntax == DeflatedExplicitVRLittleEndian:
            encoded = _inflated_start(encoded)
        return read_dataset(
            BytesIO(encoded),
            syntax.is_implicit_VR if syntax.is_transfer_syntax else False,
            syntax.is_little_endian if syntax.is_transfer_syntax else True,  # as in all but one of the standard's
            stop_when=_is_after_series,
            specific_tags=list(WANTED),
        )
    except errors.InstanceUnparsable:
        raise
    except Exception as error:  # pydicom raises what it likes at bytes that are no data set
        raise errors.InstanceUnparsable(f"The data set cannot be read: {type(error).__name__}.") from error


def _is_after_series(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag > SERIES_INSTANCE_UID)


def _inflated_start(encoded: bytes) -> bytes:
    """The first bytes of a deflated data set, all of it checked to inflate to a bearable size."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    start = inflater.decompress(encoded, _INFLATED_HEADER_BYTES)
    size = len(start)
    while inflater.unconsumed_tail:
        size += len(inflater.decompress(inflater.unconsumed_tail, _INFLATED_HEADER_BYTES))
        if size > _INFLATED_MAX_BYTES:
            raise errors.InstanceUnparsable(f"The data set inflates to more than {_INFLATED_MAX_BYTES} bytes.")
    return start


def _uid_of(elements: Dataset, tag: BaseTag) -> str:
    if tag not in elements:
        raise errors.InstanceMismatch(f"The data set lacks {tag}.")
    return checked_uid(_bytes_of(elements, tag), f"The UID in {tag}")


def _text_of(elements: Dataset, tag: BaseTag) -> str:
    """A value as one text, whatever its character set: the same bytes are the same text."""
    return _bytes_of(elements, tag).decode("latin-1").strip(" \0")


def _bytes_of(elements: Dataset, tag: BaseTag) -> bytes:
    """The value as it was sent, empty if there is none."""
    value = elements.get_item(tag, keep_deferred=True).value if tag in elements else None
    if value is not None and not isinstance(value, bytes):  # a sequence in its place
        raise errors.InstanceUnparsable(f"The value of {tag} is not text.")
    return value or b""
