"""Which series of a study is analysed, from headers made by hand."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage

from survnode.model.ct.selection import choose, judge
from survnode.model.ct.volume import read_headers
from survnode.model.errors import Reason

SPACING_MM = 3.0


def headers(uid: str, count: int, spacing_mm: float = 3.0, number: int = 1, **attributes: object) -> list[Dataset]:
    """An axial series of ``count`` slices."""
    made = []
    for index in range(count):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{uid}.{index}"
        ds.Modality, ds.ImageType, ds.SeriesNumber = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], number
        ds.SeriesInstanceUID, ds.FrameOfReferenceUID = uid, "1.9"
        ds.ImagePositionPatient = [-100.0, -100.0, spacing_mm * index]
        ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [1.0, 1.0]
        ds.Rows, ds.Columns, ds.RescaleSlope, ds.RescaleIntercept = 4, 4, 1, -1024
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
        made.append(ds)
    return made


def series(*geometries: tuple[int, float, int]) -> dict[str, list[Dataset]]:
    """Series 1.1, 1.2, ... of so many slices, so far apart, with that number."""
    return {f"1.{place}": headers(f"1.{place}", *geometry) for place, geometry in enumerate(geometries, start=1)}


def test_the_only_series_that_can_be_analysed_is_chosen_and_the_others_say_why() -> None:
    scout = headers("1.2", 2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    choice = choose({"1.1": headers("1.1", 60), "1.2": scout}, SPACING_MM)
    assert (choice.series_instance_uid, choice.reason, choice.detail) == ("1.1", None, "")
    assert [(verdict.chosen, verdict.images, verdict.reason, verdict.sentence) for verdict in choice.verdicts] == [
        (True, 60, None, ""),
        (False, 2, Reason.LOCALIZER, "The images are localizers."),
    ]


@pytest.mark.parametrize(
    ("best", "other", "spacing_mm", "why"),
    [
        ((60, 3.0, 5), (40, 3.0, 1), 3.0, "covers at least 150 mm"),
        ((60, 3.0, 5), (200, 1.0, 1), 3.0, "has slices nearer to 3 mm apart"),
        ((60, 2.5, 5), (60, 5.0, 1), 3.0, "has slices nearer to 3 mm apart"),
        ((200, 1.0, 5), (60, 3.0, 1), 1.25, "has slices nearer to 1.25 mm apart"),
        ((60, 5.0, 5), (60, 3.0, 1), 5.0, "has slices nearer to 5 mm apart"),
        ((80, 3.0, 5), (60, 3.0, 1), 3.0, "has more slices"),
        ((60, 3.0, 1), (60, 3.0, 5), 3.0, "has the lower series number"),
        ((60, 3.0, 1), (60, 3.0, 1), 3.0, "has the lower series UID"),
    ],
)
def test_of_several_that_can_be_analysed_the_first_rule_that_tells_them_apart_decides(
    best: tuple[int, float, int], other: tuple[int, float, int], spacing_mm: float, why: str
) -> None:
    study = series(best, other)
    choice = choose(study, spacing_mm)
    assert choice == choose(dict(reversed(study.items())), spacing_mm)
    assert choice.series_instance_uid == "1.1"
    assert choice.verdicts[1].detail == f"The chosen series {why}."


@pytest.mark.parametrize("chest", [(50, 2.99994, 9), (60, 2.4999, 9), (30, 4.9999, 9), (150, 0.99999, 9)])
def test_positions_that_a_scanner_rounded_do_not_make_a_chest_a_part_of_one(chest: tuple[int, float, int]) -> None:
    longer = (40, 10.0, 1)
    assert choose(series(longer, chest), SPACING_MM).series_instance_uid == "1.2"


def test_a_series_that_is_shorter_than_a_chest_by_more_than_rounding_is_a_part_of_one() -> None:
    assert choose(series((40, 10.0, 9), (50, 2.98, 1)), SPACING_MM).series_instance_uid == "1.1"


def test_two_series_whose_spacing_differs_by_rounding_are_told_apart_by_the_next_rule() -> None:
    choice = choose(series((60, 3.0, 1), (64, 3.004, 2)), SPACING_MM)
    assert choice.series_instance_uid == "1.2"
    assert choice.verdicts[0].detail == "The chosen series has more slices."


def test_the_reason_of_the_largest_series_is_told_when_none_can_be_analysed() -> None:
    gap = [ds for ds in headers("1.1", 60) if ds.SOPInstanceUID != "1.1.30"]
    choice = choose({"1.1": gap, "1.2": headers("1.2", 3)}, SPACING_MM)
    assert (choice.series_instance_uid, choice.reason) == ("1.1", Reason.IRREGULAR_SPACING)
    assert "6.00 mm" in choice.detail
    assert [verdict.reason for verdict in choice.verdicts] == [Reason.IRREGULAR_SPACING, Reason.TOO_FEW_SLICES]
    assert not any(verdict.chosen for verdict in choice.verdicts)


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        ({"1.1": headers("1.1", 30, Modality="MR")}, Reason.NOT_CT),
        ({"1.1": headers("1.1", 30, Rows=None)}, Reason.NO_ELIGIBLE_SERIES),
        ({}, Reason.NO_ELIGIBLE_SERIES),
    ],
    ids=["another modality", "a header that breaks the rules", "no readable file"],
)
def test_a_study_without_a_series_to_analyse_says_why(study: Mapping[str, list[Dataset]], reason: Reason) -> None:
    assert choose(study, SPACING_MM).reason is reason


def test_a_header_that_breaks_the_rules_does_not_break_the_study() -> None:
    study = {"1.1": headers("1.1", 60, Rows=None), "1.2": headers("1.2", 30)}
    choice = choose(study, SPACING_MM)
    assert choice.series_instance_uid == "1.2"
    assert choice.verdicts[0].detail == "Its headers cannot be used (TypeError)."


def test_what_headers_say_depends_neither_on_their_order_nor_on_a_model() -> None:
    datasets = headers("1.1", 60, 2.5)
    datasets[7].SeriesNumber = 0
    judged = judge("1.1", datasets)
    assert judged == judge("1.1", datasets[::-1])
    assert (judged.images, judged.spacing_mm, judged.extent_mm, judged.series_number) == (60, 2.5, 150.0, 0)


def test_a_real_chest_is_chosen(lung1_series: list[Path]) -> None:
    chest = read_headers(lung1_series)
    uid = str(chest[0].SeriesInstanceUID)
    choice = choose({uid: chest}, SPACING_MM)
    assert (choice.series_instance_uid, choice.reason, choice.verdicts[0].images) == (uid, None, 134)
