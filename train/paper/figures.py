"""The paper's Figures 3, 4 and 5, through matplotlib's objects: the same input gives the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from survnode.train.paper.results import Result

FloatArray = NDArray[np.float64]

ATTENTION = "#d1495b"
FAMILIES = {"2D, soft attention": "#2a9df4", "2D, other fusion": "#f4a12a", "3D": "#6b7280"}
LUNG_WINDOW = (-1350.0, 150.0)  # HU
POSITIONS = 50  # along the relative axis
MOST_SLICES = 24
POINTS_A_MILLION = 9.0  # area of a bubble, in points squared for a million parameters


@dataclass(frozen=True)
class Bubble:
    """A system in Figure 3.

    Parameters
    ----------
    family : one of `FAMILIES`
    ctd, low, high : concordance with its interval
    """

    label: str
    family: str
    ctd: float
    low: float
    high: float
    gflops: float
    parameters: int


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write PNG and SVG beside each other; neither holds a date or a random id."""
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    figure.savefig(png, dpi=130, metadata={"Software": None})
    with mpl.rc_context({"svg.hashsalt": "survnode", "svg.fonttype": "path"}):
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg


def write_across(figure: Figure, remark: str) -> None:
    """Write what a reader must know into the figure itself, which may be shown without its words."""
    figure.text(0.5, 0.995, remark, ha="center", va="top", size=10, weight="bold", color=ATTENTION)


def cost_figure(bubbles: Sequence[Bubble]) -> Figure:
    """Figure 3: concordance against floating point operations at 72 slices; the area counts parameters."""
    figure = Figure(figsize=(11, 6))
    axes, names = figure.add_axes((0.07, 0.1, 0.5, 0.74)), figure.add_axes((0.6, 0.1, 0.4, 0.74))
    axes.set_yscale("log")
    axes.axvline(0.5, color="0.6", linewidth=1, linestyle=":")
    for bubble in sorted(bubbles, key=lambda bubble: -bubble.parameters):  # small ones on top
        colour = FAMILIES[bubble.family]
        axes.plot([bubble.low, bubble.high], [bubble.gflops] * 2, color=colour, linewidth=1, alpha=0.6, zorder=1)
        area = POINTS_A_MILLION * bubble.parameters / 1e6
        axes.scatter(bubble.ctd, bubble.gflops, s=area, color=colour, alpha=0.55, edgecolor="white", zorder=2)
        axes.scatter(bubble.ctd, bubble.gflops, s=6, color="0.15", zorder=3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    costs = [bubble.gflops for bubble in bubbles]
    axes.set_ylim(min(costs) / 2, max(costs) * 2)
    axes.margins(x=0.08)
    axes.set_xlabel("time-dependent concordance, mean of the folds, with 95 % interval")
    axes.set_ylabel("GFLOPs at 72 slices")
    axes.spines[["top", "right"]].set_visible(False)
    _name_bubbles(axes, names, bubbles)
    _legend(axes, bubbles)
    return figure


def _name_bubbles(axes: Axes, names: Axes, bubbles: Sequence[Bubble]) -> None:
    """A column of names from cheap to costly, each tied to its bubble by a line: names never overlap."""
    names.set_axis_off()
    ordered = sorted(bubbles, key=lambda bubble: (bubble.gflops, bubble.ctd))
    for height, bubble in zip(np.linspace(0.04, 0.96, max(len(ordered), 2)), ordered, strict=False):
        words = f"{bubble.label}  ({bubble.ctd:.3f}, {bubble.parameters / 1e6:.1f} M)"
        names.annotate(
            words, xy=(bubble.ctd, bubble.gflops), xycoords=axes.transData, xytext=(0.02, height),
            textcoords="axes fraction",
            va="center", fontsize=8, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": FAMILIES[bubble.family], "linewidth": 0.6, "relpos": (0, 0.5)},
        )  # fmt: skip


def _legend(axes: Axes, bubbles: Sequence[Bubble]) -> None:
    shown = [name for name in FAMILIES if any(bubble.family == name for bubble in bubbles)]
    families = [axes.scatter([], [], s=40, color=FAMILIES[name], alpha=0.55, label=name) for name in shown]
    sizes = [
        axes.scatter([], [], s=POINTS_A_MILLION * size, facecolor="none", edgecolor="0.4", label=f"{size} M")
        for size in (5, 25, 125)
    ]
    first = axes.legend(
        handles=families, loc="lower left", bbox_to_anchor=(0.0, 1.03), borderaxespad=0, frameon=False, fontsize=8
    )
    axes.add_artist(first)
    axes.legend(
        handles=sizes, loc="lower left", bbox_to_anchor=(0.42, 1.04), borderaxespad=0, frameon=False, fontsize=8,
        ncols=3, title="parameters", title_fontsize=8, handletextpad=1.6, columnspacing=2.5,
    )  # fmt: skip


def attention_profile(attention: FloatArray, positions: int = POSITIONS) -> FloatArray:
    """Attention (S,) by relative position, (P,): how many times the even share each place of the CT received.

    A slice covers 1 / S of the way from the lowest to the highest slice; places are ``positions`` equal parts of it, so
    the mean over all places is 1 for every patient.
    """
    edges = np.linspace(0, 1, len(attention) + 1)
    gathered = np.interp(np.linspace(0, 1, positions + 1), edges, np.concatenate([[0.0], np.cumsum(attention)]))
    return np.asarray(np.diff(gathered) * positions)


def attention_figure(result: Result) -> Figure:
    """Figure 4: attention over relative position: mean, range of the folds' means, middle half of patients."""
    profiles = np.stack([attention_profile(shares) for shares in result.attention])  # (B, P)
    by_fold = np.stack([profiles[result.folds == number].mean(axis=0) for number in np.unique(result.folds)])
    centre = (np.arange(POSITIONS) + 0.5) / POSITIONS * 100
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    low, high = np.quantile(profiles, [0.25, 0.75], axis=0)
    axes.fill_between(centre, low, high, color=ATTENTION, alpha=0.15, linewidth=0, label="middle half of patients")
    axes.fill_between(
        centre, by_fold.min(axis=0), by_fold.max(axis=0), color=ATTENTION, alpha=0.35, linewidth=0,
        label=f"range of {len(by_fold)} folds' means",
    )  # fmt: skip
    axes.plot(centre, profiles.mean(axis=0), color=ATTENTION, label=f"mean of {len(profiles)} patients")
    axes.axhline(1, color="0.4", linewidth=1, linestyle=":", label="even attention")
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("relative slice position, % (0: base, 100: apex)")
    axes.set_ylabel("attention, multiple of the even share")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure


def patient_figure(result: Result, row: int, hu: NDArray[np.generic]) -> Figure:
    """Figure 5: a patient's slices of more than the median attention, and the incidence at the observed month.

    Parameters
    ----------
    row : of the patient in ``result``
    hu : (S, H, W) the slices as the network sees them, feet to head
    """
    attention = result.attention[row]
    shown = most_attended(attention)
    columns = 6
    rows = -(-len(shown) // columns)
    height = max(4.0, 0.6 + 1.5 * rows)
    figure = Figure(figsize=(14, height), layout="constrained")
    halves = figure.add_gridspec(1, 2, width_ratios=[9, 5])
    left, right = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
    above = int((attention > np.median(attention)).sum())
    left.suptitle(
        f"{len(shown)} of {above} slices above the median attention, of {len(attention)}; base first", size=10
    )
    _draw_slices(np.atleast_1d(left.subplots(rows, columns)).ravel(), hu, attention, shown)
    _draw_incidence(right.subplots(), result, row)
    return figure


def most_attended(attention: FloatArray, most: int = MOST_SLICES) -> NDArray[np.int64]:
    """The slices of more than the median attention, at most the ``most`` highest, feet to head."""
    above = np.flatnonzero(attention > np.median(attention))
    if not len(above):  # all slices alike
        above = np.arange(len(attention))
    ranked = above[np.argsort(-attention[above], kind="stable")][:most]
    return np.sort(ranked).astype(np.int64)


def _draw_slices(
    panels: NDArray[np.object_], hu: NDArray[np.generic], attention: FloatArray, shown: NDArray[np.int64]
) -> None:
    highest = attention[shown].max()
    for axes in panels:
        axes.set_axis_off()
    for axes, index in zip(panels, shown, strict=False):
        axes.set_axis_on()
        axes.imshow(hu[index], cmap="gray", vmin=LUNG_WINDOW[0], vmax=LUNG_WINDOW[1])
        axes.set_xticks([])
        axes.set_yticks([])
        share = attention[index]
        axes.set_title(f"{index + 1}:  {100 * share:.1f} %", size=8, pad=2)
        axes.spines[:].set(color=ATTENTION, linewidth=4 * share / highest)


def _draw_incidence(axes: Axes, result: Result, row: int) -> None:
    curve = np.concatenate([[0.0], result.cif[row]])
    months = np.arange(len(curve))
    axes.plot(months, curve, color="0.2")
    within = result.time_months[row] < len(curve) - 1
    observed, incidence = min(result.time_months[row], len(curve) - 1), result.incidence_at(row)
    what = "died" if result.event[row] and within else "alive" if not within else "last seen"
    axes.axvline(observed, color=ATTENTION, linewidth=1, linestyle="--")
    axes.plot(observed, incidence, "o", color=ATTENTION)
    axes.set_title(f"{what} at month {observed:.1f}: cumulative incidence {incidence:.2f}", size=10)
    axes.set_box_aspect(0.8)
    axes.set_xlim(0, len(curve) - 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(range(0, len(curve), 6))
    axes.set_xlabel("months from the CT")
    axes.set_ylabel("predicted cumulative incidence of death")
    axes.spines[["top", "right"]].set_visible(False)
