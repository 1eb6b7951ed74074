"""The slices that the model weighed most, each in a lung and a mediastinal window, ready to be looked at.

All text stands in strips around the anatomy, never on it, and none of it names the patient.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from survnode.model.ct.volume import Volume
from survnode.node.results import codes, words
from survnode.node.results.envelope import Envelope, ResultObject, ascii_text, coded
from survnode.node.results.findings import DEMONSTRATION, RESEARCH_USE, RankedSlice, ReportedFindings
from survnode.node.results.pictures.palette import SCREEN, Colour
from survnode.node.results.pictures.secondary_capture import Pixels, secondary_capture
from survnode.node.roles import ResultRole

WINDOWS = {"Lung": (-600.0, 1500.0), "Mediastinum": (40.0, 400.0)}  # centre and width, HU
SIZE = (1024, 512)  # width, height
PANEL = 512
TOP, BOTTOM = 60, 40  # strips above and below the anatomy
ANATOMY = SIZE[1] - TOP - BOTTOM
WARNING_SIZES = (14, 13, 12, 11)
LEAST_LABEL = 80  # pixels for the words beside a warning: "CT ...5"
MARGIN = 28  # left and right of all letters: viewers put their scroll bar there
BAR_WIDTH = 12
LABEL = 18  # height of a label at the end of the bar


@dataclass(frozen=True)
class Label:
    """Words on a picture; ``anchor`` as Pillow names it."""

    place: tuple[int, int]
    text: str
    colour: Colour
    face: ImageFont.FreeTypeFont
    anchor: str

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of its letters."""
        left, top, right, bottom = self.face.getbbox(self.text, anchor=self.anchor)
        return left + self.place[0], top + self.place[1], right + self.place[0], bottom + self.place[1]


def captures(findings: ReportedFindings, volume: Volume, envelope: Envelope) -> tuple[ResultObject, ...]:
    """One image a ranked slice; Instance Number is the rank."""
    return tuple(_capture(item, findings, volume, envelope) for item in findings.slices)


def _capture(item: RankedSlice, findings: ReportedFindings, volume: Volume, envelope: Envelope) -> ResultObject:
    comment = f"AI attention {words.capture(item.rank, len(findings.slices), item.weight)}; {item.name}"
    pixels = draw(item, findings, volume)
    ds = secondary_capture(pixels, envelope, ResultRole.CAPTURE, item.rank, comment, [item.image])
    ds.DerivationCodeSequence = [coded(codes.SPATIAL_RESAMPLING)]
    return ResultObject(ResultRole.CAPTURE, ds, item.rank)


def draw(item: RankedSlice, findings: ReportedFindings, volume: Volume) -> Pixels:
    """The picture, (512, 1024, 3)."""
    picture = Image.new("RGB", SIZE, SCREEN.background)
    pen = ImageDraw.Draw(picture)
    for left, window in zip((0, PANEL), WINDOWS.values(), strict=True):
        panel = _panel(volume.hu[item.index], volume.spacing_mm[1:], window)
        picture.paste(panel, (left + (PANEL - panel.width) // 2, TOP + (ANATOMY - panel.height) // 2))
        _mark_sides(pen, left)
    for label in labels(item, findings):
        pen.text(label.place, label.text, label.colour, label.face, anchor=label.anchor)
    _draw_profile(pen, item.index, findings.attention)
    return np.asarray(picture)


def _panel(hu: NDArray[np.float32], spacing_mm: tuple[float, ...], window: tuple[float, float]) -> Image.Image:
    """One slice in its true proportions, as large as the panel allows."""
    centre, width = window
    grey = np.clip((hu - (centre - width / 2)) / width, 0, 1) * 255
    size_mm = np.array(hu.shape) * np.array(spacing_mm)
    rows, columns = np.round(size_mm * ANATOMY / size_mm.max()).astype(int).tolist()
    return Image.fromarray(np.round(grey).astype(np.uint8)).resize((columns, rows), Image.Resampling.BICUBIC)


def labels(item: RankedSlice, findings: ReportedFindings) -> Iterator[Label]:
    """All words that stand in the strips."""
    right, first, second, bottom = SIZE[0] - MARGIN, 19, 45, SIZE[1] - 10
    model = ascii_text(f"{findings.model.name} {findings.model.version}")
    demonstration = DEMONSTRATION if findings.model.demonstration else ""
    warning = "; ".join(words.brief(findings))
    weight = f"attention {item.weight:.1f} %   {item.place}"
    yield Label(
        (MARGIN, first), f"AI rank {item.rank} of {len(findings.slices)}", SCREEN.plain, font(24, bold=True), "lm"
    )
    yield Label((PANEL, first), weight, SCREEN.plain, font(20), "mm")
    yield Label((right, first), RESEARCH_USE.upper(), SCREEN.warning, font(18, bold=True), "rm")
    yield Label(
        (MARGIN, second),
        fitted(ascii_text(findings.series.label), font(15), _beside(warning, _warning_font(warning))),
        SCREEN.plain,
        font(15),
        "lm",
    )
    if warning:
        yield Label((right, second), warning, SCREEN.warning, _warning_font(warning), "rm")
    for left, (name, window) in zip((0, PANEL), WINDOWS.items(), strict=True):
        text = f"{name}  {window[0]:g} / {window[1]:g} HU"
        yield Label((left + PANEL // 2, TOP + ANATOMY + 10), text, SCREEN.plain, font(15), "mm")
    yield Label(
        (MARGIN, bottom),
        fitted(model, font(14), _beside(demonstration, font(14, bold=True))),
        SCREEN.dim,
        font(14),
        "lm",
    )
    if demonstration:
        yield Label((right, bottom), demonstration, SCREEN.warning, font(14, bold=True), "rm")


def _beside(words_at_right: str, face: ImageFont.FreeTypeFont) -> float:
    """The width that is left of a strip, in pixels."""
    return SIZE[0] - 2 * MARGIN - (face.getlength(words_at_right) + MARGIN if words_at_right else 0)


def _warning_font(warning: str) -> ImageFont.FreeTypeFont:
    """The largest in which all of it stands beside the series: many warnings are set smaller, and none is cut."""
    faces = [font(size, bold=True) for size in WARNING_SIZES]
    return next((face for face in faces if _beside(warning, face) >= LEAST_LABEL), faces[-1])


def fitted(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """``text`` shortened in its middle to ``width`` pixels: its ends say which series and which image."""
    head, tail = text, ""
    while face.getlength(f"{head}...{tail}" if tail else head) > width and len(text) > 8:
        text = text[: len(text) // 2 - 1] + text[len(text) // 2 + 1 :]
        head, tail = text[: len(text) // 2], text[len(text) // 2 :]
    return f"{head}...{tail}" if tail else head


def _mark_sides(pen: ImageDraw.ImageDraw, left: int) -> None:
    middle = TOP + ANATOMY // 2
    pen.text((left + 26, middle), "R", SCREEN.plain, font(22), anchor="mm")
    pen.text((left + PANEL - 26, middle), "L", SCREEN.plain, font(22), anchor="mm")


def _draw_profile(pen: ImageDraw.ImageDraw, index: int, attention: NDArray[np.float64]) -> None:
    """Attention from head (top) to feet between the panels, and where this slice lies."""
    left = PANEL - BAR_WIDTH // 2
    edges = np.linspace(TOP + ANATOMY - LABEL, TOP + LABEL, len(attention) + 1)
    pen.text((PANEL, TOP + LABEL // 2), "head", SCREEN.dim, font(12), anchor="mm")
    pen.text((PANEL, TOP + ANATOMY - LABEL // 2), "feet", SCREEN.dim, font(12), anchor="mm")
    share = attention / max(attention.max(), 1e-9)
    for i, value in enumerate(share):
        pen.rectangle((left, edges[i + 1], left + BAR_WIDTH, edges[i]), SCREEN.heat(float(value)))
    y = (edges[index] + edges[index + 1]) / 2
    for side, tip in ((-1, left - 2), (1, left + BAR_WIDTH + 2)):
        pen.polygon([(tip, y), (tip + side * 8, y - 5), (tip + side * 8, y + 5)], fill=SCREEN.plain)


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along, so that pictures look the same on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
