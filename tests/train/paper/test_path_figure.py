import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pydicom.uid import CTImageStorage

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.coverage import Coverage
from survnode.model.ct.preprocess import Preprocessing, preprocess
from survnode.model.ct.volume import Mask, Volume
from survnode.model.prediction import ModelIdentity, Prediction, SliceAttention
from survnode.model.timegrid import TimeGrid
from survnode.train.paper.path_figure import path_figure

SHAPE = (40, 48, 64)
SETTINGS = Preprocessing(size=32)
WEIGHTS = np.where(np.arange(40) == 25, 0.61, 0.01)


def lungs(hu: np.ndarray[tuple[int, ...], np.dtype[np.float32]], _: object) -> Mask:
    """Two boxes in the middle of the CT; none in the lowest and the highest ten slices."""
    mask = np.zeros(hu.shape, np.uint8)
    mask[10:30, 10:38, 8:28], mask[10:30, 10:38, 36:56] = 1, 2
    return mask


@pytest.fixture(scope="module")
def figure() -> Figure:
    images = tuple(SourceImage(CTImageStorage, f"1.2.{number}", number) for number in range(1, 41))
    volume = Volume(np.full(SHAPE, -800, np.float32), (3.0, 1.0, 1.0), images, np.eye(3), np.zeros(3))
    attention = tuple(SliceAttention(image, row, float(WEIGHTS[row])) for row, image in enumerate(images))
    model = ModelIdentity("m", "1", "2.25.1", "ab", "encoder", "cd", "threshold", "1 mm", "nobody")
    pmf = np.full((1, 25), 1 / 25)
    prediction = Prediction(TimeGrid(), pmf, attention, model, Coverage(60.0, 4600.0, 0.0, 0.0))
    return path_figure(volume, preprocess(volume, lungs, SETTINGS), prediction, SETTINGS)


def test_the_panels_are_in_the_order_of_the_path_with_its_numbers(figure: Figure) -> None:
    titles = [axes.get_title() for axes in figure.axes]
    assert [title[0] for title in titles] == ["1", "2", "3", "4"]
    assert "20 of 40 are kept" in titles[1]
    assert "20 slices\nof 32 x 32" in titles[2]


def test_each_source_image_has_its_attention_in_percent_feet_first(figure: Figure) -> None:
    bars = figure.axes[3].patches
    widths = [bar.get_width() for bar in bars]  # type: ignore[attr-defined]  # bars are rectangles
    np.testing.assert_allclose(widths, 100 * WEIGHTS)


def test_the_box_holds_both_lungs(figure: Figure) -> None:
    (box,) = figure.axes[0].patches
    assert isinstance(box, Rectangle)
    assert box.get_x() <= 8
    assert box.get_x() + box.get_width() >= 56
    assert box.get_y() <= 10
    assert box.get_y() + box.get_height() >= 38
