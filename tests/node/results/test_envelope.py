from pathlib import PurePosixPath

import pytest
from pydicom import Dataset
from pydicom.sr.coding import Code

from survnode.node.results.envelope import Envelope, ResultObject, SourceStudy, ascii_text, coded, referenced
from survnode.node.results.identity import Layout
from survnode.node.roles import ResultRole
from survnode.node.state.records import StoredObject

from .conftest import Headers, a_model, a_run


@pytest.fixture
def envelope(source: SourceStudy) -> Envelope:
    return Envelope(source, a_run(version=3), Layout(), a_model(), "content")


def test_the_evidence_does_not_depend_on_the_order_of_the_headers(headers: Headers) -> None:
    several = headers(4)
    forwards, backwards = SourceStudy(tuple(several)), SourceStudy(tuple(reversed(several)))
    assert forwards.evidence == backwards.evidence
    assert {element.keyword for ds in forwards.evidence for element in ds} == {
        "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID",
    }  # fmt: skip


def test_a_uid_changes_with_whatever_makes_another_result(source: SourceStudy, headers: Headers) -> None:
    envelopes = [
        Envelope(source, a_run(), Layout(), a_model(), "content"),
        Envelope(source, a_run(version=2), Layout(), a_model(), "content"),
        Envelope(source, a_run(software_version="0.2.0"), Layout(), a_model(), "content"),
        Envelope(source, a_run(), Layout(), a_model(device_uid="2.25.43"), "content"),
        Envelope(source, a_run(), Layout(), None, "content"),
        Envelope(source, a_run(), Layout(), a_model(), "other content"),
        Envelope(SourceStudy(tuple(headers(3))), a_run(), Layout(), a_model(), "content"),
    ]
    uids = [envelope.uid("instance", "report") for envelope in envelopes]
    assert len(set(uids)) == len(uids)
    assert max(map(len, uids)) <= 64
    again = Envelope(source, a_run(), Layout(), a_model(), "content")
    assert again.uid("instance", "report") == uids[0] != again.uid("series", "report")


def test_a_title_says_version_and_state_before_a_list_cuts_it(envelope: Envelope, source: SourceStudy) -> None:
    assert envelope.title(ResultRole.CAPTURE).startswith(f"{ResultRole.CAPTURE.description} v3 (")
    refused = Envelope(source, a_run(version=3), Layout(), None, "", refused=True)
    assert refused.title(ResultRole.REPORT).startswith("AI not analysed v3 (")


def test_what_highdicom_sees_of_the_patient_is_empty(envelope: Envelope) -> None:
    first, *others = envelope.patientless({"1.2.3.4.1", "1.2.3.4.2"})
    assert (first.SOPInstanceUID, [ds.SOPInstanceUID for ds in others]) == ("1.2.3.4.1", ["1.2.3.4.2"])
    assert {str(first[keyword].value or "") for keyword in ("PatientID", "PatientName", "AccessionNumber")} == {""}
    assert len(envelope.patientless()) == len(envelope.source.evidence)


def test_an_object_is_recorded_as_what_it_is_where_its_file_lies() -> None:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = "1.2.1", "1.2.2", "1.2.3"
    capture = ResultObject(ResultRole.CAPTURE, ds, 2)
    path = str(PurePosixPath("00000007") / capture.file_name)
    assert capture.stored_at(path) == StoredObject(ResultRole.CAPTURE, 2, "1.2.1", "1.2.2", "1.2.3", path)


def test_items_name_codes_and_instances() -> None:
    item = coded(Code("T-28000", "SRT", "Lung", "2019"))
    assert (item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning) == ("T-28000", "SRT", "Lung")
    assert item.CodingSchemeVersion == "2019"
    assert "CodingSchemeVersion" not in coded(Code("39607008", "SCT", "Lung"))
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.1", "1.2.2"
    assert referenced(ds).ReferencedSOPInstanceUID == "1.2.2"


def test_generated_text_is_ascii() -> None:
    assert ascii_text("Überlebensmodell") == "?berlebensmodell"
