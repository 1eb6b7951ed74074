"""One series in, result objects out: the same path for the node's workers and for ``survnode predict``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydicom import Dataset

from survnode.model.checkpoint import load_checkpoint
from survnode.model.covariates import GivenValues
from survnode.model.ct.preprocess import SliceStack, lungs_on_source_grid
from survnode.model.ct.volume import Mask, Volume, load_volume
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.model.likeness import acquisition_of
from survnode.model.predict import Predictor
from survnode.model.prediction import Prediction
from survnode.node.errors import DeviceLost, DeviceMissing
from survnode.node.results.bundle import analysed, not_analysed
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.identity import Layout, ResultRun
from survnode.node.results.inspection.inspection import inspect
from survnode.node.results.summary import analysed_summary, not_analysed_summary
from survnode.node.roles import ResultRole
from survnode.node.state.site_table import SiteTable
from survnode.node.work.header_values import header_values


@dataclass(frozen=True, eq=False)
class Analysis:
    """What was computed on the way to a prediction."""

    volume: Volume
    stack: SliceStack
    prediction: Prediction


@dataclass(frozen=True, eq=False)
class AnalysisOutcome:
    """The result objects, and either the analysis or the reason why there is none.

    Parameters
    ----------
    summary : what ``prediction.json`` says
    """

    objects: tuple[ResultObject, ...]
    summary: dict[str, Any]
    analysis: Analysis | None = None
    reason: Reason | None = None
    detail: str = ""


class Pipeline:
    """A model, warm on its device, and the site's choices for its results.

    Raises
    ------
    ModelError
        The checkpoint or its weights cannot be used.
    DeviceMissing
        The machine does not have the device, or has it no more.
    """

    def __init__(
        self,
        checkpoint: Path,
        layout: Layout,
        device: str = "cpu",
        encoder_weights: Path | None = None,
        lungmask_weights: Path | None = None,
        site: SiteTable | None = None,
    ) -> None:
        devices(device)
        self.predictor = Predictor(load_checkpoint(checkpoint), device, encoder_weights, lungmask_weights)
        self.layout, self._device, self.site = layout, device, site

    def analyse(self, datasets: Sequence[Dataset], run: ResultRun) -> AnalysisOutcome:
        """Results of one CT series; a series that cannot be analysed gets its reasoned report.

        Raises
        ------
        ObjectFaulty
            A result object breaks one of the node's own rules: nothing may be sent.
        DeviceLost
            The device failed: this process cannot use it any more.
        """
        try:
            volume = load_volume(datasets)
            stack = self.predictor.preprocess(volume)
            depth_mm, _, width_mm = volume.spacing_mm
            made = acquisition_of(datasets[0]).measured(slice_mm=depth_mm, pixel_mm=width_mm)
            prediction = self.predictor.predict_stack(stack, volume.images, self.sources_of(datasets[0]), made)
        except SeriesUnsuitable as refusal:
            return self.refuse(datasets, refusal.reason, refusal.detail, run)
        except torch.AcceleratorError as error:
            raise DeviceLost(f"The device {self._device} failed.") from error
        source, analysis = SourceStudy(tuple(datasets)), Analysis(volume, stack, prediction)
        lungs = self.lungs_of(analysis) if ResultRole.SEGMENTATION in self.layout.optional else None
        objects = analysed(source, volume, prediction, run, self.layout, lungs)
        summary = analysed_summary(prediction, volume, source, objects, run)
        inspect(objects, source, summary)
        return AnalysisOutcome(objects, summary, analysis)

    def sources_of(self, ds: Dataset) -> list[GivenValues]:
        """What is known of a patient beside the image: by the site's table, then by the CT's header.

        Raises
        ------
        SiteTableFailed
        """
        covariates = self.predictor.card.covariates
        if not covariates:
            return []
        return [*([self.site.known_of(ds)] if self.site else []), header_values(ds, covariates)]

    def refuse(self, datasets: Sequence[Dataset], reason: Reason, detail: str, run: ResultRun) -> AnalysisOutcome:
        """The "not analysed" report on the images ``datasets``, pixels not needed.

        Raises
        ------
        ObjectFaulty
            As in `analyse`.
        """
        source = SourceStudy(tuple(datasets))
        objects = not_analysed(source, reason, detail, run, self.predictor.card.identity(), self.layout)
        summary = not_analysed_summary(reason, detail, objects, run)
        inspect(objects, source, summary)
        return AnalysisOutcome(objects, summary, reason=reason, detail=detail)

    def lungs_of(self, analysis: Analysis) -> Mask:
        """The lung mask on the CT's own grid, (D, H, W): 0 background, 1 right, 2 left."""
        return lungs_on_source_grid(analysis.stack, analysis.volume, self.predictor.card.preprocessing)


def devices(wanted: str) -> tuple[str, ...]:
    """The devices that ``wanted`` means here: every GPU for ``auto`` and ``cuda``, the CPU for ``auto`` without one.

    Raises
    ------
    DeviceMissing
        The machine does not have it.
    """
    gpus = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    if wanted == "cpu":
        return ("cpu",)
    if wanted == "auto":
        return gpus or ("cpu",)
    chosen = gpus if wanted == "cuda" else tuple(gpu for gpu in gpus if gpu == wanted)
    if not chosen:
        msg = f"This machine does not have the device {wanted}; it has: {', '.join(('cpu', *gpus))}."
        raise DeviceMissing(msg)
    return chosen
