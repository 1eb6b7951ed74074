"""The figure of a stressed prediction says every disturbance, and which CT are refused."""

import numpy as np

from survnode.model.ct.coverage import Coverage
from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason
from survnode.model.prediction import ModelIdentity, Prediction
from survnode.model.timegrid import TimeGrid
from survnode.train.measure.disturbances import Disturbance, DisturbanceKind
from survnode.train.measure.stress import Movement, StressedPrediction
from survnode.train.paper.stress_figure import stress_figure


def same(volume: Volume, _: float) -> Volume:
    return volume


def stressed(*, demonstration: bool = False) -> StressedPrediction:
    model = ModelIdentity(
        "m", "1", "2.25.1", "ab", "encoder", "cd", "threshold", "1 mm", "nobody", demonstration=demonstration
    )
    undisturbed = Prediction(TimeGrid(2), np.array([[0.2, 0.2, 0.6]]), (), model, Coverage(200.0, 4000.0, 0.0, 0.0))
    noise = Movement(Disturbance(DisturbanceKind.NOISE, 10, same), np.array([0.7, 0.5]), -0.1, -0.1, 0.9)
    cut = Movement(Disturbance(DisturbanceKind.TOP, -60, same), reason=Reason.LUNGS_INCOMPLETE)
    return StressedPrediction(undisturbed, (noise, cut))


def test_every_disturbance_has_a_row_and_a_refusal_its_code() -> None:
    rows, _ = stress_figure(stressed()).axes
    assert [label.get_text() for label in rows.get_yticklabels()] == ["noise, 10 HU", "top of the stack, -60 mm"]
    assert [text.get_text() for text in rows.texts] == ["refused: LUNGS_INCOMPLETE"]
    assert "60.0 %" in rows.get_xlabel()


def test_curves_begin_at_100_percent_and_only_those_that_are_told_are_drawn() -> None:
    _, curves = stress_figure(stressed()).axes
    drawn = [np.asarray(line.get_ydata()).tolist() for line in curves.lines]
    np.testing.assert_allclose(drawn, [[100, 70, 50], [100, 80, 60]])


def test_what_hardly_moves_is_drawn_on_at_least_10_points() -> None:
    rows, _ = stress_figure(stressed()).axes
    low, high = rows.get_xlim()
    assert high - low >= 10


def test_a_demonstration_says_so() -> None:
    titles = [str(stress_figure(stressed(demonstration=flag)).get_suptitle()) for flag in (False, True)]
    assert ["knows nothing of patients" in title for title in titles] == [False, True]
