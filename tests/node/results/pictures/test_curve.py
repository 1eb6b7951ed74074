import numpy as np
import pytest

from survnode.node.results.envelope import ResultObject
from survnode.node.results.findings import findings_of
from survnode.node.results.pictures.curve import draw, spread_labels

from ..conftest import Predict, a_series

Results = tuple[ResultObject, ...]


def picture(predict: Predict, **changes: object) -> bytes:
    return draw(findings_of(predict(**changes), a_series(), 5), "0.1.0").tobytes()


def test_the_page_is_one_image_with_the_headline_as_its_comment(results: Results) -> None:
    ds = results[-1].dataset
    assert (ds.Rows, ds.Columns) == (960, 1280)
    assert ds.ImageComments == "AI predicted overall survival at 24 months: 48 %"
    assert ds.BurnedInAnnotation == "NO"


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
