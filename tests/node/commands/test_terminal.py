from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from survnode.node.commands.terminal import show_prediction, survival_chart

SUMMARY: dict[str, Any] = {
    "months": [1, 2],
    "survival_percent": [60.0, 26.25],
    "survival_at_horizon_percent": 26.25,
    "in_words": {
        "survival": "26 % (five models: 1 to 98 %)",
        "series": "CT series 3: 134 slices, 402 mm; lungs 5210 ml",
    },
    "median_survival_months": None,
    "ranked_slices": [{"rank": 1, "weight_percent": 3.95, "instance_number": 31, "frame_number": None}],
    "objects": [{"file": "report.dcm", "role": "report"}],
    "model": {"name": "a model", "version": "1", "lungs": "threshold", "demonstration": True},
}


def test_the_number_is_told_with_its_range_and_no_more_digits_than_it_deserves() -> None:
    written = StringIO()
    show_prediction(Console(file=written, width=80), SUMMARY, Path("out"))
    told = written.getvalue()
    assert "Predicted 2-month overall survival: 26 % (five models: 1 to 98 %)" in told
    assert "26.2" not in told
    assert "CT series 3: 134 slices, 402 mm; lungs 5210 ml" in told
    assert "median: beyond 2 months" in told
    assert "Research use only." in told


def test_the_chart_is_full_where_everybody_lives_and_half_where_half_do() -> None:
    lines = survival_chart([100.0, 50.0])
    assert lines[0] == " 100 % ██  "
    assert lines[5] == "       ████"
