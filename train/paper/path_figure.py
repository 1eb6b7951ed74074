"""The path of one CT as a picture: slice, lung mask, kept slices, box, what the network sees, attention.

``python -m survnode.train.paper.path_figure FOLDER OUT.png [CHECKPOINT]`` drew the one in the README.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from survnode.model.checkpoint import checkpoint_folder, load_checkpoint
from survnode.model.ct.frames import CT_SOP_CLASSES
from survnode.model.ct.preprocess import Preprocessing, SliceStack, resample
from survnode.model.ct.volume import Volume, load_volume, read_headers, read_series
from survnode.model.predict import Predictor
from survnode.model.prediction import Prediction

LUNG_WINDOW = (-1350.0, 150.0)  # HU
RIGHT_AND_LEFT = ListedColormap(["#2a9df4", "#f4a12a"])
ATTENTION = "#d1495b"


def main(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Holds one CT series.")],
    out: Annotated[Path, typer.Argument(dir_okay=False, help="The picture.")],
    checkpoint: Annotated[str, typer.Argument(help='A checkpoint folder, or "demo".')] = "demo",
) -> None:
    """Draw the path of one CT from slice to attention."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    images = [path for path, ds in zip(files, read_headers(files), strict=True) if ds.SOPClassUID in CT_SOP_CLASSES]
    volume = load_volume(read_series(images))
    predictor = Predictor(load_checkpoint(checkpoint_folder(checkpoint)))
    stack = predictor.preprocess(volume)
    prediction = predictor.predict_stack(stack, volume.images)
    path_figure(volume, stack, prediction, predictor.card.preprocessing).savefig(out, dpi=110)


def path_figure(volume: Volume, stack: SliceStack, prediction: Prediction, settings: Preprocessing) -> Figure:
    """Four panels in the order of the path."""
    hu = resample(volume.hu, volume.spacing_mm, settings.spacing_mm, settings.interpolation)  # (D', H', W')
    shares = np.zeros(len(volume.images))  # (D)
    for item in prediction.attention:
        shares[item.index] = item.weight
    top = int(stack.kept[np.argmin(np.abs(stack.source - prediction.ranked(1)[0].index))])
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    slice_axes, coronal, seen, weights = figure.subplots(1, 4, width_ratios=[1.15, 1, 1, 0.8])
    _draw_slice(slice_axes, hu, stack, top)
    _draw_coronal(coronal, hu, stack, settings.spacing_mm)
    seen.imshow(stack.hu[np.flatnonzero(stack.kept == top)[0]], cmap="gray", vmin=LUNG_WINDOW[0], vmax=LUNG_WINDOW[1])
    seen.set_title(f"3  what the network sees: {len(stack.kept)} slices\nof {settings.size} x {settings.size}")
    _draw_attention(weights, shares)
    for axes in (slice_axes, coronal, seen):
        axes.set_axis_off()
    return figure


def _draw_slice(axes: Axes, hu: NDArray[np.float32], stack: SliceStack, row: int) -> None:
    axes.imshow(hu[row], cmap="gray", vmin=LUNG_WINDOW[0], vmax=LUNG_WINDOW[1])
    mask = np.ma.masked_equal(stack.lungs[row], 0)
    axes.imshow(mask, cmap=RIGHT_AND_LEFT, vmin=1, vmax=2, alpha=0.35, interpolation="none")
    box = stack.box
    corner, width, height = (box.left, box.top), box.right - box.left, box.bottom - box.top
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=1.5))
    axes.set_title("1  a slice with its lungs,\nand one box around all of them")


def _draw_coronal(
    axes: Axes, hu: NDArray[np.float32], stack: SliceStack, spacing_mm: tuple[float, float, float]
) -> None:
    """The CT from the front, head up, through the middle of the box; the kept slices shine."""
    depth = (stack.box.top + stack.box.bottom) // 2
    kept = np.zeros((len(hu), 1), np.bool_)
    kept[stack.kept] = True
    axes.imshow(
        hu[:, depth], cmap="gray", vmin=LUNG_WINDOW[0], vmax=LUNG_WINDOW[1], origin="lower",
        aspect=spacing_mm[0] / spacing_mm[2],
    )  # fmt: skip
    dropped = np.ma.masked_where(np.broadcast_to(kept, hu[:, depth].shape), np.ones(hu[:, depth].shape))
    axes.imshow(
        dropped, cmap=ListedColormap(["black"]), alpha=0.6, origin="lower", aspect=spacing_mm[0] / spacing_mm[2]
    )
    axes.set_title(f"2  the slices with enough lung:\n{len(stack.kept)} of {len(hu)} are kept")


def _draw_attention(axes: Axes, shares: NDArray[np.float64]) -> None:
    """The attention of each source image, head up."""
    axes.barh(np.arange(1, len(shares) + 1), 100 * shares, height=1.0, color=ATTENTION)
    axes.set_ylim(0.5, len(shares) + 0.5)
    axes.set_xlabel("attention, %")
    axes.set_ylabel("source image, feet to head")
    axes.set_title("4  how the network\nweighs each image")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    typer.run(main)
