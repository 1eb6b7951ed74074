from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.coverage import Coverage, CoverageWarning
from survnode.model.ct.volume import Volume
from survnode.node.results.envelope import ResultObject
from survnode.node.results.findings import ReportedFindings, findings_of
from survnode.node.results.pictures import captures
from survnode.node.results.pictures.captures import ANATOMY, MARGIN, PANEL, SIZE, TOP, draw
from survnode.node.results.pictures.secondary_capture import Pixels
from survnode.node.roles import ResultRole

from ..conftest import Predict, a_series, a_volume

Results = tuple[ResultObject, ...]


@pytest.fixture(scope="module")
def findings(predict: Predict) -> ReportedFindings:
    return findings_of(predict(), a_series(), 5)


@pytest.fixture(scope="module")
def picture(findings: ReportedFindings, volume: Volume) -> Pixels:
    return draw(findings.slices[0], findings, volume)


@pytest.fixture(scope="module")
def objects(results: Results) -> Results:
    return tuple(result for result in results if result.role is ResultRole.CAPTURE)


def test_instance_numbers_are_the_ranks(objects: Results) -> None:
    assert [int(result.dataset.InstanceNumber) for result in objects] == [1, 2, 3, 4, 5]


def test_each_refers_to_the_ct_image_that_it_shows(objects: Results, predict: Predict) -> None:
    for result, ranked in zip(objects, predict().ranked(5), strict=True):
        (source,) = result.dataset.SourceImageSequence
        assert source.ReferencedSOPInstanceUID == ranked.image.sop_instance_uid
        assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert f"source image {ranked.image.instance_number}" in result.dataset.ImageComments


def test_the_comment_tells_rank_weight_and_image(objects: Results) -> None:
    assert objects[0].dataset.ImageComments == "AI attention rank 1 of 5; weight 13.3 %; source image 17, z 48.0 mm"


def test_they_have_no_place_in_space_or_viewers_would_sort_by_it(objects: Results) -> None:
    geometry = {
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "FrameOfReferenceUID",
        "PixelSpacing",
        "SliceLocation",
    }
    for result in objects:
        assert geometry.isdisjoint(element.keyword for element in result.dataset)


def test_they_are_what_a_workstation_captures(objects: Results) -> None:
    for result in objects:
        ds = result.dataset
        assert (ds.Modality, ds.ConversionType, list(ds.ImageType)) == ("OT", "WSD", ["DERIVED", "SECONDARY", "OTHER"])
        assert (ds.BurnedInAnnotation, ds.RecognizableVisualFeatures, ds.BodyPartExamined) == ("NO", "NO", "CHEST")
        assert (ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.BitsAllocated) == (512, 1024, 3, 8)


def test_the_windows_are_those_of_lung_and_mediastinum(findings: ReportedFindings) -> None:
    volume = a_volume([item.image for item in findings.slices] * 5)
    for hu, lung, mediastinum in ((-1350, 0, 0), (-600, 128, 0), (40, 236, 128), (150, 255, 198), (240, 255, 255)):
        volume.hu[:] = hu
        pixels = draw(findings.slices[0], findings, volume)
        middle = TOP + ANATOMY // 2
        assert pixels[middle, PANEL // 2].tolist() == pytest.approx([lung] * 3, abs=1)
        assert pixels[middle, PANEL + PANEL // 2].tolist() == pytest.approx([mediastinum] * 3, abs=1)


def test_the_patients_front_is_up_and_his_right_is_left(picture: Pixels) -> None:
    right_panel = picture[TOP : TOP + ANATOMY, PANEL + 40 : 2 * PANEL - 40, 0]
    half = ANATOMY // 2
    assert right_panel[:half, :half].mean() > 50
    assert right_panel[half:, :].max() == 0
    assert right_panel[:, half + 10 :].max() == 0


def test_anatomy_keeps_its_proportions(findings: ReportedFindings) -> None:
    volume = a_volume([item.image for item in findings.slices] * 5, spacing_mm=(3.0, 1.0, 2.0))
    volume.hu[:] = 1000
    pixels = draw(findings.slices[0], findings, volume)
    panel = pixels[TOP : TOP + ANATOMY, 40 : PANEL - 40, 0] == 255
    assert panel.any(axis=0).sum() == ANATOMY
    assert panel.any(axis=1).sum() == ANATOMY // 2


def test_no_text_lies_on_the_anatomy(findings: ReportedFindings, volume: Volume) -> None:
    air = a_volume(volume.images)
    air.hu[:] = -3000
    pixels = draw(findings.slices[0], findings, air)
    for left in (0, PANEL):
        assert pixels[TOP : TOP + ANATOMY, left + 40 : left + PANEL - 40].max() == 0


def test_the_strips_say_something_in_letters_that_can_be_read(picture: Pixels) -> None:
    assert (picture[:TOP].max(axis=2) > 200).sum() > 1500
    assert (picture[TOP + ANATOMY :].max(axis=2) > 100).sum() > 500


@pytest.mark.parametrize("changes", [{}, {"demonstration": True, "name": "n" * 64}], ids=str)
def test_nothing_stands_where_viewers_put_their_scroll_bar(
    predict: Predict, volume: Volume, changes: dict[str, object]
) -> None:
    findings = findings_of(predict(**changes), a_series(), 5)
    pixels = draw(findings.slices[0], findings, volume)
    assert pixels[:, :16].max() == 0
    assert pixels[:, -16:].max() == 0
    assert pixels[:TOP, 28:60].max() > 200  # and the words begin right beside it


TOGETHER = tuple(it for it in CoverageWarning if it is not CoverageWarning.ONE_LUNG)  # never said beside the last
LONG = {
    "series": a_series(description="THORAX " * 9, number=12345, coverage=Coverage(90.0, 1234.0, 0.3, 0.3, TOGETHER)),
    "cohort_survival": np.array([]),
}


@pytest.mark.parametrize("changes", [{}, LONG], ids=["usual", "longest"])
def test_no_words_touch_others_whatever_their_length(predict: Predict, changes: dict[str, Any]) -> None:
    findings = replace(
        findings_of(predict(demonstration=True, name="n" * 64, max_spread=0.01), a_series(), 5), **changes
    )
    image = SourceImage("1.2", "1.3", 1, 12345)
    widest = replace(findings.slices[0], rank=50, weight=100.0, image=image, position_mm=-1234.5)
    many = replace(findings, slices=(widest,) * 50)
    boxes = [label.box for label in captures.labels(widest, many)]
    for one, other in combinations(boxes, 2):
        assert one[2] + 8 < other[0] or other[2] + 8 < one[0] or one[3] < other[1] or other[3] < one[1], (one, other)
    assert all(left >= MARGIN and right <= SIZE[0] - MARGIN + 1 for left, _, right, _ in boxes)
    assert all(bottom <= TOP or top >= TOP + ANATOMY for _, top, _, bottom in boxes)


def test_a_capture_says_which_series_it_is_of_and_what_to_beware_of(findings: ReportedFindings) -> None:
    series = a_series(coverage=Coverage(200.0, 4000.0, 0.1, 0.0, (CoverageWarning.CUT_BELOW,)))
    words = [label.text for label in captures.labels(findings.slices[0], replace(findings, series=series))]
    assert 'CT series 3 "CHEST" of 2025-01-02' in words
    assert "attention 13.3 %   image 17, z 48.0 mm" in words
    assert "lungs cut off below" in words


def test_long_words_are_shortened_in_their_middle() -> None:
    face = captures.font(15)
    shown = captures.fitted("a series of a very long name: image 17, z 48.0 mm", face, 200)
    assert shown.startswith("a series")
    assert "..." in shown
    assert shown.endswith("48.0 mm")
    assert face.getlength(shown) <= 200


def test_each_rank_is_its_own_picture(findings: ReportedFindings, volume: Volume) -> None:
    pictures = {draw(item, findings, volume).tobytes() for item in findings.slices}
    assert len(pictures) == len(findings.slices)


def test_a_demonstration_model_says_so_in_the_pixels(predict: Predict, volume: Volume, picture: Pixels) -> None:
    demonstration = findings_of(predict(demonstration=True), a_series(), 5)
    pixels = draw(demonstration.slices[0], demonstration, volume)
    changed = np.argwhere((pixels != picture).any(axis=2))
    assert changed[:, 0].min() >= captures.SIZE[1] - 20
    assert len(changed) > 1000
