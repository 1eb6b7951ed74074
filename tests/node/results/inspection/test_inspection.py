import copy
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID, ComprehensiveSRStorage, MRImageStorage

from survnode.model.errors import Reason
from survnode.node.errors import ObjectFaulty
from survnode.node.results.bundle import not_analysed
from survnode.node.results.documents.variant import in_class
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.inspection.content import content_items
from survnode.node.results.inspection.inspection import inspect
from survnode.node.results.summary import not_analysed_summary
from survnode.node.roles import ResultRole

from ..conftest import Headers, a_run
from .spoilt import CAPTURE, CURVE, KEYS, PDF, REPORT, SEG, Break, Results, broken, faults, put


@pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:A value of type")
def test_a_source_of_many_faults_is_no_reason_to_fail() -> None:
    header = dcmread(str(get_testdata_file("badVR.dcm")), stop_before_pixels=True)
    assert header["NumberOfFrames"].value == "1A"
    source = SourceStudy((header,))
    inspect(not_analysed(source, Reason.NOT_CT, "", a_run(), None), source)


def test_what_the_node_makes_passes(whole: Results, source: SourceStudy, summary: dict[str, Any]) -> None:
    inspect(whole, source)
    inspect(whole, source, summary)


@pytest.mark.parametrize("reason", [Reason.NO_LUNGS, Reason.NOT_CT])
def test_a_refusal_passes(headers: Headers, reason: Reason) -> None:
    source = SourceStudy(tuple(headers(3, PatientName="Doe^Jane", SOPClassUID=MRImageStorage)))
    objects = not_analysed(source, reason, "Found 3.", a_run(), None)
    inspect(objects, source, not_analysed_summary(reason, "Found 3.", objects, a_run()))


@pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:The value length")
def test_a_source_that_had_to_be_mended_passes(headers: Headers) -> None:
    bad = {"PatientSex": "U", "StudyTime": "10:15", "PatientID": "i" * 80, "PatientName": "Hong^Gildong=洪^吉洞"}
    source = SourceStudy(tuple(headers(2, SpecificCharacterSet="ISO_IR 192", **bad)))
    inspect(not_analysed(source, Reason.NO_LUNGS, "", a_run(), None), source)


def test_a_report_in_two_classes_passes(whole: Results, source: SourceStudy) -> None:
    other = ResultObject(ResultRole.REPORT, in_class(whole[0].dataset, ComprehensiveSRStorage))
    inspect((*whole, other), source)


def _drop(keyword: str) -> Break:
    return lambda ds: delattr(ds, keyword)


def _first(ds: Dataset, value_type: str) -> Dataset:
    return next(item for item in content_items(ds) if item.get("ValueType") == value_type)


def _private(ds: Dataset) -> None:
    ds.SourceImageSequence[0].private_block(0x0011, "ACME", create=True).add_new(1, "LO", "secret")


def _cite_uncited(ds: Dataset) -> None:
    """Leaves an image out of the evidence that the content refers to."""
    (series,) = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    del series.ReferencedSOPSequence[0]


BREAKS: dict[str, tuple[str, Break, str]] = {
    "another class": (CAPTURE, put("SOPClassUID", MRImageStorage), "(0008,0016) is not a class that the node writes"),
    "no study": (REPORT, _drop("StudyInstanceUID"), "(0020,000D) must be present and not empty"),
    "an empty type 1": (CAPTURE, put("Modality", ""), "(0008,0060) must be present and not empty"),
    "no pixels": (CAPTURE, _drop("PixelData"), "(7FE0,0010) must be present and not empty"),
    "no tree": (REPORT, put("ContentSequence", []), "(0040,A730) must be present and not empty"),
    "no document": (PDF, put("EncapsulatedDocument", b""), "(0042,0011) must be present and not empty"),
    "no segments": (SEG, _drop("SegmentSequence"), "(0062,0002) must be present and not empty"),
    "no type 2": (KEYS, _drop("ReferringPhysicianName"), "(0008,0090) must be present, even if empty"),
    "verified": (REPORT, put("VerificationFlag", "VERIFIED"), "(0040,A493) must be UNVERIFIED"),
    "a verifier": (REPORT, put("VerifyingObserverSequence", [Dataset()]), "(0040,A073) must be absent"),
    "partial": (REPORT, put("CompletionFlag", "PARTIAL"), "(0040,A491) must be COMPLETE"),
    "final": (REPORT, put("PreliminaryFlag", "FINAL"), "(0040,A496) must be PRELIMINARY"),
    "a product": (CAPTURE, put("ContentQualification", "PRODUCT"), "(0018,9004) must be RESEARCH"),
    "identity in pixels": (CAPTURE, put("BurnedInAnnotation", "YES"), "(0028,0301) must be NO"),
    "a document that does not say whether it names the patient": (
        PDF, lambda ds: delattr(ds, "BurnedInAnnotation"), "(0028,0301) must be present",
    ),
    "not for research": (CURVE, put("SeriesDescription", "AI"), "(0008,103E) must end with (research use only)"),
    "another repertoire": (KEYS, put("SpecificCharacterSet", "ISO_IR 100"), "(0008,0005) must be ISO_IR 192"),
    "a private attribute": (CAPTURE, _private, "(0011,0010) is private"),
    "an invalid UID": (REPORT, put("SeriesInstanceUID", "1.02.3"), "(0020,000E) has a value that is no UI"),
    "an invalid time": (CURVE, put("SeriesTime", "10:15"), "(0008,0031) has a value that is no TM"),
    "an over-long text": (CURVE, put("SeriesDescription", "x" * 80 + " (research use only)"), "that is no LO"),
    "another patient": (CAPTURE, put("PatientID", "SECRET-2"), "(0010,0020) differs from the source's"),
    "another name": (REPORT, put("PatientName", "Roe^Jane"), "(0010,0010) differs from the source's"),
    "a birth date": (SEG, put("PatientBirthDate", "19500102"), "(0010,0030) differs from the source's"),
    "a sex": (KEYS, put("PatientSex", "F"), "(0010,0040) differs from the source's"),
    "another study": (CURVE, put("StudyInstanceUID", "1.2.4"), "(0020,000D) differs from the source's"),
    "another order": (PDF, put("AccessionNumber", "A2"), "(0008,0050) differs from the source's"),
    "an invented age": (CURVE, put("PatientAge", "070Y"), "(0010,1010) is not in the source"),
    "an unknown image": (
        CAPTURE,
        lambda ds: setattr(ds.SourceImageSequence[0], "ReferencedSOPInstanceUID", "1.2.3.4.999"),
        "(0008,1155) refers to no received instance",
    ),
    "a lost segment image": (
        SEG,
        lambda ds: setattr(
            ds.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0],
            "ReferencedSOPInstanceUID", "1.2.3.4.999",
        ),
        "(0008,1155) refers to no received instance",
    ),
    "another class of image": (
        KEYS,
        lambda ds: setattr(
            _first(ds, "IMAGE").ReferencedSOPSequence[0], "ReferencedSOPClassUID", MRImageStorage
        ),
        "(0008,1150) is not the class",
    ),
    "a frame of a single image": (
        KEYS,
        lambda ds: setattr(_first(ds, "IMAGE").ReferencedSOPSequence[0], "ReferencedFrameNumber", 2),
        "(0008,1160) refers to a frame that does not exist",
    ),
    "another series of evidence": (
        REPORT,
        lambda ds: setattr(
            ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0], "SeriesInstanceUID", "1.2.3.5"
        ),
        "(0020,000E) is not the series",
    ),
    "another study of evidence": (
        REPORT,
        lambda ds: setattr(ds.CurrentRequestedProcedureEvidenceSequence[0], "StudyInstanceUID", "1.2.4"),
        "(0040,A375) names another study",
    ),
    "no evidence": (KEYS, _cite_uncited, "(0040,A375) does not list all that the content refers to"),
    "continuous text": (
        REPORT,
        lambda ds: setattr(_first(ds, "CONTAINER"), "ContinuityOfContent", "CONTINUOUS"),
        "(0040,A050) must be SEPARATE",
    ),
    "a number of another series": (CURVE, put("SeriesNumber", 9101), "(0020,0011) is the number of another role's"),
    "a segmentation of another kind": (SEG, put("SegmentationType", "FRACTIONAL"), "(0062,0001) must be BINARY"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("file_name", "spoil", "expected"), BREAKS.values(), ids=BREAKS)
def test_each_broken_rule_is_found_and_named_by_object_and_tag(
    whole: Results, source: SourceStudy, file_name: str, spoil: Break, expected: str
) -> None:
    found = faults(broken(whole, file_name, spoil), source)
    assert any(fault.startswith(file_name) and expected in fault for fault in found), found
    assert not any(value in "".join(found) for value in ("SECRET", "Roe", "Doe", "secret", "19500102", "1.2.3.4.999"))


def test_an_object_that_is_there_twice_is_found(whole: Results, source: SourceStudy) -> None:
    assert "report.dcm (0008,0018) names another object too" in faults((*whole, whole[0]), source)


def test_an_object_under_the_uid_of_a_source_image_is_found(whole: Results, source: SourceStudy) -> None:
    def spoil(ds: Dataset) -> None:
        ds.SOPInstanceUID = UID("1.2.3.4.1")

    assert any("names another object too" in fault for fault in faults(broken(whole, CURVE, spoil), source))


@pytest.mark.parametrize("series", ["1.2.3.4", "that of the report"])
def test_an_object_in_a_series_that_is_not_its_own_is_found(whole: Results, source: SourceStudy, series: str) -> None:
    uid = whole[0].series_instance_uid if series == "that of the report" else series
    found = faults(broken(whole, CURVE, put("SeriesInstanceUID", uid)), source)
    assert found == ["curve.dcm (0020,000E) is the series of other objects"]


def test_results_of_another_patient_are_found_in_every_object(whole: Results, source: SourceStudy) -> None:
    other = copy.deepcopy(source.headers)
    for ds in other:
        ds.PatientID = "SECRET-2"
    found = faults(whole, SourceStudy(other))
    assert len([fault for fault in found if "(0010,0020)" in fault]) == len(whole)


def test_every_fault_is_told_at_once_and_the_message_stays_short(whole: Results, source: SourceStudy) -> None:
    spoilt = whole
    for item in whole:
        spoilt = broken(spoilt, item.file_name, put("PatientID", "SECRET-2"))
        spoilt = broken(spoilt, item.file_name, put("ContentQualification", "PRODUCT"))
    with pytest.raises(ObjectFaulty) as refusal:
        inspect(spoilt, source)
    assert len(refusal.value.faults) == 2 * len(whole)
    assert str(refusal.value).endswith("; and 12 more.")
    assert not refusal.value.can_retry
