"""A prediction, or the reason why there is none, -> all the DICOM objects that tell of it."""

from pathlib import Path

from PIL import Image
from pydicom import Dataset

from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason
from survnode.model.prediction import ModelIdentity, Prediction
from survnode.node.results.captures import captures
from survnode.node.results.curve import curve
from survnode.node.results.envelope import Envelope, ResultObject, Source
from survnode.node.results.findings import findings_of
from survnode.node.results.identity import Layout, Run, digest
from survnode.node.results.key_objects import key_objects
from survnode.node.results.report import refusal, report


def analysed(
    source: Source, volume: Volume, prediction: Prediction, run: Run, layout: Layout | None = None
) -> tuple[ResultObject, ...]:
    """The report, the captures by rank, the key objects and the curve page.

    Parameters
    ----------
    source : the instances that ``volume`` was made of
    """
    layout = layout or Layout()
    findings = findings_of(prediction, len(volume.images), layout.captures)
    envelope = Envelope(source, run, layout, prediction.model, digest(findings.values()))
    return (
        report(findings, envelope),
        *captures(findings, volume, envelope),
        key_objects(findings, envelope),
        curve(findings, run.software_version, envelope),
    )


def not_analysed(
    source: Source, reason: Reason, detail: str, run: Run, model: ModelIdentity | None, layout: Layout | None = None
) -> tuple[ResultObject, ...]:
    """One report with the coded reason, in plain words, without numbers.

    Parameters
    ----------
    source : any instances of the study; they need not be CT
    detail : of the refusal, for people; empty if there is nothing to add
    model : the model that would have been asked; None if none was chosen
    """
    envelope = Envelope(source, run, layout or Layout(), model, digest([reason, detail]))
    return (refusal(reason, detail, envelope),)


def preview_png(ds: Dataset, path: Path) -> None:
    """Write the picture of a capture or of the curve page to ``path``, decoded from the object itself."""
    Image.fromarray(ds.pixel_array).save(path, "PNG")
