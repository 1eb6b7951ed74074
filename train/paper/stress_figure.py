"""How a prediction moves under disturbances, as a figure: survival at the horizon, and the whole curves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from survnode.train.measure.disturbances import DisturbanceKind
from survnode.train.measure.stress import Movement, StressedPrediction

COLOURS = (  # of the kinds, in their order; apart for the colour-blind as far as ten can be (Tol's "muted")
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#6b7280",
)  # fmt: skip
COLOUR_OF = dict(zip(DisturbanceKind, COLOURS, strict=True))
REFUSED = "#d1495b"
ROW_INCHES = 0.24


def stress_figure(stressed: StressedPrediction) -> Figure:
    """A row a disturbance, and a curve a disturbance; the prediction of the CT as it is in black."""
    figure = Figure(figsize=(11, 1.8 + ROW_INCHES * len(stressed.movements)), layout="constrained")
    rows, curves = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _draw_rows(rows, stressed)
    _draw_curves(curves, stressed)
    model = stressed.undisturbed.model
    demonstration = "a demonstration that knows nothing of patients; " if model.demonstration else ""
    figure.suptitle(f"One CT, disturbed: {model.name} {model.version} ({demonstration}research use only)", size=11)
    return figure


def _draw_rows(axes: Axes, stressed: StressedPrediction) -> None:
    before = 100 * float(stressed.undisturbed.survival[-1])
    axes.axvline(before, color="black", linewidth=1)
    for place, movement in enumerate(stressed.movements):
        _draw_row(axes, movement, place, before)
    _set_range(axes, [before, *(100 * float(it.survival[-1]) for it in stressed.movements if it.survival is not None)])
    axes.set_yticks(range(len(stressed.movements)), [str(it.disturbance) for it in stressed.movements], size=8)
    axes.set_ylim(len(stressed.movements) - 0.5, -0.5)
    axes.set_xlabel(f"survival at {stressed.horizon_months} months, %  (line: the CT as it is, {before:.1f} %)")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_row(axes: Axes, movement: Movement, place: int, before: float) -> None:
    if movement.survival is None:
        words = f"refused: {movement.reason}"
        axes.annotate(
            words, (before, place), (6, 0), textcoords="offset points", va="center", size=8, color=REFUSED
        )  # fmt: skip
        return
    after, colour = 100 * float(movement.survival[-1]), COLOUR_OF[movement.disturbance.kind]
    axes.plot([before, after], [place, place], color=colour, linewidth=2, alpha=0.6)
    axes.scatter(after, place, s=28, color=colour, zorder=3)


def _set_range(axes: Axes, percent: Sequence[float]) -> None:
    """At least 10 points wide, so that what hardly moves does not look as if it did, and with room for words."""
    middle, half = (min(percent) + max(percent)) / 2, max(np.ptp(percent) / 2 * 1.15, 5.0)
    axes.set_xlim(middle - half, middle + half)


def _draw_curves(axes: Axes, stressed: StressedPrediction) -> None:
    months = np.arange(stressed.horizon_months + 1)
    labelled = set[DisturbanceKind]()
    for movement in stressed.movements:
        if movement.survival is not None:
            kind = movement.disturbance.kind
            name = str(kind) if kind not in labelled else None
            labelled.add(kind)
            percent = 100 * np.concatenate([[1.0], movement.survival])
            axes.plot(months, percent, color=COLOUR_OF[kind], linewidth=1, alpha=0.8, label=name)
    undisturbed = 100 * np.concatenate([[1.0], stressed.undisturbed.survival])
    axes.plot(months, undisturbed, color="black", linewidth=2, label="the CT as it is")
    axes.set_xlim(0, stressed.horizon_months)
    axes.set_ylim(0, 101)
    axes.set_xlabel("months after the CT")
    axes.set_ylabel("predicted survival, %")
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
