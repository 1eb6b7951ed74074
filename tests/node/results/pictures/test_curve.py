from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from survnode.model.certainty import LowerBound
from survnode.model.ct.coverage import Coverage, CoverageWarning
from survnode.model.likeness import Difference, Unlikeness
from survnode.node.results.envelope import ResultObject
from survnode.node.results.findings import findings_of
from survnode.node.results.pictures import curve
from survnode.node.results.pictures.curve import draw, spread_labels
from survnode.node.results.pictures.palette import PRINT, SCREEN, Palette

from ..conftest import Predict, a_series

BOUND = LowerBound(level=0.9, incidence=0.2, coverage=0.91, low=0.88, high=0.94, patients=415)
Results = tuple[ResultObject, ...]


def picture(predict: Predict, **changes: object) -> bytes:
    return draw(findings_of(predict(**changes), a_series(), 5), "0.1.0").tobytes()


def test_the_page_is_one_image_with_the_headline_as_its_comment(results: Results) -> None:
    ds = results[-1].dataset
    assert (ds.Rows, ds.Columns) == (960, 1280)
    assert ds.ImageComments == "AI predicted overall survival at 24 months: 48 %"
    assert ds.BurnedInAnnotation == "NO"


def test_time_that_nine_in_ten_live_to_stands_beside_the_range_with_how_many_did(predict: Predict) -> None:
    findings = findings_of(predict(lower_bound=BOUND), a_series(), 5)
    assert findings.least_months == pytest.approx(np.interp(20, findings.incidence, findings.months))
    said = f"lower bound (90 %): {findings.least_months:.1f} months; 91 % of 415 patients lived to theirs"
    assert said in {text.get_text() for text in curve.page(findings, "0.1.0").findobj(Text)}
    assert picture(predict, lower_bound=BOUND) != picture(predict)
    assert findings_of(predict(), a_series(), 5).least_months is None


def test_page_says_how_a_patient_is_unlike_those_in_training(predict: Predict) -> None:
    unlike = tuple(Unlikeness(difference) for difference in Difference)
    findings = findings_of(replace(predict(), unlike=unlike), a_series(), 5)
    shown = {text.get_text() for text in curve.page(findings, "0.1.0").findobj(Text)}
    assert "Images unlike those in training; scan unlike those in training" in shown


def test_it_shows_the_same_pixels_every_time(predict: Predict) -> None:
    assert picture(predict) == picture(predict)


@pytest.mark.parametrize(
    "changes",
    [
        {"hazard": 0.05}, {"members": 1}, {"cohort_survival": ()}, {"demonstration": True}, {"version": "2.0.0"},
        {"cohort": "others"},
    ],
    ids=str,
)  # fmt: skip
def test_everything_that_matters_is_to_be_seen(predict: Predict, changes: dict[str, object]) -> None:
    assert picture(predict) != picture(predict, **changes)


@pytest.mark.parametrize("changes", [{}, {"demonstration": True, "cohort": "a long name " * 20}], ids=str)
def test_what_viewers_write_at_the_top_and_at_the_foot_hides_nothing(
    predict: Predict, changes: dict[str, object]
) -> None:
    rows = draw(findings_of(predict(**changes), a_series(), 5), "0.1.0").max(axis=(1, 2))
    height = len(rows)
    assert rows[: int(0.09 * height)].max() == 0
    assert rows[int(0.94 * height) :].max() == 0
    assert rows[int(0.09 * height) : int(0.13 * height)].max() > 200  # and the page begins right there


def test_labels_of_slices_that_lie_apart_stay_where_they_are() -> None:
    assert spread_labels([10.0, 2.0, 30.0], 3.0) == [10.0, 2.0, 30.0]


def test_labels_of_neighbours_move_apart_evenly_and_keep_their_order() -> None:
    assert spread_labels([11.0, 10.0, 12.0], 3.0) == pytest.approx([11.0, 8.0, 14.0])


def test_labels_never_come_closer_than_the_gap() -> None:
    places = np.random.default_rng(1).uniform(0, 20, 9).tolist()
    assert np.diff(sorted(spread_labels(places, 2.0))).min() >= 2.0 - 1e-9


CAUTIOUS = {
    "series": a_series(
        description="THORAX " * 9, number=12345, coverage=Coverage(90.0, 1234.0, 0.3, 0.3, tuple(CoverageWarning))
    )
}


def without_descent(box: Bbox) -> Bbox:
    """The part of a line's box in which its letters stand; a large figure has nothing below its base line."""
    return Bbox.from_extents(box.x0, box.y0 + 0.25 * box.height, box.x1, box.y1)


@pytest.mark.parametrize("changes", [{}, CAUTIOUS], ids=["usual", "longest"])
@pytest.mark.parametrize("palette", [SCREEN, PRINT], ids=["screen", "print"])
def test_no_words_touch_others(predict: Predict, changes: dict[str, Any], palette: Palette) -> None:
    prediction = predict(demonstration=True, name="n" * 64, cohort="c" * 300, max_spread=0.01)
    page = curve.page(replace(findings_of(prediction, a_series(), 5), **changes), "0.1.0", palette)
    canvas = FigureCanvasAgg(page)
    canvas.draw()  # type: ignore[no-untyped-call]
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    words = [text for text in page.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]
    boxes = [(text.get_text(), without_descent(text.get_window_extent(renderer))) for text in words]
    assert "RESEARCH USE ONLY" in [text for text, _ in boxes]
    for (text, box), (other, beside) in combinations(boxes, 2):
        if not (text.isdecimal() and other.isdecimal()):  # the zeros of both axes meet at their corner
            assert not box.overlaps(beside), (text, other)
    assert all(box.x0 >= 0 and box.x1 <= curve.SIZE[0] for _, box in boxes)


def test_the_page_says_what_was_analysed_and_what_to_beware_of(predict: Predict) -> None:
    series = a_series(coverage=Coverage(200.0, 4000.0, 0.1, 0.0, (CoverageWarning.CUT_BELOW,)))
    page = curve.page(replace(findings_of(predict(max_spread=0.01), a_series(), 5), series=series), "0.1.0")
    said = [text.get_text() for text in page.texts]
    assert 'CT series 3 "CHEST" of 2025-01-02: 24 slices, 72 mm; lungs 4000 ml' in said
    assert "Lungs cut off below; the models disagree" in said
    assert "three models: 41 to 56 %" in said
