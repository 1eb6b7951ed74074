import pytest
from pydicom import Dataset
from pydicom.tag import Tag

from survnode.node.results.inspection.content import (
    InspectedObject,
    ObjectFault,
    Reference,
    concept,
    content_items,
    numbers,
    references,
    texts,
)
from survnode.node.roles import ResultRole

CT = "1.2.840.10008.5.1.4.1.1.2"


def names(uid: str, frames: object = None) -> Dataset:
    """An item that refers to an image."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
    if frames is not None:
        item.ReferencedFrameNumber = frames
    return item


def content(value_type: str, code: str = "", *below: Dataset, **values: object) -> Dataset:
    """A content item."""
    item = Dataset()
    item.ValueType = value_type
    if code:
        name = Dataset()
        name.CodeValue = code
        item.ConceptNameCodeSequence = [name]
    if below:
        item.ContentSequence = list(below)
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


@pytest.fixture
def report() -> Dataset:
    """A number of an image in a container, between two texts."""
    measured = Dataset()
    measured.NumericValue = "12.5"
    image = content("IMAGE", ReferencedSOPSequence=[names("1.2.1", [3, 4])])
    number = content("NUM", "ATTENTION", image, MeasuredValueSequence=[measured])
    ds = Dataset()
    ds.ContentSequence = [
        content("TEXT", "A", TextValue="first"),
        content("CONTAINER", "B", number),
        content("TEXT", TextValue="last"),
    ]
    return ds


def test_content_is_met_in_the_order_of_a_reader(report: Dataset) -> None:
    assert [(item.ValueType, concept(item)) for item in content_items(report)] == [
        ("TEXT", "A"), ("CONTAINER", "B"), ("NUM", "ATTENTION"), ("IMAGE", ""), ("TEXT", ""),
    ]  # fmt: skip
    assert texts(report).split() == ["first", "last"]


def test_a_number_comes_with_its_code_and_its_image(report: Dataset) -> None:
    assert list(numbers(report)) == [("ATTENTION", 12.5, Reference(CT, "1.2.1", None, (3, 4)))]


def test_what_is_named_at_any_depth_is_found_with_its_series_but_not_an_earlier_document() -> None:
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "1.2.9", [names("1.2.1"), names("1.2.2", 7)]
    study = Dataset()
    study.ReferencedSeriesSequence = [series]
    ds = Dataset()
    ds.CurrentRequestedProcedureEvidenceSequence = [study]
    ds.PredecessorDocumentsSequence = [study]
    ds.SourceImageSequence = [names("1.2.3")]
    assert {(it.sop_instance_uid, it.series_instance_uid, it.frames) for it in references(ds)} == {
        ("1.2.1", "1.2.9", ()), ("1.2.2", "1.2.9", (7,)), ("1.2.3", None, ()),
    }  # fmt: skip
    assert len(list(references(ds))) == 3


def test_a_fault_names_object_tag_and_rule() -> None:
    fault = InspectedObject(ResultRole.CURVE, "curve.dcm", Dataset()).fault("PatientID", "is another's")
    assert fault == ObjectFault("curve.dcm", Tag("PatientID"), "is another's")
    assert str(fault) == "curve.dcm (0010,0020) is another's"
    assert str(ObjectFault("curve.dcm", None, "is missing")) == "curve.dcm is missing"
