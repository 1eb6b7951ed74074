"""The slices that the model weighed most, each in a lung and a mediastinal window, ready to be looked at.

All text stands in strips around the anatomy, never on it, and none of it names the patient.
"""

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
from survnode.node.results.pictures.palette import AMBER, BLACK, DIM, PLAIN, heat
from survnode.node.results.pictures.secondary_capture import Pixels, secondary_capture
from survnode.node.roles import ResultRole

WINDOWS = {"Lung": (-600.0, 1500.0), "Mediastinum": (40.0, 400.0)}  # centre and width, HU
SIZE = (1024, 512)  # width, height
PANEL = 512
STRIP = 40  # above and below the anatomy
ANATOMY = SIZE[1] - 2 * STRIP
MARGIN = 28  # left and right of all letters: viewers put their scroll bar there
BAR_WIDTH = 12
MAX_CHARS = 45  # of the model, so that it stays clear of its neighbour
LABEL = 18  # height of a label at the end of the bar


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
    picture = Image.new("RGB", SIZE, BLACK)
    pen = ImageDraw.Draw(picture)
    for left, (name, window) in zip((0, PANEL), WINDOWS.items(), strict=True):
        panel = _panel(volume.hu[item.index], volume.spacing_mm[1:], window)
        picture.paste(panel, (left + (PANEL - panel.width) // 2, STRIP + (ANATOMY - panel.height) // 2))
        _label_panel(pen, left, f"{name}  {window[0]:g} / {window[1]:g} HU")
    _write_strips(pen, item, findings)
    _draw_profile(pen, item.index, findings.attention)
    return np.asarray(picture)


def _panel(hu: NDArray[np.float32], spacing_mm: tuple[float, ...], window: tuple[float, float]) -> Image.Image:
    """One slice in its true proportions, as large as the panel allows."""
    centre, width = window
    grey = np.clip((hu - (centre - width / 2)) / width, 0, 1) * 255
    size_mm = np.array(hu.shape) * np.array(spacing_mm)
    rows, columns = np.round(size_mm * ANATOMY / size_mm.max()).astype(int).tolist()
    return Image.fromarray(np.round(grey).astype(np.uint8)).resize((columns, rows), Image.Resampling.BICUBIC)


def _label_panel(pen: ImageDraw.ImageDraw, left: int, window: str) -> None:
    middle = STRIP + ANATOMY // 2
    pen.text((left + 26, middle), "R", PLAIN, font(22), anchor="mm")
    pen.text((left + PANEL - 26, middle), "L", PLAIN, font(22), anchor="mm")
    pen.text((left + PANEL // 2, STRIP + ANATOMY + 10), window, PLAIN, font(15), anchor="mm")


def _write_strips(pen: ImageDraw.ImageDraw, item: RankedSlice, findings: ReportedFindings) -> None:
    right, top, bottom = SIZE[0] - MARGIN, STRIP // 2, SIZE[1] - 10
    pen.text((MARGIN, top), f"AI rank {item.rank} of {len(findings.slices)}", PLAIN, font(24, bold=True), anchor="lm")
    pen.text((PANEL, top), f"attention {item.weight:.2f} %   {item.name}", PLAIN, font(22), anchor="mm")
    pen.text((right, top), RESEARCH_USE.upper(), AMBER, font(18, bold=True), anchor="rm")
    model = ascii_text(f"{findings.model.name} {findings.model.version}")[:MAX_CHARS]
    pen.text((MARGIN, bottom), model, DIM, font(14), anchor="lm")
    if findings.model.demonstration:
        pen.text((right, bottom), DEMONSTRATION, AMBER, font(14, bold=True), anchor="rm")


def _draw_profile(pen: ImageDraw.ImageDraw, index: int, attention: NDArray[np.float64]) -> None:
    """Attention from head (top) to feet between the panels, and where this slice lies."""
    left = PANEL - BAR_WIDTH // 2
    edges = np.linspace(STRIP + ANATOMY - LABEL, STRIP + LABEL, len(attention) + 1)
    pen.text((PANEL, STRIP + LABEL // 2), "head", DIM, font(12), anchor="mm")
    pen.text((PANEL, STRIP + ANATOMY - LABEL // 2), "feet", DIM, font(12), anchor="mm")
    share = attention / max(attention.max(), 1e-9)
    for i, value in enumerate(share):
        pen.rectangle((left, edges[i + 1], left + BAR_WIDTH, edges[i]), heat(float(value)))
    y = (edges[index] + edges[index + 1]) / 2
    for side, tip in ((-1, left - 2), (1, left + BAR_WIDTH + 2)):
        pen.polygon([(tip, y), (tip + side * 8, y - 5), (tip + side * 8, y + 5)], fill=PLAIN)


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along, so that pictures look the same on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
