from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, EnhancedCTImageStorage, EnhancedSRStorage

from survnode.model.ct.arrangement import SourceImage
from survnode.model.errors import Reason
from survnode.node.errors import ObjectFaulty
from survnode.node.results.bundle import analysed, not_analysed
from survnode.node.results.documents.variant import in_class, variant
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.identity import Layout, Predecessor
from survnode.node.results.inspection.content import numbers
from survnode.node.roles import ResultRole

from ..conftest import Headers, a_prediction, a_run, a_volume

Results = tuple[ResultObject, ...]


@pytest.fixture
def report(results: Results) -> Dataset:
    """As it is read from disk."""
    return dcmread(BytesIO(results[0].encode()))


def test_each_class_has_uids_of_its_own(source: SourceStudy) -> None:
    made = [
        not_analysed(source, Reason.NO_LUNGS, "", a_run(), None, Layout(report_sop_class=sop_class))[0]
        for sop_class in ResultRole.REPORT.sop_classes
    ]
    made += [replace(it, dataset=in_class(made[0].dataset, it.sop_class_uid)) for it in made[1:]]
    for uids in ({it.sop_instance_uid for it in made}, {it.series_instance_uid for it in made}):
        assert len(uids) == 5


@pytest.mark.parametrize("sop_class", ResultRole.REPORT.sop_classes)
def test_a_report_can_be_rewritten_in_each_class(report: Dataset, sop_class: str) -> None:
    other = in_class(report, sop_class)
    encoded = dcmread(BytesIO(ResultObject(ResultRole.REPORT, other).encode()))
    assert sop_class == encoded.SOPClassUID == encoded.file_meta.MediaStorageSOPClassUID
    assert list(numbers(encoded)) == list(numbers(report))
    assert (other is report) == (sop_class == report.SOPClassUID)
    assert report.SOPClassUID == Comprehensive3DSRStorage


def test_a_rewritten_report_names_its_predecessor_as_that_was_rewritten(source: SourceStudy) -> None:
    (first,) = not_analysed(source, Reason.NO_LUNGS, "", a_run(), None)
    before = Predecessor(first.sop_class_uid, first.sop_instance_uid, first.series_instance_uid, "1.2.3")
    (second,) = not_analysed(source, Reason.NO_LUNGS, "", a_run(version=2, predecessor=before), None)
    earlier, later = (in_class(item.dataset, EnhancedSRStorage) for item in (first, second))
    (series,) = later.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    (named,) = series.ReferencedSOPSequence
    assert (named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID) == (EnhancedSRStorage, earlier.SOPInstanceUID)
    assert series.SeriesInstanceUID == earlier.SeriesInstanceUID


@pytest.mark.parametrize("sop_class", ResultRole.REPORT.sop_classes[1:])
def test_a_whole_report_passes_its_own_rules_in_every_class(report: Dataset, sop_class: str) -> None:
    made = variant(report, sop_class, ResultRole.REPORT)
    assert made.sop_class_uid == sop_class


def test_the_frames_of_one_image_are_still_those_that_were_received(headers: Headers) -> None:
    images = tuple(SourceImage(EnhancedCTImageStorage, "1.2.3.4.1", 1, i + 1) for i in range(24))
    source = SourceStudy(tuple(headers(1, SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=24)))
    report = analysed(source, a_volume(images), a_prediction(images), a_run())[0].dataset
    made = variant(report, EnhancedSRStorage, ResultRole.REPORT)
    assert list(numbers(made.dataset)) == list(numbers(report))


SPOILT = {
    "verified": ("VerificationFlag", "VERIFIED", "must be UNVERIFIED"),
    "a time that is none": ("ContentTime", "10:15", "has a value that is no TM"),
    "without its content": ("ContentSequence", None, "must be present and not empty"),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(("keyword", "value", "rule"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_report_is_not_written_in_another_class(
    report: Dataset, keyword: str, value: str | None, rule: str
) -> None:
    setattr(report, keyword, value)
    with pytest.raises(ObjectFaulty, match=rule):
        variant(report, EnhancedSRStorage, ResultRole.REPORT)


def test_a_report_that_names_an_image_which_is_not_in_its_evidence_is_not_written_in_another_class(
    report: Dataset,
) -> None:
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    series.ReferencedSOPSequence = series.ReferencedSOPSequence[:3]
    with pytest.raises(ObjectFaulty, match="refers to no received instance"):
        variant(report, EnhancedSRStorage, ResultRole.REPORT)


def test_a_report_without_evidence_is_not_written_in_another_class(report: Dataset) -> None:
    del report.CurrentRequestedProcedureEvidenceSequence
    with pytest.raises(ObjectFaulty, match="names no image"):
        variant(report, EnhancedSRStorage, ResultRole.REPORT)
