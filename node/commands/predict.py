"""A folder of CT files -> result files: the node's path without network, database or processes."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import SimpleITK as sitk
import structlog
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from survnode.model.checkpoint import checkpoint_folder
from survnode.model.ct.selection import choose
from survnode.model.ct.volume import read_series
from survnode.node.errors import InputRefused
from survnode.node.results.identity import Layout, ResultRun
from survnode.node.results.source.dates import newest_time
from survnode.node.work.pipeline import AnalysisOutcome, Pipeline, devices

log = structlog.get_logger()

Headers = dict[Path, Dataset]


def predict_folder(folder: Path, out: Path, *, model: str, device: str, lungs: Path | None = None) -> AnalysisOutcome:
    """Analyse the one study in ``folder`` and write what the node would send, and ``prediction.json``.

    There is no job whose time the results could bear, so they bear the newest time of their source: whoever repeats
    it, wherever and whenever, gets the same bytes.

    Raises
    ------
    InputRefused
        The folder does not hold images of exactly one study, or the device is not here.
    ModelError
        The checkpoint or its weights cannot be used.
    """
    headers = _one_study(folder)
    by_series: dict[str, list[Path]] = {}
    for path, ds in headers.items():
        by_series.setdefault(str(ds.SeriesInstanceUID), []).append(path)
    pipeline = Pipeline(checkpoint_folder(model), Layout(), devices(device)[0])
    spacing_mm = pipeline.predictor.card.preprocessing.slice_spacing_mm
    choice = choose({uid: [headers[path] for path in paths] for uid, paths in by_series.items()}, spacing_mm)
    paths = by_series[choice.series_instance_uid]
    run = ResultRun(newest_time(headers[path] for path in paths), 1, None, version("survnode"))
    if choice.reason is not None:
        outcome = pipeline.refuse([headers[path] for path in paths], choice.reason, choice.detail, run)
    else:
        outcome = pipeline.analyse(read_series(paths), run)
    write_outcome(outcome, out)
    if lungs is not None and outcome.analysis is not None:
        lungs.parent.mkdir(parents=True, exist_ok=True)
        mask = outcome.analysis.volume.as_image(pipeline.lungs_of(outcome.analysis))
        sitk.WriteImage(mask, str(lungs), useCompression=True)
    return outcome


def write_outcome(outcome: AnalysisOutcome, out: Path) -> None:
    """Write the objects and ``prediction.json`` under ``out``; captures of an earlier run do not stay beside them."""
    for stale in (out / "captures").glob("*.dcm"):
        stale.unlink()
    for item in outcome.objects:
        path = out / item.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.encode())
    (out / "prediction.json").write_text(json.dumps(outcome.summary, indent=2) + "\n", encoding="utf-8")


def _one_study(folder: Path) -> Headers:
    headers = dict(_dicom_files(folder))
    studies = {str(ds.StudyInstanceUID) for ds in headers.values()}
    if len(studies) != 1:
        msg = f"{folder} must hold DICOM images of one study; it holds {len(headers)} images of {len(studies)} studies."
        raise InputRefused(msg)
    return headers


def _dicom_files(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            ds = dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, EOFError, OSError) as error:
            log.info("file.skipped", file=str(path), error=type(error).__name__)
            continue
        if "SOPInstanceUID" in ds and "StudyInstanceUID" in ds and "SeriesInstanceUID" in ds:
            yield path, ds
