from collections.abc import Collection

import pydicom
import pytest
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage, CTImageStorage, EnhancedSRStorage

from survnode.node import roles
from survnode.node.config import NodeConfig, ResultsConfig
from survnode.node.results.documents.report import CONSTRUCTORS
from survnode.node.results.identity import Layout
from survnode.node.results.inspection.requirements import TYPE_1
from survnode.node.roles import DEFAULT_ROLES, REPORT_CLASSES, RESULT_SOP_CLASSES, ResultRole, best_report_class


def test_each_role_has_a_number_a_description_and_a_file_of_its_own() -> None:
    assert [role.series_number for role in ResultRole] == list(range(9101, 9109))
    assert len({role.description for role in ResultRole}) == len({role.file_name for role in ResultRole}) == 8


def test_its_uids_are_those_of_the_standard() -> None:
    for name, uid in vars(roles).items():
        if name.endswith("Storage"):
            assert getattr(pydicom.uid, name) == uid
    assert {UID(uid).type for uid in RESULT_SOP_CLASSES} == {"SOP Class"}


def test_node_and_results_number_the_series_alike() -> None:
    assert ResultsConfig().series_numbers == Layout().series_numbers == {r: r.series_number for r in ResultRole}
    assert NodeConfig.model_validate({"data_dir": "."}).results.series_numbers[ResultRole.PDF] == 9105


def test_a_destination_takes_no_optional_object_unless_told() -> None:
    optional = {ResultRole.PDF, ResultRole.SEGMENTATION, ResultRole.ATTENTION_REPORT, ResultRole.WITHDRAWAL}
    assert set(DEFAULT_ROLES) == set(ResultRole) - optional


def test_objects_are_sent_in_the_order_in_which_a_reader_wants_them() -> None:
    assert [role.place for role in ResultRole] == list(range(8))
    assert min(ResultRole, key=lambda role: role.place) is ResultRole.REPORT


def test_a_capture_is_filed_by_its_rank() -> None:
    assert (ResultRole.CAPTURE.path(3), ResultRole.CURVE.path()) == ("captures/03.dcm", "curve.dcm")


def test_reports_alone_can_be_written_in_several_classes() -> None:
    assert [role for role in ResultRole if role.is_report] == [ResultRole.REPORT, ResultRole.ATTENTION_REPORT]
    assert all(role.sop_classes == tuple(REPORT_CLASSES.values()) for role in ResultRole if role.is_report)
    assert ResultRole.REPORT.sop_class() == Comprehensive3DSRStorage
    assert ResultRole.REPORT.sop_class(EnhancedSRStorage) == EnhancedSRStorage
    assert ResultRole.CURVE.sop_class(EnhancedSRStorage) == ResultRole.CURVE.sop_classes[0]


def test_captures_curve_and_segmentation_alone_have_pixels() -> None:
    with_pixels = [role for role in ResultRole if role.is_image]
    assert with_pixels == [ResultRole.CAPTURE, ResultRole.CURVE, ResultRole.SEGMENTATION]


def test_every_class_is_known_to_the_standard_to_the_inspection_and_to_whoever_makes_it() -> None:
    assert all(UID(uid).name.endswith("Storage") for uid in RESULT_SOP_CLASSES)
    assert set(TYPE_1) == set(RESULT_SOP_CLASSES)
    assert set(CONSTRUCTORS) == set(REPORT_CLASSES.values())


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ({EnhancedSRStorage, Comprehensive3DSRStorage, ComprehensiveSRStorage}, Comprehensive3DSRStorage),
        ({EnhancedSRStorage, ComprehensiveSRStorage}, ComprehensiveSRStorage),
        ([EnhancedSRStorage, CTImageStorage], EnhancedSRStorage),
        ([CTImageStorage], None),
        ((), None),
    ],
)
def test_the_richest_class_that_is_accepted_is_chosen(accepted: Collection[str], chosen: str | None) -> None:
    assert best_report_class(accepted) == chosen
