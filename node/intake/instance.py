"""One instance as it came over the network, and the few attributes of it that the node needs before it is stored."""

import os
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.node import errors
from survnode.node.contexts import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from survnode.node.intake.header_facts import FACT_KEYWORDS, SeriesFacts, facts_of, text_of
from survnode.node.intake.leading_elements import find_elements

# Plain numbers: a tag of pydicom's compares in Python, ten times as slowly.
SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = (
    int(Tag(keyword)) for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
)
STUDY_DATE, ACCESSION_NUMBER, PATIENT_ID, MANUFACTURER = (
    int(Tag(keyword)) for keyword in ("StudyDate", "AccessionNumber", "PatientID", "Manufacturer")
)
IDENTITY = (
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_DATE,
    ACCESSION_NUMBER,
    PATIENT_ID,
    STUDY_INSTANCE_UID,
    SERIES_INSTANCE_UID,
)
WANTED = frozenset((*IDENTITY, MANUFACTURER, *(int(Tag(keyword)) for keyword in FACT_KEYWORDS)))

_NAMES = {tag: f"The UID in {BaseTag(tag)}" for tag in IDENTITY}

START_BYTES = 16 * 1024  # of a data set, kept in memory: what stands before the series is 1 to 4 KiB

# PS3.5 9.1 forbids leading zeros. They are refused in what names the instance itself, which results will refer to; in
# UIDs of studies and series scanners have written them for decades (a time of day as a component), the PACS has the
# study under that name, and to refuse it would only keep the patient from being analysed.
_STRICT_UID = re.compile(rb"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_UID = re.compile(rb"[0-9]+(\.[0-9]+)*")
_UID_MAX_LENGTH = 64

_INFLATED_HEADER_BYTES = 1 << 20  # enough for the attributes up to the series; the rest need not be inflated
_INFLATED_MAX_BYTES = 1 << 29  # a data set that inflates to more is a bomb: the later steps inflate it whole
_INFLATED_FREE_BYTES = 16 << 20  # what may be inflated from however little
_INFLATED_MAX_RATIO = 50  # beyond that; CT deflates to half or a third, zeros to a thousandth
_DEFLATED_BYTES = 1 << 16  # read at a time


@dataclass(frozen=True)
class StoreRequest:
    """A C-STORE request without its data set.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : of the command
    transfer_syntax_uid : of the presentation context
    called_ae_title : of the association
    peer : its address
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str = field(default="", kw_only=True)
    peer: str = field(default="", kw_only=True, compare=False)

    def check_uids(self) -> None:
        """Refuse a command whose UIDs are none.

        Raises
        ------
        UIDInvalid
        """
        for uid in (self.sop_class_uid, self.sop_instance_uid):
            checked_uid(uid.encode("latin-1", "replace"), "The command's SOP UID", _STRICT_UID)

    @property
    def file_header(self) -> bytes:
        """What a file begins with: preamble and file meta information (PS3.10 7.1)."""
        elements = b"".join(
            (
                struct.pack("<HH2sHL", 2, 1, b"OB", 0, 2) + b"\0\1",  # File Meta Information Version
                _meta(0x0002, b"UI", self.sop_class_uid),
                _meta(0x0003, b"UI", self.sop_instance_uid),
                _meta(0x0010, b"UI", self.transfer_syntax_uid),
                _meta(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
                _meta(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
                _meta(0x0017, b"AE", self.calling_ae_title),  # so that a lost row can be made from the file
                _meta(0x0018, b"AE", self.called_ae_title),
            )
        )
        return b"\0" * 128 + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(elements)) + elements


@lru_cache(256)  # of an association's images all are alike but one
def _meta(number: int, vr: bytes, value: str) -> bytes:
    """One element; none where an AE title is no text of DICOM's."""
    if vr == b"AE" and not (value.isascii() and value.isprintable() and value):
        return b""
    content = value.encode("ascii") + (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, vr, len(content)) + content


@dataclass(frozen=True)
class Received(StoreRequest):
    """A C-STORE request with its data set, in memory, as it came."""

    encoded: bytes

    @cached_property
    def sha256(self) -> str:
        """Of the encoded data set: two copies of one instance have the same."""
        return sha256(self.encoded).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Of the encoded data set."""
        return len(self.encoded)

    @property
    def part10(self) -> bytes:
        """The whole file."""
        return self.file_header + self.encoded

    @property
    def start(self) -> bytes:
        """What the data set begins with."""
        return self.encoded[:START_BYTES]

    def open(self) -> BinaryIO:
        """The data set to read from."""
        return BytesIO(self.encoded)


@dataclass(frozen=True)
class Spooled(StoreRequest):
    """A C-STORE request with its data set, as it came, in a file.

    Parameters
    ----------
    sha256, size_bytes : of the encoded data set
    start : what it begins with, as far as that is in memory
    """

    file: Path
    sha256: str
    size_bytes: int
    start: bytes = field(default=b"", kw_only=True, compare=False, repr=False)

    def open(self) -> BinaryIO:
        """The data set to read from."""
        file = self.file.open("rb")
        file.seek(-self.size_bytes, os.SEEK_END)
        return file


@dataclass(frozen=True)
class Header:
    """Where an instance belongs.

    Parameters
    ----------
    values : what was read of it, as it came, by tag
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    accession_number: str = ""
    study_date: str = ""
    values: Mapping[int, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def facts(self) -> SeriesFacts:
        """What it says of its series."""
        return facts_of(self._elements)

    @property
    def is_own(self) -> bool:
        """Whether this software says that it made it."""
        return OWN_MANUFACTURER in text_of(self._elements, "Manufacturer").lower()

    @cached_property
    def _elements(self) -> Dataset:
        return Dataset(
            {
                BaseTag(tag): RawDataElement(BaseTag(tag), None, len(value), value, 0, True, True)
                for tag, value in self.values.items()
            }
        )


def read_header(received: Received | Spooled) -> Header:
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
    received.check_uids()
    values = _leading_values(received) or _values_by_pydicom(received)
    header = Header(
        sop_class_uid=_uid_of(values, SOP_CLASS_UID),
        sop_instance_uid=_uid_of(values, SOP_INSTANCE_UID),
        study_instance_uid=_uid_of(values, STUDY_INSTANCE_UID),
        series_instance_uid=_uid_of(values, SERIES_INSTANCE_UID),
        patient_id=_text_of(values, PATIENT_ID),
        accession_number=_text_of(values, ACCESSION_NUMBER),
        study_date=_text_of(values, STUDY_DATE),
        values=values,
    )
    if (header.sop_class_uid, header.sop_instance_uid) != (received.sop_class_uid, received.sop_instance_uid):
        raise errors.InstanceMismatch("The SOP UIDs of the data set are not those of the command.")
    return header


def checked_uid(value: bytes, name: str, pattern: re.Pattern[bytes] = _UID) -> str:
    """A UID as text, without its padding.

    Raises
    ------
    UIDInvalid
    """
    uid = value[:-1] if value.endswith((b"\0", b" ")) else value
    if len(uid) > _UID_MAX_LENGTH or not pattern.fullmatch(uid):
        raise errors.UIDInvalid(f"{name} is not 1 to {_UID_MAX_LENGTH} digits and dots (PS3.5 9.1).")
    return uid.decode("ascii")


def _leading_values(received: Received | Spooled) -> dict[int, bytes] | None:
    """The wanted values from what is in memory; None where that does not do."""
    syntax = received.transfer_syntax_uid
    if syntax in (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
        return None
    return find_elements(received.start, WANTED, SERIES_INSTANCE_UID, is_implicit=syntax == ImplicitVRLittleEndian)


def _values_by_pydicom(received: Received | Spooled) -> dict[int, bytes]:
    """The wanted values, read with all the patience that pydicom has."""
    elements = _read_elements(received)
    values: dict[int, bytes] = {}
    for tag in elements.keys():  # noqa: SIM118  of a data set they are another thing than what it iterates over
        value = elements.get_item(tag, keep_deferred=True).value
        if isinstance(value, bytes | None):
            values[int(tag)] = value or b""
        elif tag in IDENTITY:  # a sequence in its place
            raise errors.InstanceUnparsable(f"The value of {tag} is not text.")
    return values


def _read_elements(received: Received | Spooled) -> Dataset:
    """The wanted elements, their values still raw."""
    syntax = UID(received.transfer_syntax_uid)
    try:
        with received.open() as file:
            data_set = BytesIO(_inflated_start(file)) if syntax == DeflatedExplicitVRLittleEndian else file
            return read_dataset(
                data_set,
                syntax.is_implicit_VR if syntax.is_transfer_syntax else False,
                syntax.is_little_endian if syntax.is_transfer_syntax else True,  # as in all but one of the standard's
                stop_when=_is_after_series,
                specific_tags=list(WANTED),
            )
    except (errors.InstanceUnparsable, OSError):
        raise
    except Exception as error:  # pydicom raises what it likes at bytes that are no data set
        raise errors.InstanceUnparsable(f"The data set cannot be read: {type(error).__name__}.") from error


def _is_after_series(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag > SERIES_INSTANCE_UID)


def _inflated_start(file: BinaryIO) -> bytes:
    """The first bytes of a deflated data set, all of it checked to inflate to a bearable size."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    start, size, read = b"", 0, 0
    while deflated := inflater.unconsumed_tail or file.read(_DEFLATED_BYTES):
        read += 0 if inflater.unconsumed_tail else len(deflated)
        part = inflater.decompress(deflated, _INFLATED_HEADER_BYTES)
        start, size = start or part, size + len(part)
        if size > min(_INFLATED_MAX_BYTES, max(_INFLATED_FREE_BYTES, _INFLATED_MAX_RATIO * read)):
            raise errors.InstanceUnparsable(f"The data set inflates to more than {size - len(part)} bytes.")
    return start


def _uid_of(values: Mapping[int, bytes], tag: int) -> str:
    if tag not in values:
        raise errors.InstanceMismatch(f"The data set lacks {BaseTag(tag)}.")
    return checked_uid(values[tag], _NAMES[tag])


def _text_of(values: Mapping[int, bytes], tag: int) -> str:
    """A value as one text, whatever its character set: the same bytes are the same text."""
    return values.get(tag, b"").decode("latin-1").strip(" \0")
