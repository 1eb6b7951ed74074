"""A prediction, or the reason why there is none, -> all the DICOM objects that tell of it."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from pydicom import Dataset

from survnode.model.ct.volume import Mask, Volume
from survnode.model.errors import Reason
from survnode.model.prediction import ModelIdentity, Prediction
from survnode.node.results.documents.attention_report import attention_report
from survnode.node.results.documents.key_objects import key_objects
from survnode.node.results.documents.pdf import pdf
from survnode.node.results.documents.report import refusal, report
from survnode.node.results.envelope import Envelope, ResultObject, SourceStudy
from survnode.node.results.findings import ReportedFindings, findings_of, told
from survnode.node.results.identity import Layout, ResultRun, digest
from survnode.node.results.pictures.captures import captures
from survnode.node.results.pictures.curve import curve
from survnode.node.results.pictures.segmentation import segmentation
from survnode.node.results.source.series import analysed_series
from survnode.node.roles import ResultRole


def analysed(
    source: SourceStudy,
    volume: Volume,
    prediction: Prediction,
    run: ResultRun,
    layout: Layout | None = None,
    lungs: Mask | None = None,
) -> tuple[ResultObject, ...]:
    """The report, the captures by rank, the key objects and the curve page, then what ``layout`` wants besides.

    Parameters
    ----------
    source : the instances that ``volume`` was made of
    lungs : (D, H, W) on the grid of ``volume``; without it there is no segmentation
    """
    layout = layout or Layout()
    series = analysed_series(source.headers, volume, prediction.coverage, run.completeness)
    findings = findings_of(prediction, series, layout.captures)
    envelope = Envelope(source, run, layout, prediction.model, digest(findings.values()))
    return (
        report(findings, envelope),
        *captures(findings, volume, envelope),
        key_objects(findings, envelope),
        curve(findings, run.software_version, envelope),
        *_optional(findings, volume, lungs, envelope),
    )


def _optional(
    findings: ReportedFindings, volume: Volume, lungs: Mask | None, envelope: Envelope
) -> Iterator[ResultObject]:
    wanted = envelope.layout.optional
    if ResultRole.PDF in wanted:
        yield pdf(findings, envelope)
    if ResultRole.SEGMENTATION in wanted and lungs is not None:
        yield segmentation(lungs, envelope)
    if ResultRole.ATTENTION_REPORT in wanted:
        yield attention_report(findings, volume.images, envelope)


def not_analysed(
    source: SourceStudy,
    reason: Reason,
    detail: str,
    run: ResultRun,
    model: ModelIdentity | None,
    layout: Layout | None = None,
) -> tuple[ResultObject, ...]:
    """One report with the coded reason, in plain words, without numbers.

    Parameters
    ----------
    source : any instances of the study; they need not be CT
    detail : of the refusal, for people; empty if there is nothing to add
    model : the model that would have been asked; None if none was chosen
    """
    envelope = Envelope(
        source, run, layout or Layout(), model, digest([reason, detail, *told(run.completeness)]), refused=True
    )
    return (refusal(reason, detail, envelope),)


def preview_png(ds: Dataset, path: Path) -> None:
    """Write the picture of a capture or of the curve page to ``path``, decoded from the object itself."""
    Image.fromarray(ds.pixel_array).save(path, "PNG")
