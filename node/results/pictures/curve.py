"""The curve page: the whole prediction on one picture that is taken in within a second."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from survnode.node.results import words
from survnode.node.results.envelope import Envelope, ResultObject, ascii_text
from survnode.node.results.findings import DEMONSTRATION, RESEARCH_USE, ReportedFindings
from survnode.node.results.pictures.captures import fitted, font
from survnode.node.results.pictures.palette import SCREEN, Colour, Palette, fraction
from survnode.node.results.pictures.secondary_capture import Pixels, secondary_capture
from survnode.node.roles import ResultRole

SIZE = (1280, 960)  # width, height
DPI = 125
LEFT, RIGHT = 0.05, 0.95  # of the width
TOP, FOOT = 0.905, 0.07  # of the height; above and below, viewers write their own words


def curve(findings: ReportedFindings, software_version: str, envelope: Envelope) -> ResultObject:
    """The curve page as one image."""
    month = findings.horizon
    comment = words.curve(month, findings.survival_at(month))
    pixels = draw(findings, software_version)
    sources = [item.image for item in findings.slices]
    ds = secondary_capture(pixels, envelope, ResultRole.CURVE, 1, comment, sources)
    return ResultObject(ResultRole.CURVE, ds)


def draw(findings: ReportedFindings, software_version: str) -> Pixels:
    """The picture, (960, 1280, 3)."""
    canvas = FigureCanvasAgg(page(findings, software_version))
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib annotates it in part only
    picture = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(picture[..., :3])


def page(findings: ReportedFindings, software_version: str, palette: Palette = SCREEN) -> Figure:
    """The page before it becomes pixels."""
    figure = blank(palette)
    head(figure, palette)
    _introduction(figure, findings, palette)
    _milestones(figure, findings, palette)
    rank = findings.cohort_rank
    _survival(figure.add_axes((0.085, 0.335, 0.865 if rank is None else 0.5, 0.24)), findings, palette)
    if rank is not None:
        _cohort(figure.add_axes((0.65, 0.335, 0.3, 0.24)), findings, rank, palette)
    _attention(figure.add_axes((0.085, 0.17, 0.865, 0.05)), findings, palette)
    _foot(figure, findings, software_version, palette)
    return figure


def blank(palette: Palette) -> Figure:
    """A page with nothing on it."""
    return Figure(figsize=(SIZE[0] / DPI, SIZE[1] / DPI), dpi=DPI, facecolor=fraction(palette.background))


def head(figure: Figure, palette: Palette) -> None:
    """What stands on top of every page."""
    plain, warning = fraction(palette.plain), fraction(palette.warning)
    figure.text(LEFT, TOP, "Predicted overall survival", size=21, weight="bold", color=plain, va="top")
    figure.text(RIGHT, TOP - 0.007, RESEARCH_USE.upper(), size=15, weight="bold", color=warning, ha="right", va="top")


def _introduction(figure: Figure, findings: ReportedFindings, palette: Palette) -> None:
    """What was analysed, and what a reader must know before the numbers."""
    analysed = f"{findings.series.label}: {findings.series.amount}"
    _line(figure, TOP - 0.049, analysed, 11.5, palette.plain)
    cautions = [DEMONSTRATION] if findings.model.demonstration else []
    if warnings := "; ".join(words.brief(findings)):
        cautions.append(f"{warnings[0].upper()}{warnings[1:]}")
    for row, caution in enumerate(cautions):
        _line(figure, TOP - 0.077 - 0.026 * row, caution, 12, palette.warning, bold=True)


def _line(figure: Figure, y: float, text: str, size: float, colour: Colour, *, bold: bool = False) -> None:
    """One line from the left margin to the right one at most."""
    pixels = round(size * DPI / 72)
    shown = fitted(ascii_text(text), font(pixels, bold=bold), (RIGHT - LEFT) * SIZE[0])
    weight = "bold" if bold else "normal"
    figure.text(LEFT, y, shown, size=size, weight=weight, color=fraction(colour), va="top", parse_math=False)


def _milestones(figure: Figure, findings: ReportedFindings, palette: Palette) -> None:
    """Survival at 6, 12, 18 and 24 months, the last one largest, each with the range of the ensemble's models."""
    months, models = findings.milestones, len(findings.member_survival)
    for i, month in enumerate(months):
        last = month == findings.horizon
        x = LEFT + (RIGHT - LEFT) * i / len(months)
        figure.text(
            x, 0.703, words.alone(findings.survival_at(month)), size=46 if last else 31, weight="bold",
            color=fraction(palette.accent if last else palette.plain),
        )  # fmt: skip
        figure.text(x, 0.67, f"alive at {month} months", size=13, color=fraction(palette.plain))
        if (spread := findings.spread_at(month)) is not None:
            range_ = words.range_of(models, *spread)
            figure.text(x, 0.642, range_, size=11.5, color=fraction(palette.dim))


def _survival(axes: Axes, findings: ReportedFindings, palette: Palette) -> None:
    """The curve, the range of the ensemble's models behind it, and the time that nine in ten live to."""
    months = np.concatenate([[0], findings.months])
    axes.plot(
        months, np.concatenate([[100], findings.survival]), color=fraction(palette.accent), linewidth=2.5, clip_on=False
    )
    if len(findings.member_survival) > 1:
        low, high = findings.member_survival.min(axis=0), findings.member_survival.max(axis=0)
        axes.fill_between(
            months, np.concatenate([[100], low]), np.concatenate([[100], high]),
            color=fraction(palette.accent), alpha=0.3, linewidth=0,
        )  # fmt: skip
    if bound := words.least(findings):
        axes.axvline(
            findings.least_months or 0.0, ymin=0.13, color=fraction(palette.dim), linewidth=1.5, linestyle="--"
        )
        axes.text(0.02, 0.04, bound, transform=axes.transAxes, size=10.5, color=fraction(palette.dim))
    at = np.array(findings.milestones)
    axes.plot(at, findings.survival[at - 1], "o", color=fraction(palette.accent), markersize=7, clip_on=False)
    ticks = {"xticks": range(0, findings.horizon + 1, 6), "yticks": range(0, 101, 25)}
    axes.set(xlim=(0, findings.horizon), ylim=(0, 100), **ticks)
    _plain(axes, "months after the CT", f"% alive (100 - CIF)   median {words.median(findings)}", palette)
    axes.grid(color=fraction(palette.faint), linewidth=0.8)


def _cohort(axes: Axes, findings: ReportedFindings, rank: float, palette: Palette) -> None:
    """Where this patient lies among those that the model was trained on."""
    survival = float(findings.survival[-1])
    counts, edges = np.histogram(findings.cohort_survival, bins=25, range=(0, 100))
    axes.bar(
        edges[:-1], counts, width=4, align="edge", color=fraction(palette.grey), edgecolor=fraction(palette.background)
    )
    axes.axvline(survival, color=fraction(palette.accent), linewidth=3, clip_on=False)
    axes.set(xlim=(0, 100), xticks=range(0, 101, 25), yticks=[])
    title = f"higher than {words.of_cohort(rank)} of the cohort"
    _plain(axes, f"training cohort: % alive, month {findings.horizon}", title, palette)


def _attention(axes: Axes, findings: ReportedFindings, palette: Palette) -> None:
    """Attention over the slices, the ranked ones numbered."""
    share = findings.attention / max(float(findings.attention.max()), 1e-9)
    colours = np.array([palette.heat(float(value)) for value in share], np.uint8)
    axes.imshow(colours[None], aspect="auto", interpolation="nearest", extent=(0, len(share), 0, 1))
    places = [item.index + 0.5 for item in findings.slices]
    for item, at, label in zip(findings.slices, places, spread_labels(places, 0.025 * len(share)), strict=True):
        axes.plot([at, label], [1.0, 1.35], color=fraction(palette.warning), linewidth=0.8, clip_on=False)
        axes.text(label, 1.42, str(item.rank), size=13, weight="bold", color=fraction(palette.warning), ha="center")
    axes.set(xlim=(0, len(share)), ylim=(0, 1), xticks=[], yticks=[])
    axes.text(0, -0.55, "feet", size=12, color=fraction(palette.dim))
    axes.text(len(share), -0.55, "head", size=12, color=fraction(palette.dim), ha="right")
    axes.text(len(share) / 2, -0.55, "attention over the slices, the highest numbered", size=12,
              color=fraction(palette.dim), ha="center")  # fmt: skip
    _plain(axes, "", "", palette)


def spread_labels(places: Sequence[float], gap: float) -> list[float]:
    """``places`` moved apart to at least ``gap``, as little as possible: neighbouring slices often rank together."""
    order = np.argsort(places, kind="stable")
    offsets = gap * np.arange(len(places))
    moved = np.asarray(places)[order] - offsets  # what must not fall from one label to the next
    blocks: list[list[float]] = []
    for value in moved:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    fitted = np.concatenate([np.full(len(block), np.mean(block)) for block in blocks]) + offsets
    return [float(value) for value in fitted[np.argsort(order)]]


def _foot(figure: Figure, findings: ReportedFindings, software_version: str, palette: Palette) -> None:
    model = findings.model
    line = f"{model.name} {model.version}   survnode {software_version}   weights {model.weights_sha256[:12]}"
    for y, words_ in ((FOOT + 0.043, line), (FOOT + 0.013, f"Trained on {model.cohort}")):
        _line(figure, y, words_, 11, palette.dim)


def _plain(axes: Axes, x_label: str, title: str, palette: Palette) -> None:
    axes.set_facecolor(fraction(palette.background))
    axes.tick_params(colors=fraction(palette.dim), labelsize=12, length=0)
    axes.set_xlabel(x_label, color=fraction(palette.dim), size=12)
    axes.set_title(title, color=fraction(palette.plain), size=13, loc="left")
    for side in axes.spines.values():
        side.set_visible(False)
