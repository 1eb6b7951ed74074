from typing import Any

import pytest
from pydicom import Dataset

from survnode.node.results.envelope import SourceStudy
from survnode.node.results.inspection.content import content_items

from .spoilt import CAPTURE, CURVE, KEYS, REPORT, Break, Results, broken, faults, put


def _number(code: str, value: float) -> Break:
    def spoil(ds: Dataset) -> None:
        for item in content_items(ds):
            if item.get("ValueType") == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == code:
                item.MeasuredValueSequence[0].NumericValue = value
                return

    return spoil


def _word(before: str, after: str) -> Break:
    def spoil(ds: Dataset) -> None:
        for item in content_items(ds):
            if "TextValue" in item:
                item.TextValue = item.TextValue.replace(before, after)

    return spoil


def _swap_images(ds: Dataset) -> None:
    images = [item for item in content_items(ds) if item.ValueType == "IMAGE"]
    first, second = images[0].ReferencedSOPSequence[0], images[1].ReferencedSOPSequence[0]
    first.ReferencedSOPInstanceUID, second.ReferencedSOPInstanceUID = (
        second.ReferencedSOPInstanceUID, first.ReferencedSOPInstanceUID,
    )  # fmt: skip


def _no_numbers(ds: Dataset) -> None:
    ds.ContentSequence = [
        item for item in ds.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != "126010"
    ]  # fmt: skip


def _reason(ds: Dataset) -> None:
    item = next(item for item in content_items(ds) if item.ValueType == "CODE")
    item.ConceptCodeSequence[0].CodingSchemeDesignator = "99SURVNODE"
    item.ConceptCodeSequence[0].CodeValue = "NA-NO-LUNGS"


CONTRADICTIONS: dict[str, tuple[str, Break, str]] = {
    "the headline": (REPORT, _number("OS-M24", 99.0), "not the complement"),
    "a month": (REPORT, _number("CIF-M12", 32.51), "another survival at 12 months in words"),
    "a curve that falls": (REPORT, _number("CIF-M13", 1.0), "that falls or leaves 0 to 100 %"),
    "words of the survival": (REPORT, _word("24 months:  48 %", "24 months:  84 %"), "another survival at 24 months"),
    "words of a rank": (REPORT, _word("rank 2:", "rank 7:"), "another weight of rank 2 in words"),
    "a weight": (REPORT, _number("ATTENTION", 1.0), "another weight of rank 1 in words"),
    "a reason and numbers": (REPORT, _reason, "names a reason for no analysis and holds numbers"),
    "neither": (REPORT, _no_numbers, "neither a whole prediction nor the reason"),
    "a capture's weight": (CAPTURE, put("ImageComments", "AI attention rank 1 of 5; weight 1.00 %"), "another rank"),
    "a capture's rank": (CAPTURE, put("InstanceNumber", 6), "a rank that the report does not hold"),
    "a capture's image": (
        CAPTURE,
        lambda ds: setattr(ds.SourceImageSequence[0], "ReferencedSOPInstanceUID", "1.2.3.4.1"),
        "another image than the report ranks there",
    ),
    "the curve": (CURVE, put("ImageComments", "99.00 %"), "another survival than the report"),
    "the key objects' order": (KEYS, _swap_images, "other images than the report ranks, or in another order"),
}  # fmt: skip


@pytest.mark.parametrize(("file_name", "spoil", "expected"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_objects_that_contradict_each_other_are_found(
    whole: Results, source: SourceStudy, file_name: str, spoil: Break, expected: str
) -> None:
    found = faults(broken(whole, file_name, spoil), source)
    assert any(fault.startswith(file_name) and expected in fault for fault in found), found


def test_a_second_report_that_contradicts_the_first_is_found(whole: Results, source: SourceStudy) -> None:
    def spoil(ds: Dataset) -> None:
        weights = [item.MeasuredValueSequence[0] for item in content_items(ds) if item.get("ValueType") == "NUM"]
        max(weights, key=lambda item: float(item.NumericValue)).NumericValue = 50

    found = faults(broken(whole, "attention-report.dcm", spoil), source)
    assert found == ["attention-report.dcm holds another weight of a ranked slice than the report"]


def test_a_missing_capture_is_found(whole: Results, source: SourceStudy) -> None:
    found = faults(tuple(item for item in whole if item.file_name != "captures/03.dcm"), source)
    assert found == ["report.dcm ranks a different number of slices than there are captures"]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("status", "not analysed", "is analysed, or not, other than the summary says"),
        ("cumulative_incidence_percent", [1.0] * 24, "another cumulative incidence than the summary"),
        ("survival_at_horizon_percent", 12.0, "another survival than the summary"),
        ("ranked_slices", [], "other weights than the summary"),
        ("objects", [], "lists other objects"),
    ],
)
def test_a_summary_that_contradicts_the_report_is_found(
    whole: Results, source: SourceStudy, summary: dict[str, Any], key: str, value: object, expected: str
) -> None:
    found = faults(whole, source, {**summary, key: value})
    assert any(expected in fault for fault in found), found
