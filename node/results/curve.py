"""The curve page: the whole prediction on one picture that is taken in within a second."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from survnode.node.records import ResultRole
from survnode.node.results import words
from survnode.node.results.envelope import Envelope, ResultObject, ascii_text
from survnode.node.results.findings import DEMONSTRATION, RESEARCH_USE, Findings
from survnode.node.results.palette import AMBER, BLACK, CYAN, DIM, FAINT, PLAIN, fraction, heat
from survnode.node.results.secondary_capture import Pixels, secondary_capture

FILE_NAME = "curve.dcm"
SIZE = (1024, 768)  # width, height
DPI = 100
MAX_CHARS = 105  # of a line at the foot


def curve(findings: Findings, software_version: str, envelope: Envelope) -> ResultObject:
    """The curve page as one image."""
    month = findings.horizon
    comment = f"AI predicted overall survival at {month} months: {findings.survival_at(month):.2f} %"
    pixels = draw(findings, software_version)
    sources = [item.image for item in findings.slices]
    ds = secondary_capture(pixels, envelope, ResultRole.CURVE, 1, comment, sources)
    return ResultObject(ResultRole.CURVE, FILE_NAME, ds)


def draw(findings: Findings, software_version: str) -> Pixels:
    """The picture, (768, 1024, 3)."""
    canvas = FigureCanvasAgg(page(findings, software_version))
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib annotates it in part only
    picture = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(picture[..., :3])


def page(findings: Findings, software_version: str) -> Figure:
    """The page before it becomes pixels."""
    figure = blank()
    _head(figure, findings)
    _milestones(figure, findings)
    has_cohort = findings.cohort_rank is not None
    _survival(figure.add_axes((0.075, 0.34, 0.5 if has_cohort else 0.885, 0.32)), findings)
    if has_cohort:
        _cohort(figure.add_axes((0.64, 0.34, 0.32, 0.32)), findings)
    _attention(figure.add_axes((0.075, 0.135, 0.885, 0.06)), findings)
    _foot(figure, findings, software_version)
    return figure


def blank() -> Figure:
    """A page with nothing on it."""
    return Figure(figsize=(SIZE[0] / DPI, SIZE[1] / DPI), dpi=DPI, facecolor=fraction(BLACK))


def _head(figure: Figure, findings: Findings) -> None:
    figure.text(0.04, 0.94, "Predicted overall survival", size=22, weight="bold", color=fraction(PLAIN))
    figure.text(0.96, 0.944, RESEARCH_USE.upper(), size=15, weight="bold", color=fraction(AMBER), ha="right")
    if findings.model.demonstration:
        figure.text(0.04, 0.9, DEMONSTRATION, size=13, weight="bold", color=fraction(AMBER))


def _milestones(figure: Figure, findings: Findings) -> None:
    """Survival at 6, 12, 18 and 24 months, the last one largest, each with its spread."""
    months = findings.milestones
    for i, month in enumerate(months):
        last = month == findings.horizon
        x = 0.04 + 0.92 * i / len(months)
        figure.text(
            x, 0.81, f"{findings.survival_at(month):.0f} %", size=44 if last else 32, weight="bold",
            color=fraction(CYAN if last else PLAIN),
        )  # fmt: skip
        figure.text(x, 0.775, f"alive at {month} months", size=13, color=fraction(PLAIN))
        if (spread := findings.spread_at(month)) is not None:
            figure.text(x, 0.745, f"members {spread[0]:.0f} - {spread[1]:.0f} %", size=11, color=fraction(DIM))


def _survival(axes: Axes, findings: Findings) -> None:
    """The curve, and the spread of the ensemble's members behind it."""
    months = np.concatenate([[0], findings.months])
    axes.plot(months, np.concatenate([[100], findings.survival]), color=fraction(CYAN), linewidth=2.5, clip_on=False)
    if len(findings.member_survival) > 1:
        low, high = findings.member_survival.min(axis=0), findings.member_survival.max(axis=0)
        axes.fill_between(
            months, np.concatenate([[100], low]), np.concatenate([[100], high]),
            color=fraction(CYAN), alpha=0.25, linewidth=0,
        )  # fmt: skip
    at = np.array(findings.milestones)
    axes.plot(at, findings.survival[at - 1], "o", color=fraction(CYAN), markersize=7, clip_on=False)
    ticks = {"xticks": range(0, findings.horizon + 1, 6), "yticks": range(0, 101, 25)}
    axes.set(xlim=(0, findings.horizon), ylim=(0, 100), **ticks)
    _plain(axes, "months after the CT", f"% alive   (median {words.median(findings)})")
    axes.grid(color=fraction(FAINT), linewidth=0.8)


def _cohort(axes: Axes, findings: Findings) -> None:
    """Where this patient lies among those that the model was trained on."""
    survival = float(findings.survival[-1])
    counts, edges = np.histogram(findings.cohort_survival, bins=25, range=(0, 100))
    axes.bar(edges[:-1], counts, width=4, align="edge", color=fraction(FAINT), edgecolor=fraction(BLACK))
    axes.axvline(survival, color=fraction(CYAN), linewidth=2.5, clip_on=False)
    axes.set(xlim=(0, 100), xticks=range(0, 101, 25), yticks=[])
    title = f"above {findings.cohort_rank:.0f} % of the training cohort"
    _plain(axes, f"cohort: % alive at {findings.horizon} months", title)


def _attention(axes: Axes, findings: Findings) -> None:
    """Attention over the slices, the ranked ones numbered."""
    share = findings.attention / max(float(findings.attention.max()), 1e-9)
    colours = np.array([heat(float(value)) for value in share], np.uint8)
    axes.imshow(colours[None], aspect="auto", interpolation="nearest", extent=(0, len(share), 0, 1))
    places = [item.index + 0.5 for item in findings.slices]
    for item, at, label in zip(findings.slices, places, spread_labels(places, 0.025 * len(share)), strict=True):
        axes.plot([at, label], [1.0, 1.35], color=fraction(AMBER), linewidth=0.8, clip_on=False)
        axes.text(label, 1.42, str(item.rank), size=13, weight="bold", color=fraction(AMBER), ha="center")
    axes.set(xlim=(0, len(share)), ylim=(0, 1), xticks=[], yticks=[])
    axes.text(0, -0.5, "feet", size=12, color=fraction(DIM))
    axes.text(len(share), -0.5, "head", size=12, color=fraction(DIM), ha="right")
    _plain(axes, "", "")


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


def _foot(figure: Figure, findings: Findings, software_version: str) -> None:
    model = findings.model
    figure.text(0.075, 0.245, "Attention over the slices, the highest numbered", size=13, color=fraction(DIM))
    line = f"{model.name} {model.version}   survnode {software_version}   weights {model.weights_sha256[:12]}"
    figure.text(0.04, 0.055, ascii_text(line)[:MAX_CHARS], size=11, color=fraction(DIM))
    figure.text(0.04, 0.025, ascii_text(f"Trained on {model.cohort}")[:MAX_CHARS], size=11, color=fraction(DIM))


def _plain(axes: Axes, x_label: str, title: str) -> None:
    axes.set_facecolor(fraction(BLACK))
    axes.tick_params(colors=fraction(DIM), labelsize=12, length=0)
    axes.set_xlabel(x_label, color=fraction(DIM), size=12)
    axes.set_title(title, color=fraction(PLAIN), size=13, loc="left")
    for side in axes.spines.values():
        side.set_visible(False)
