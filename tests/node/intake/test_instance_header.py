import struct
import zlib
from collections.abc import Callable
from random import Random

import pytest
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from survnode.node import errors
from survnode.node.intake.instance import Received
from survnode.node.intake.instance_header import Header, read_header

MakeReceived = Callable[..., Received]


def test_a_header_says_where_the_instance_belongs(make_received: MakeReceived) -> None:
    header = Header("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1.7", "1.2.3", "1.2.3.1", "P1")
    assert read_header(make_received(7)) == header


def test_a_header_is_read_from_a_deflated_data_set(make_received: MakeReceived) -> None:
    plain = make_received()
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    content = deflater.compress(plain.encoded) + deflater.flush()
    packed = Received(
        plain.sop_class_uid, plain.sop_instance_uid, DeflatedExplicitVRLittleEndian, "SENDER", content + b"\0"
    )
    assert read_header(packed) == read_header(plain)


def test_a_deflate_bomb_is_refused(make_received: MakeReceived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("survnode.node.intake.instance_header._INFLATED_FREE_BYTES", 4 << 20)
    plain = make_received()
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    content = deflater.compress(plain.encoded + bytes(8 << 20)) + deflater.flush()
    bomb = Received(plain.sop_class_uid, plain.sop_instance_uid, DeflatedExplicitVRLittleEndian, "SENDER", content)
    with pytest.raises(errors.InstanceUnparsable, match="inflates"):
        read_header(bomb)


def test_a_data_set_that_inflates_as_ct_does_is_taken(
    make_received: MakeReceived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("survnode.node.intake.instance_header._INFLATED_FREE_BYTES", 1 << 10)
    plain = make_received(PixelData=Random(1).randbytes(1 << 20) + bytes(4 << 20))
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    content = deflater.compress(plain.encoded) + deflater.flush()
    packed = Received(plain.sop_class_uid, plain.sop_instance_uid, DeflatedExplicitVRLittleEndian, "SENDER", content)
    assert read_header(packed) == read_header(plain)


@pytest.mark.parametrize("uid", ["1.02.3", "00.1"])
def test_a_leading_zero_is_refused_in_what_names_an_instance_and_taken_elsewhere(
    make_received: MakeReceived, uid: str
) -> None:
    with pytest.raises(errors.UIDInvalid):
        read_header(make_received(command_uid=uid))
    assert read_header(_with_bytes(make_received(), "StudyInstanceUID", uid.encode())).study_instance_uid == uid


BAD_UIDS = ["../../etc/passwd", "1.2.3/../../x", "1..2", ".", "..", "", "1.2.a", "1" * 65, "1.2\0.3", "1.é", " 1.2"]


@pytest.mark.parametrize("uid", BAD_UIDS)
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_uid_that_is_none_is_refused(make_received: MakeReceived, keyword: str, uid: str) -> None:
    received = _with_bytes(make_received(), keyword, uid.encode())
    with pytest.raises(errors.UIDInvalid):
        read_header(received)


@pytest.mark.parametrize("uid", BAD_UIDS)
def test_a_uid_of_a_command_that_is_none_is_refused(make_received: MakeReceived, uid: str) -> None:
    with pytest.raises(errors.UIDInvalid):
        read_header(make_received(command_uid=uid))


def test_padding_of_a_uid_is_not_part_of_it(make_received: MakeReceived) -> None:
    for padding in (b"\0", b" "):
        received = _with_bytes(make_received(), "StudyInstanceUID", b"1.2.345" + padding)
        assert read_header(received).study_instance_uid == "1.2.345"


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_without_a_uid_is_refused(make_received: MakeReceived, keyword: str) -> None:
    with pytest.raises(errors.InstanceMismatch):
        read_header(make_received(**{keyword: None}, command_uid="1.2.3.1.1"))


def test_an_instance_other_than_its_command_says_is_refused(make_received: MakeReceived) -> None:
    with pytest.raises(errors.InstanceMismatch):
        read_header(make_received(1, command_uid="1.2.3.1.2"))


def test_a_missing_patient_id_is_empty(make_received: MakeReceived) -> None:
    assert read_header(make_received(PatientID=None)).patient_id == ""


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"GIF89a" * 50, b"\x08\x00\x16\x00UI\xff\xff1.2"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_bytes_that_are_no_data_set_are_refused(content: bytes, syntax: str) -> None:
    with pytest.raises(errors.InstanceRefused):
        read_header(Received("1.2", "1.2.3", syntax, "SENDER", content))


def test_a_sequence_nested_ten_thousand_deep_is_refused(make_received: MakeReceived) -> None:
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    nested = (struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + item) * 10_000
    plain = make_received()
    place = plain.encoded.index(struct.pack("<HH", 0x0010, 0x0020))
    content = plain.encoded[:place] + nested + plain.encoded[place:]
    received = Received(plain.sop_class_uid, plain.sop_instance_uid, plain.transfer_syntax_uid, "SENDER", content)
    with pytest.raises(errors.InstanceUnparsable):
        read_header(received)


def test_a_sequence_in_the_place_of_a_uid_is_refused(make_received: MakeReceived) -> None:
    plain = make_received(StudyInstanceUID=None)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    sequence = struct.pack("<HH2sHI", 0x0020, 0x000D, b"SQ", 0, 0xFFFFFFFF) + item
    place = plain.encoded.index(struct.pack("<HH", 0x0020, 0x000E))
    content = plain.encoded[:place] + sequence + plain.encoded[place:]
    received = Received(plain.sop_class_uid, plain.sop_instance_uid, plain.transfer_syntax_uid, "SENDER", content)
    with pytest.raises(errors.InstanceRefused):
        read_header(received)


def _with_bytes(received: Received, keyword: str, value: bytes) -> Received:
    """The same instance with the raw value of a UID replaced, in the command too if it is the SOP Instance UID."""
    element = Dataset()
    setattr(element, keyword, "1")
    tag = next(iter(element.keys()))
    start = received.encoded.index(struct.pack("<HH2s", tag.group, tag.element, b"UI"))
    (length,) = struct.unpack_from("<H", received.encoded, start + 6)
    head = struct.pack("<HH2sH", tag.group, tag.element, b"UI", len(value))
    content = received.encoded[:start] + head + value + received.encoded[start + 8 + length :]
    return Received(received.sop_class_uid, received.sop_instance_uid, received.transfer_syntax_uid, "SENDER", content)
