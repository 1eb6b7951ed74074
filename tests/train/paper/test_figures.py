from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from survnode.train.paper.figures import (
    Bubble,
    attention_figure,
    attention_profile,
    cost_figure,
    most_attended,
    patient_figure,
    save,
)

from .findings import made_up_result

BUBBLES = [
    Bubble("small", "2D, soft attention", 0.58, 0.55, 0.61, 54.4, 4_400_000),
    Bubble("large", "3D", 0.51, 0.48, 0.54, 1431, 33_400_000),
]


@pytest.mark.parametrize("slices", [1, 7, 50, 72])
def test_even_attention_is_one_everywhere_however_many_slices(slices: int) -> None:
    assert attention_profile(np.full(slices, 1 / slices)) == pytest.approx(np.ones(50))


def test_a_profile_keeps_all_attention_where_it_was() -> None:
    profile = attention_profile(np.array([0.7, 0.3, 0.0, 0.0]), positions=8)
    assert profile == pytest.approx([2.8, 2.8, 1.2, 1.2, 0, 0, 0, 0])


def test_slices_above_the_median_are_shown_from_base_to_apex() -> None:
    attention = np.array([0.1, 0.4, 0.05, 0.3, 0.15])
    assert most_attended(attention).tolist() == [1, 3]
    assert most_attended(attention, most=1).tolist() == [1]


def test_with_even_attention_every_slice_may_be_shown() -> None:
    assert most_attended(np.full(4, 0.25)).tolist() == [0, 1, 2, 3]


def test_bubbles_stand_at_their_concordance_and_cost_with_area_by_parameters() -> None:
    axes, names = cost_figure(BUBBLES).axes
    assert axes.get_yscale() == "log"
    dots = [one for one in axes.collections if isinstance(one, PathCollection) and len(np.asarray(one.get_offsets()))]
    areas = {tuple(np.asarray(one.get_offsets())[0].tolist()): one.get_sizes()[0] for one in reversed(dots)}
    assert areas[0.51, 1431.0] / areas[0.58, 54.4] == pytest.approx(33.4 / 4.4)
    assert [text.get_text().split("  ")[0] for text in names.texts] == ["small", "large"]


def test_the_mean_attention_of_all_patients_is_drawn() -> None:
    result = made_up_result(skill=0.5)
    (axes,) = attention_figure(result).axes
    expected = np.mean([attention_profile(one) for one in result.attention], axis=0)
    assert np.asarray(axes.lines[0].get_ydata()) == pytest.approx(expected)
    assert "range of 5 folds' means" in axes.get_legend_handles_labels()[1]


def test_the_dot_of_the_death_lies_on_the_curve_that_is_drawn() -> None:
    result = made_up_result(skill=0.5)
    row = int(np.flatnonzero(result.event & (result.time_months < 24))[0])
    *panels, curve = patient_figure(result, row, np.zeros((len(result.attention[row]), 8, 8), np.int16)).axes
    assert f"died at month {result.time_months[row]:.1f}" in curve.get_title()
    drawn, _, dot = curve.lines
    time, incidence = (float(np.asarray(values)[0]) for values in dot.get_data())
    assert time == result.time_months[row]
    months, incidences = (np.asarray(values, np.float64) for values in drawn.get_data())
    assert incidence == pytest.approx(float(np.interp(time, months, incidences)))
    assert curve.get_title().endswith(f"{incidence:.2f}")
    assert sum(bool(panel.images) for panel in panels) == len(most_attended(result.attention[row]))


def test_whoever_outlives_the_horizon_is_shown_alive_at_it() -> None:
    result = made_up_result(skill=0.5)
    row = int(np.flatnonzero(result.time_months > 24)[0])
    curve = patient_figure(result, row, np.zeros((len(result.attention[row]), 8, 8), np.int16)).axes[-1]
    assert curve.get_title() == f"alive at month 24.0: cumulative incidence {result.cif[row, -1]:.2f}"


@pytest.mark.parametrize("draw", [lambda: cost_figure(BUBBLES), lambda: attention_figure(made_up_result(skill=0.5))])
def test_the_same_input_gives_the_same_bytes(draw: Callable[[], Figure], tmp_path: Path) -> None:
    first = [path.read_bytes() for path in save(draw(), tmp_path / "first")]
    assert first == [path.read_bytes() for path in save(draw(), tmp_path / "second")]
