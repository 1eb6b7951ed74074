"""Held against pydicom: what is found is what it reads, and what is not plain is left to it."""

import struct
from io import BytesIO
from random import Random

import pytest
from pydicom import Dataset, Sequence
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from survnode.node.intake.instance_header import SERIES_INSTANCE_UID, WANTED
from survnode.node.intake.leading_elements import find_elements

UNDEFINED = 0xFFFFFFFF
CASES = 3000
CHARACTER_SET_BYTES = 18  # of the first element, which pydicom interprets


def written(*, is_implicit: bool, deep: int = 0, undefined: bool = True) -> bytes:
    """A CT header with a sequence before its series, whose items hold items."""
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.9"
    for _ in range(deep):
        outer = Dataset()
        outer.ReferencedImageSequence = Sequence([inner, inner])
        outer["ReferencedImageSequence"].is_undefined_length = undefined
        for item in outer.ReferencedImageSequence:
            item.is_undefined_length_sequence_item = undefined
        inner = outer
    ds = inner if deep else Dataset()
    ds.SpecificCharacterSet, ds.SOPClassUID, ds.SOPInstanceUID = "ISO_IR 100", "1.2.840.10008.5.1.4.1.1.2", "1.2.3.1.7"
    ds.StudyDate, ds.AccessionNumber, ds.Modality, ds.Manufacturer = "20260101", "A1", "CT", "Maker"
    ds.PatientID, ds.PatientBirthDate, ds.PatientAge, ds.BodyPartExamined = "P1", "19600101", "060Y", "CHEST"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber, ds.Rows = "1.2.3", "1.2.3.1", 4, 512
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, is_implicit
    write_dataset(file, ds)
    return bytes(file.getvalue())


def found(start: bytes, *, is_implicit: bool) -> dict[int, bytes] | None:
    return find_elements(start, WANTED, SERIES_INSTANCE_UID, is_implicit=is_implicit)


def by_pydicom(content: bytes, *, is_implicit: bool) -> dict[int, object]:
    ds = read_dataset(
        BytesIO(content),
        is_implicit,
        is_little_endian=True,
        stop_when=lambda tag, *_: tag > SERIES_INSTANCE_UID,
        specific_tags=list(WANTED),
    )
    tags = [int(tag) for tag in ds.keys()]  # noqa: SIM118  its items are read otherwise
    return {tag: ds.get_item(tag, keep_deferred=True).value or b"" for tag in tags}


@pytest.mark.parametrize("is_implicit", [False, True])
@pytest.mark.parametrize(("deep", "undefined"), [(0, True), (1, True), (3, True), (3, False)])
def test_what_is_found_is_what_pydicom_reads(is_implicit: bool, deep: int, undefined: bool) -> None:
    content = written(is_implicit=is_implicit, deep=deep, undefined=undefined)
    values = found(content, is_implicit=is_implicit)
    assert values == by_pydicom(content, is_implicit=is_implicit)
    assert values is not None
    assert values[SERIES_INSTANCE_UID] == b"1.2.3.1\0"
    assert len(values) == 13


@pytest.mark.parametrize("is_implicit", [False, True])
def test_of_mutated_bytes_what_is_found_is_what_pydicom_reads(is_implicit: bool) -> None:
    random, whole = Random(7), written(is_implicit=is_implicit, deep=2)
    agreed = 0
    for _ in range(CASES):
        content = bytearray(whole)
        for _ in range(random.randint(1, 3)):
            content[random.randrange(CHARACTER_SET_BYTES, len(content))] = random.choice(
                (0, 1, 8, 255, random.randrange(256))
            )
        values = found(bytes(content), is_implicit=is_implicit)
        if values is not None:
            assert values == by_pydicom(bytes(content), is_implicit=is_implicit)
            agreed += 1
    assert agreed > CASES / 4


def element(number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", 0x0008, number, vr, len(value)) + value


END = struct.pack("<HH2sH", 0x0028, 0x0010, b"US", 2) + b"\0\2"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        element(0x16, b"UI", b"1.2 "),  # the end, or more to come
        element(0x18, b"UI", b"1.2 ") + element(0x16, b"UI", b"1.2 ") + END,  # not in order
        element(0x16, b"UI", b"1.2 ") * 2 + END,
        element(0x16, b"??", b"1.2 ") + END,
        struct.pack("<HH2sHL", 0x0008, 0x0016, b"SQ", 0, 0) + END,  # a sequence in its place
        struct.pack("<HH2sHL", 0x0008, 0x0016, b"UN", 0, UNDEFINED) + END,
        struct.pack("<HH2sHL", 0x0008, 0x1140, b"OB", 0, UNDEFINED) + END,
        struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, UNDEFINED) + END,
        (struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, UNDEFINED) + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED))
        * 1000,
    ],
)
def test_what_is_not_plain_is_left_to_pydicom(content: bytes) -> None:
    assert found(content, is_implicit=False) is None


def test_explicit_elements_where_implicit_was_agreed_on_are_left_to_pydicom() -> None:
    assert found(written(is_implicit=False), is_implicit=True) is None
