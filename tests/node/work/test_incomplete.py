"""A part of a chest, cut out of whole ones, and the whole ones themselves."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import pytest
from pydicom import Dataset
from scipy.ndimage import binary_dilation

from survnode.model.checkpoint import checkpoint_folder
from survnode.model.ct.coverage import Coverage, CoverageWarning, judge_coverage
from survnode.model.ct.preprocess import Preprocessing, SliceStack, lungs_on_source_grid
from survnode.model.ct.volume import load_volume, read_headers, read_series
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.node.results.identity import Layout
from survnode.node.results.inspection.content import texts
from survnode.node.work.pipeline import Pipeline

from ..results.conftest import a_run


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(checkpoint_folder("demo"), Layout())


def by_height(paths: Sequence[Path]) -> list[Path]:
    """Feet to head."""
    headers = read_headers(paths)
    order = sorted(range(len(paths)), key=lambda row: float(headers[row].ImagePositionPatient[2]))
    return [paths[row] for row in order]


def judged(pipeline: Pipeline, paths: Sequence[Path]) -> Coverage | str:
    """What is said of the lungs, or why they are refused."""
    predictor = pipeline.predictor
    try:
        stack = predictor.preprocess(load_volume(read_series(paths)))
        return judge_coverage(
            stack.lungs,
            predictor.card.preprocessing.spacing_mm,
            predictor.card.limits.coverage,
            stack.sides.warnings,
        )
    except SeriesUnsuitable as refusal:
        return str(refusal.reason.value)


@pytest.mark.parametrize("name", ["lung1_series", "thorax64_series"])
def test_whole_lungs_get_no_warning(name: str, pipeline: Pipeline, request: pytest.FixtureRequest) -> None:
    found = judged(pipeline, request.getfixturevalue(name))
    assert isinstance(found, Coverage)
    assert found.warnings == ()


@pytest.mark.parametrize("count", [20, 60])
@pytest.mark.parametrize("start", ["feet", "middle", "head"])
def test_a_part_of_lung1_001_is_refused(count: int, start: str, pipeline: Pipeline, lung1_series: list[Path]) -> None:
    paths = by_height(lung1_series)
    lungs = paths[22:110]  # the slices with lung
    at = {"feet": 0, "middle": (len(lungs) - count) // 2, "head": len(lungs) - count}[start]
    # From the lungs outwards the CT is whole: it begins in the belly, or ends in the neck.
    part = {"feet": paths[: 22 + count], "middle": lungs[at : at + count], "head": paths[110 - count :]}[start]
    assert judged(pipeline, part) in {Reason.LUNGS_INCOMPLETE, Reason.NO_LUNGS}


@pytest.mark.parametrize(("first", "last"), [(0, 20), (20, 40), (0, 60), (35, 79)])
def test_a_part_of_another_chest_is_refused(
    first: int, last: int, pipeline: Pipeline, thorax64_series: list[Path]
) -> None:
    assert judged(pipeline, by_height(thorax64_series)[first:last]) in {Reason.LUNGS_INCOMPLETE, Reason.NO_LUNGS}


def test_lungs_whose_recesses_alone_are_cut_are_analysed_with_a_warning(
    pipeline: Pipeline, lung1_series: list[Path]
) -> None:
    found = judged(pipeline, by_height(lung1_series)[30:])
    assert isinstance(found, Coverage)
    assert found.warnings == (CoverageWarning.CUT_BELOW,)


def test_the_report_of_a_part_says_why_it_has_no_number(pipeline: Pipeline, thorax64_series: list[Path]) -> None:
    outcome = pipeline.analyse(read_series(by_height(thorax64_series)[:50]), a_run())
    (report,) = outcome.objects
    assert outcome.reason is Reason.LUNGS_INCOMPLETE
    assert "A part of the lungs is missing in the images." in texts(report.dataset)
    assert report.dataset.SeriesDescription == "AI not analysed v1 (research use only)"


@pytest.fixture(scope="module")
def healthy(pipeline: Pipeline, lung1_series: list[Path]) -> SliceStack:
    """What the network sees of the whole lungs."""
    return pipeline.predictor.preprocess(load_volume(read_series(lung1_series)))


@pytest.mark.parametrize("side", [1, 2])
def test_a_lung_of_lung1_001_that_is_white_is_said_in_report_and_curve_page_and_has_its_place_in_the_box(
    side: int, pipeline: Pipeline, lung1_series: list[Path], healthy: SliceStack
) -> None:
    whitened = filled(read_series(lung1_series), healthy, side, pipeline.predictor.card.preprocessing)
    outcome = pipeline.analyse(whitened, a_run())
    report = outcome.objects[0].dataset
    assert "One lung is missing, or is less than a third of the other." in texts(report)
    assert ("W-ONE-LUNG", "99SURVNODE") in {
        (item.ConceptCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodingSchemeDesignator)
        for section in report.ContentSequence
        for item in section.get("ContentSequence", [])
        if item.ValueType == "CODE"
    }
    assert outcome.analysis is not None
    box = outcome.analysis.stack.box
    shown = min(box.right, healthy.box.right) - max(box.left, healthy.box.left)
    assert shown >= 0.95 * (healthy.box.right - healthy.box.left)


def filled(datasets: Sequence[Dataset], healthy: SliceStack, side: int, settings: Preprocessing) -> list[Dataset]:
    """The CT with one lung of 30 HU."""
    volume = load_volume(datasets)
    lungs = lungs_on_source_grid(healthy, volume, settings)
    fill = binary_dilation(lungs == side, iterations=2) & (lungs != 3 - side)
    row_of = {image.sop_instance_uid: row for row, image in enumerate(volume.images)}
    filled = []
    for ds in datasets:
        pixels = ds.pixel_array.copy()
        pixels[fill[row_of[ds.SOPInstanceUID]]] = round((30 - ds.RescaleIntercept) / ds.RescaleSlope)
        copied = copy(ds)
        copied.PixelData = pixels.tobytes()
        filled.append(copied)
    return filled
