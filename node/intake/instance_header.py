"""The few attributes of an instance that the node needs before it is stored, read without trust."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.node import errors
from survnode.node.intake.header_elements import DataSetBytes, wanted_elements
from survnode.node.intake.header_facts import FACT_KEYWORDS, SeriesFacts, facts_of, text_of
from survnode.node.intake.instance import Received, Spooled, checked_uid
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

_INFLATED_HEADER_BYTES = 1 << 20  # enough for the attributes up to the series; the rest need not be inflated
_INFLATED_MAX_BYTES = 1 << 29  # a data set that inflates to more is a bomb: the later steps inflate it whole
_INFLATED_FREE_BYTES = 16 << 20  # what may be inflated from however little
_INFLATED_MAX_RATIO = 50  # beyond that; CT deflates to half or a third, zeros to a thousandth
_DEFLATED_BYTES = 1 << 16  # read at a time


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
    values = _leading_values(received) or _patiently_read_values(received)
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


def _leading_values(received: Received | Spooled) -> dict[int, bytes] | None:
    """The wanted values from what is in memory; None where that does not do."""
    syntax = received.transfer_syntax_uid
    if syntax in (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
        return None
    return find_elements(received.start, WANTED, SERIES_INSTANCE_UID, is_implicit=syntax == ImplicitVRLittleEndian)


def _patiently_read_values(received: Received | Spooled) -> dict[int, bytes]:
    """The wanted values from the data set itself, however it is written."""
    syntax = received.transfer_syntax_uid
    with received.data_set() as data_set:
        is_deflated = syntax == DeflatedExplicitVRLittleEndian
        start = DataSetBytes.of(_inflated_start(data_set)) if is_deflated else data_set
        return wanted_elements(start, syntax, WANTED, SERIES_INSTANCE_UID)


def _inflated_start(data_set: DataSetBytes) -> bytes:
    """The first bytes of a deflated data set, all of it checked to inflate to a bearable size."""
    start, size = b"", 0
    try:
        for part, read in _inflated(data_set):
            start, size = start + part[: _INFLATED_HEADER_BYTES - len(start)], size + len(part)
            if size > min(_INFLATED_MAX_BYTES, max(_INFLATED_FREE_BYTES, _INFLATED_MAX_RATIO * read)):
                raise errors.InstanceUnparsable(f"The data set inflates to more than {size - len(part)} bytes.")
    except zlib.error as error:
        raise errors.InstanceUnparsable("The data set cannot be inflated.") from error
    return start


def _inflated(data_set: DataSetBytes) -> Iterator[tuple[bytes, int]]:
    """What a deflated data set inflates to, part by part, and how many of its bytes were read for it."""
    inflater, read = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not inflater.eof and (deflated := inflater.unconsumed_tail or data_set.read_at(read, _DEFLATED_BYTES)):
        read += 0 if inflater.unconsumed_tail else len(deflated)
        yield inflater.decompress(deflated, _INFLATED_HEADER_BYTES), read


def _uid_of(values: Mapping[int, bytes], tag: int) -> str:
    if tag not in values:
        raise errors.InstanceMismatch(f"The data set lacks {BaseTag(tag)}.")
    return checked_uid(values[tag], _NAMES[tag])


def _text_of(values: Mapping[int, bytes], tag: int) -> str:
    """A value as one text, whatever its character set: the same bytes are the same text."""
    return values.get(tag, b"").decode("latin-1").strip(" \0")
