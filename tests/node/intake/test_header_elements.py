import re
import struct
from io import BytesIO
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID, CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from survnode.node.errors import InstanceUnparsable
from survnode.node.intake.header_elements import MAX_DEPTH, MAX_VALUE_BYTES, DataSetBytes, wanted_elements
from survnode.node.intake.instance_header import (
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    WANTED,
)

from ...integration.scu import ct
from ...mutations import FAULTS, Fault, damaged, fuzzed

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
EMPTY_ITEM, ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0), struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
ITEM_END, SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0), struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
UID_BYTES = re.compile(rb"[0-9.]+\0?")
OPEN = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)


def full() -> Dataset:
    """What a header holds up to its series, sequences of both lengths within one another included."""
    inner, item = Dataset(), Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.9"
    item.ReferencedSOPClassUID = CTImageStorage
    item.PurposeOfReferenceCodeSequence = Sequence([inner, Dataset()])
    item["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    ds = Dataset()
    ds.SpecificCharacterSet, ds.StudyDate, ds.Modality = "ISO_IR 192", "20260101", "CT"
    ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyDescription = CTImageStorage, "1.2.3.1.1", "Größe"
    ds.ReferencedImageSequence = Sequence([item, item])
    ds["ReferencedImageSequence"].is_undefined_length = True
    ds.ReferencedStudySequence = Sequence([item])
    ds.PatientID, ds.PatientAge, ds.BodyPartExamined = "P1", "060Y", "CHEST"
    ds.add_new(0x00091001, "OB", bytes(100))
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.StudyID = "1.2.3", "1.2.3.1", "S"
    return ds


def encoded(ds: Dataset, syntax: UID) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = syntax.is_little_endian, syntax.is_implicit_VR
    write_dataset(file, ds)
    return bytes(file.getvalue())


def ours(content: bytes, syntax: UID = ExplicitVRLittleEndian) -> dict[int, bytes]:
    return wanted_elements(DataSetBytes.of(content), syntax, WANTED, SERIES_INSTANCE_UID)


def pydicoms(content: bytes, syntax: UID) -> dict[int, bytes]:
    return raw(
        read_dataset(
            BytesIO(content),
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, *_: tag > SERIES_INSTANCE_UID,
            specific_tags=list(WANTED),
        )
    )


def raw(ds: Dataset) -> dict[int, bytes]:
    found = ((tag, ds.get_item(tag, keep_deferred=True)) for tag in WANTED if tag in ds)
    values = {tag: it.value for tag, it in found if isinstance(it, RawDataElement)}
    return {tag: value or b"" for tag, value in values.items() if value is None or isinstance(value, bytes)}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_what_is_wanted_is_read_as_pydicom_reads_it(syntax: UID) -> None:
    content = encoded(full(), syntax)
    found = ours(content, syntax)
    assert found == pydicoms(content, syntax)
    assert found[SERIES_INSTANCE_UID] == b"1.2.3.1\0"
    assert Tag("StudyID") not in found


@pytest.mark.parametrize("said", SYNTAXES[:2], ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("written", SYNTAXES[:2], ids=lambda syntax: syntax.keyword)
def test_who_says_explicit_and_writes_implicit_is_read(said: UID, written: UID) -> None:
    assert ours(encoded(full(), written), said)[SERIES_INSTANCE_UID] == b"1.2.3.1\0"


@fuzzed(150)
@given(syntax=st.sampled_from(SYNTAXES), faults=FAULTS)
def test_damaged_headers_are_refused_or_read_as_pydicom_reads_them(syntax: UID, faults: list[Fault]) -> None:
    content = damaged(encoded(full(), syntax), faults)
    try:
        found = ours(content, syntax)
    except InstanceUnparsable:
        return
    try:
        oracle = pydicoms(content, syntax)
    except Exception:  # noqa: BLE001  it raises what it likes
        return
    for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID):
        if UID_BYTES.fullmatch(found.get(tag, b"")):  # anything else is refused
            assert found[tag] == oracle.get(tag)


@pytest.mark.parametrize(
    ("sequence", "words"),
    [
        (OPEN + EMPTY_ITEM * 1_000_000 + SEQUENCE_END, "more than 200000 elements"),
        ((OPEN + ITEM) * 100_000, f"more than {MAX_DEPTH} deep"),
        (OPEN + ITEM + ITEM_END, "no item"),
        (struct.pack("<HH2sHL", 0x0009, 0x0010, b"OB", 0, 0xFFFFFFF0), "longer than what is left"),
        (struct.pack("<HH2sHL", 0x0010, 0x0020, b"UT", 0, 1 << 20) + bytes(1 << 20), f"longer than {MAX_VALUE_BYTES}"),
    ],
    ids=["a million items", "100,000 deep", "no item", "4 GiB", "a long ID"],
)
def test_what_would_fill_the_memory_is_refused_in_a_moment(sequence: bytes, words: str) -> None:
    whole = ct()
    at = whole.index(struct.pack("<HH", 0x0010, 0x0020))
    began = process_time()
    with pytest.raises(InstanceUnparsable, match=words):
        ours(whole[:at] + sequence + whole[at:])
    assert process_time() - began < 5


def test_of_a_large_value_that_is_not_wanted_nothing_is_read() -> None:
    whole = ct()
    at = whole.index(struct.pack("<HH", 0x0010, 0x0020))
    size = 1 << 30
    start = whole[:at] + struct.pack("<HH2sHL", 0x0009, 0x0010, b"OB", 0, size)
    read: list[int] = []

    def read_at(place: int, count: int) -> bytes:
        read.append(count)
        end = place - len(start) - size
        return (start + bytes(count))[place : place + count] if end < 0 else whole[at:][end : end + count]

    data_set = DataSetBytes(size + len(start) + len(whole) - at, read_at)
    found = wanted_elements(data_set, ExplicitVRLittleEndian, WANTED, SERIES_INSTANCE_UID)
    assert found[SERIES_INSTANCE_UID] == b"1.2.3.1\0"
    assert sum(read) < 1 << 17
