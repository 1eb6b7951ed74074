from dataclasses import replace

import numpy as np
import pytest

from survnode.model.ct.volume import SourceImage, Volume
from survnode.node.results.envelope import ResultObject
from survnode.node.results.findings import ReportedFindings, findings_of
from survnode.node.results.pictures import captures
from survnode.node.results.pictures.captures import ANATOMY, PANEL, STRIP, draw
from survnode.node.results.pictures.secondary_capture import Pixels
from survnode.node.roles import ResultRole

from ..conftest import Predict, a_volume

Results = tuple[ResultObject, ...]


@pytest.fixture(scope="module")
def findings(predict: Predict) -> ReportedFindings:
    return findings_of(predict(), 24, 5)


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
    assert objects[0].dataset.ImageComments == "AI attention rank 1 of 5; weight 13.35 %; source image 17"


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
        middle = STRIP + ANATOMY // 2
        assert pixels[middle, PANEL // 2].tolist() == pytest.approx([lung] * 3, abs=1)
        assert pixels[middle, PANEL + PANEL // 2].tolist() == pytest.approx([mediastinum] * 3, abs=1)


def test_the_patients_front_is_up_and_his_right_is_left(picture: Pixels) -> None:
    right_panel = picture[STRIP : STRIP + ANATOMY, PANEL + 40 : 2 * PANEL - 40, 0]
    half = ANATOMY // 2
    assert right_panel[:half, :half].mean() > 50
    assert right_panel[half:, :].max() == 0
    assert right_panel[:, half + 10 :].max() == 0


def test_anatomy_keeps_its_proportions(findings: ReportedFindings) -> None:
    volume = a_volume([item.image for item in findings.slices] * 5, spacing_mm=(3.0, 1.0, 2.0))
    volume.hu[:] = 1000
    pixels = draw(findings.slices[0], findings, volume)
    panel = pixels[STRIP : STRIP + ANATOMY, 40 : PANEL - 40, 0] == 255
    assert panel.any(axis=0).sum() == ANATOMY
    assert panel.any(axis=1).sum() == ANATOMY // 2


def test_no_text_lies_on_the_anatomy(findings: ReportedFindings, volume: Volume) -> None:
    air = a_volume(volume.images)
    air.hu[:] = -3000
    pixels = draw(findings.slices[0], findings, air)
    for left in (0, PANEL):
        assert pixels[STRIP : STRIP + ANATOMY, left + 40 : left + PANEL - 40].max() == 0


def test_the_strips_say_something_in_letters_that_can_be_read(picture: Pixels) -> None:
    assert (picture[:STRIP].max(axis=2) > 200).sum() > 1500
    assert (picture[STRIP + ANATOMY :].max(axis=2) > 100).sum() > 500


@pytest.mark.parametrize("changes", [{}, {"demonstration": True, "name": "n" * 64}], ids=str)
def test_nothing_stands_where_viewers_put_their_scroll_bar(
    predict: Predict, volume: Volume, changes: dict[str, object]
) -> None:
    findings = findings_of(predict(**changes), 24, 5)
    pixels = draw(findings.slices[0], findings, volume)
    assert pixels[:, :16].max() == 0
    assert pixels[:, -16:].max() == 0
    assert pixels[:STRIP, 28:60].max() > 200  # and the words begin right beside it


def test_words_of_the_strip_stay_apart_whatever_their_length(findings: ReportedFindings, volume: Volume) -> None:
    image = SourceImage("1.2", "1.3", 1, 12345)
    widest = replace(findings.slices[0], rank=50, weight=100.0, image=image)
    many = replace(findings, slices=(widest,) * 50)
    columns = np.flatnonzero(draw(widest, many, volume)[: STRIP - 4].max(axis=(0, 2)))
    gaps = np.diff(columns)
    assert sorted(gaps)[-2] > 30  # between rank and weight, and between image and "research use only"


def test_each_rank_is_its_own_picture(findings: ReportedFindings, volume: Volume) -> None:
    pictures = {draw(item, findings, volume).tobytes() for item in findings.slices}
    assert len(pictures) == len(findings.slices)


def test_a_demonstration_model_says_so_in_the_pixels(predict: Predict, volume: Volume, picture: Pixels) -> None:
    demonstration = findings_of(predict(demonstration=True), 24, 5)
    pixels = draw(demonstration.slices[0], demonstration, volume)
    changed = np.argwhere((pixels != picture).any(axis=2))
    assert changed[:, 0].min() >= captures.SIZE[1] - STRIP // 2
    assert len(changed) > 1000
