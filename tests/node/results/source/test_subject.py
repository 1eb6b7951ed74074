from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from structlog.testing import capture_logs

from survnode.node.results.source.subject import METHOD_UNKNOWN, REQUIRED, subject_of

from ..conftest import a_header, as_received

NAMES = {
    "Japanese, ISO 2022": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Japanese, katakana": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "Korean, ISO 2022": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Greek": ("ISO_IR 126", "Διονυσιος"),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг"),
    "Latin-1": ("ISO_IR 100", "Äneas^Rüdiger"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "Unicode": ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
}


@pytest.mark.parametrize(("character_set", "name"), NAMES.values(), ids=NAMES)
def test_a_name_survives_whatever_its_character_set(character_set: str | list[str], name: str) -> None:
    ds = as_received(a_header(1, SpecificCharacterSet=character_set, PatientName=name))
    with capture_logs() as logs:
        assert str(subject_of(ds).attributes.PatientName) == name
    assert logs == []


def test_the_superfluous_iso_ir_6_is_no_fault() -> None:
    ds = _received_in("ISO_IR 6", PatientName="Doe^Jane")
    assert str(subject_of(ds).attributes.PatientName) == "Doe^Jane"


@pytest.mark.filterwarnings("ignore:Unknown encoding")
def test_an_unknown_character_set_is_no_reason_to_fail() -> None:
    ds = _received_in("KLINGON", PatientName="Doe^Jane")
    assert str(subject_of(ds).attributes.PatientName) == "Doe^Jane"


UNDECODABLE = {
    "Latin-1 as UTF-8": ("ISO_IR 192", "Müller^Eva ".encode("latin-1"), "M\ufffdller^Eva"),
    "Greek as Greek with a hole": ("ISO_IR 126", b"\xc1\xde\xff^X ", "Αή\ufffd^X"),
}


@pytest.mark.filterwarnings("ignore:Failed to decode")
@pytest.mark.parametrize(("character_set", "raw", "written"), UNDECODABLE.values(), ids=UNDECODABLE)
def test_bytes_outside_the_character_set_are_replaced_and_told(character_set: str, raw: bytes, written: str) -> None:
    ds = _received_in(character_set, PatientName="X" * len(raw), replaced=raw)
    with capture_logs() as logs:
        assert str(subject_of(ds).attributes.PatientName) == written
    assert logs[0]["changes"] == ["(0010,0010) bytes that its character set does not hold: replaced"]


def test_a_name_without_a_character_set_is_read_as_latin_1() -> None:
    raw = "Müller^Eva ".encode("latin-1")
    ds = _received_in("ISO_IR 6", PatientName="X" * len(raw), replaced=raw)
    assert str(subject_of(ds).attributes.PatientName) == "Müller^Eva"


def test_an_empty_header_gives_empty_type_2_attributes() -> None:
    with capture_logs() as logs:
        subject = subject_of(a_header(1))
    assert all(str(subject.attributes[keyword].value or "") == "" for keyword in REQUIRED)
    assert subject.time_zone is None
    assert (subject.procedures, subject.requests, logs) == ((), (), [])


@pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:The value length")
def test_every_change_is_logged_by_its_tag_and_never_by_its_value(caplog: pytest.LogCaptureFixture) -> None:
    bad = {
        "PatientSex": "U", "StudyTime": "10:15", "StudyDate": "yesterday", "AccessionNumber": "9" * 17,
        "PatientID": "secret" * 20, "PatientAge": "83", "TimezoneOffsetFromUTC": "CET",
    }  # fmt: skip
    ds = a_header(1, **bad)
    caplog.clear()
    with capture_logs() as logs:
        attributes = subject_of(ds).attributes
    assert caplog.records == []  # pydicom would quote the value
    assert attributes.PatientSex == ""
    assert attributes.StudyTime == "1015"
    assert attributes.StudyDate == ""
    assert attributes.AccessionNumber == "9" * 17  # a shorter one would be another order's
    assert attributes.PatientID == "secret" * 20  # a shorter one would be another patient's
    assert "PatientAge" not in attributes
    (event,) = logs
    assert event["event"] == "source_header_changed"
    assert sorted(change[:11] for change in event["changes"]) == [
        "(0008,0020)", "(0008,0030)", "(0008,0050)", "(0008,0201)", "(0010,0020)", "(0010,0040)", "(0010,1010)",
    ]  # fmt: skip
    assert not any(value in str(event) for value in bad.values() if len(value) > 2)


def test_a_weight_of_zero_is_no_weight() -> None:
    with capture_logs() as logs:
        attributes = subject_of(a_header(1, PatientWeight="0.00", PatientSize="1.75")).attributes
    assert ("PatientWeight" in attributes, float(attributes.PatientSize)) == (False, 1.75)
    assert [event["changes"] for event in logs] == [["(0010,1030) zero, which nobody measures: left out"]]


def test_a_removed_identity_gets_the_method_that_the_standard_demands() -> None:
    subject = subject_of(a_header(1, PatientIdentityRemoved="YES"))
    assert subject.attributes.DeidentificationMethod == METHOD_UNKNOWN
    named = subject_of(a_header(1, PatientIdentityRemoved="YES", DeidentificationMethod="CTP"))
    assert named.attributes.DeidentificationMethod == "CTP"


def test_a_procedure_code_counts_only_if_it_is_whole() -> None:
    whole, broken = Dataset(), Dataset()
    whole.CodeValue, whole.CodingSchemeDesignator, whole.CodeMeaning = "24627-2", "LN", "CT Chest"
    broken.CodeMeaning = "CT of something"
    (code,) = subject_of(a_header(1, ProcedureCodeSequence=[broken, whole])).procedures
    assert code.value == "24627-2"


def test_a_request_is_taken_over() -> None:
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "RP1", "SPS1"
    (request,) = subject_of(a_header(1, RequestAttributesSequence=[item])).requests
    assert (request.RequestedProcedureID, request.ScheduledProcedureStepID) == ("RP1", "SPS1")


@pytest.mark.parametrize(
    ("text", "offset"), [("+0100", timedelta(hours=1)), ("-0330", timedelta(hours=-3, minutes=-30))]
)
def test_the_time_zone_is_the_sources(text: str, offset: timedelta) -> None:
    zone = subject_of(a_header(1, TimezoneOffsetFromUTC=text)).time_zone
    assert zone is not None
    assert zone.utcoffset(None) == offset


def test_private_and_unnamed_attributes_are_not_taken_over() -> None:
    ds = a_header(1, PatientComments="call 0123", OtherPatientIDs="X")
    ds.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "secret")
    assert "secret" not in str(subject_of(ds).attributes)
    assert "0123" not in str(subject_of(ds).attributes)


def _received_in(character_set: str, *, replaced: bytes = b"", **attributes: Any) -> Dataset:
    """A header with a Specific Character Set that pydicom would not write, and a name of raw bytes if any."""
    ds = a_header(1, **attributes)
    buffer = BytesIO()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    dcmwrite(buffer, ds, enforce_file_format=True)
    raw = buffer.getvalue().replace(b"X" * len(replaced), replaced) if replaced else buffer.getvalue()
    value = character_set.encode() + b" " * (len(character_set) % 2)
    element = b"\x08\x00\x05\x00CS" + len(value).to_bytes(2, "little") + value
    start = raw.index(b"\x08\x00\x16\x00UI")
    return dcmread(BytesIO(raw[:start] + element + raw[start:]))
