"""Folders of CT files -> result files: the node's path without network, database or processes."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import SimpleITK as sitk
import structlog

from survnode.model.checkpoint import Card, checkpoint_folder
from survnode.model.ct.selection import choose
from survnode.model.ct.volume import read_series
from survnode.model.errors import ModelError, SeriesUnsuitable
from survnode.node.commands.study_folders import StudyFiles, make_folder, studies_in
from survnode.node.errors import InputRefused, NodeError, trace_of
from survnode.node.results.identity import Layout, ResultRun
from survnode.node.results.source.dates import newest_time
from survnode.node.roles import DEFAULT_ROLES, ResultRole
from survnode.node.state.site_table import SiteTable
from survnode.node.work.pipeline import AnalysisOutcome, Pipeline, devices

log = structlog.get_logger()

ALL = "all"
OPTIONAL = tuple(role for role in ResultRole if role not in {*DEFAULT_ROLES, ResultRole.WITHDRAWAL})
MASK_SUFFIXES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class PredictRequest:
    """What ``survnode predict`` was asked for.

    Parameters
    ----------
    out : of one study its results; of several a folder for each, named by its Study Instance UID, and ``studies.csv``
    objects : which optional objects to make besides the usual four, by their keys in a destination's profile
    lungs : the file of the lung mask, if one is wanted
    features : CSV of what is known beside the images, by PatientID
    """

    folders: Sequence[Path]
    out: Path
    model: str = "demo"
    device: str = "cpu"
    objects: Sequence[str] = ()
    lungs: Path | None = None
    features: Path | None = None


@dataclass(frozen=True)
class StudyPrediction:
    """What became of one study.

    Parameters
    ----------
    outcome : None if not even a report could be written; ``refusal`` says why
    """

    study: StudyFiles
    folder: Path
    outcome: AnalysisOutcome | None
    refusal: str = ""

    @property
    def analysed(self) -> bool:
        """Whether there is a prediction."""
        return self.outcome is not None and self.outcome.reason is None

    @property
    def why_not(self) -> str:
        """Why there is no prediction; empty if there is one."""
        if self.outcome is None or self.outcome.reason is None:
            return self.refusal
        return f"{self.outcome.reason.sentence} {self.outcome.detail}".strip()


@dataclass(frozen=True)
class PredictionRow:
    """One line of ``studies.csv``; ``survival`` is the number as a person reads it, with its range."""

    study_instance_uid: str
    source: str
    results: str
    status: str
    survival_at_horizon_percent: float | None
    survival: str
    why: str


def prepare(request: PredictRequest) -> tuple[list[StudyFiles], Pipeline]:
    """The studies to analyse and the model, warm; whatever can be refused before the work is refused here.

    Raises
    ------
    InputRefused
        A folder holds no study, results cannot be written, or an option does not fit what was found.
    ModelError
        The checkpoint or its weights cannot be used.
    """
    layout = Layout(optional=frozenset(optional_roles(request.objects)))
    studies = studies_in(request.folders)
    make_folder(request.out, "The results")
    if request.lungs is not None:
        _check_mask_file(request.lungs, len(studies))
    device = devices(request.device)[0]
    site = None if request.features is None else SiteTable(request.features)
    pipeline = Pipeline(checkpoint_folder(request.model), layout, device, site=site)
    if site is not None:
        _check_table(site, pipeline.predictor.card)
    return studies, pipeline


def _check_table(site: SiteTable, card: Card) -> None:
    """Refuse a table that says nothing to the model before anything is computed."""
    if card.covariates is None:
        raise InputRefused(f"{card.name} takes nothing beside the images: leave --features out.")
    columns = site.columns()
    absent = [name for name in (site.column, *(it.name for it in card.covariates)) if name not in columns]
    if absent:
        raise InputRefused(f"{site.name} lacks columns that {card.name} takes: {', '.join(absent)}.")


def optional_roles(names: Iterable[str]) -> tuple[ResultRole, ...]:
    """The optional objects of those names; ``all`` names every one.

    Raises
    ------
    InputRefused
    """
    known = {role.value: role for role in OPTIONAL}
    unknown = [name for name in names if name not in {*known, ALL}]
    if unknown:
        expected = f"expected {', '.join(known)} or {ALL}"
        raise InputRefused(f"--objects does not know {', '.join(unknown)}: {expected}.")
    return OPTIONAL if ALL in names else tuple(known[name] for name in names)


def predict_studies(
    request: PredictRequest, studies: Sequence[StudyFiles], pipeline: Pipeline, told: Callable[[str], None]
) -> Iterator[StudyPrediction]:
    """Analyse one study after another and write what the node would send, and ``prediction.json``.

    A refusal of one study holds up no other.

    Parameters
    ----------
    told : hears what is being done
    """
    alone = len(studies) == 1
    for study in studies:
        folder = request.out if alone else request.out / study.study_instance_uid
        try:
            outcome = _predict(study, pipeline, told)
            told("writing the results")
            write_outcome(outcome, folder)
            _write_mask(outcome, pipeline, request.lungs)
        except (NodeError, ModelError, OSError) as refusal:
            yield StudyPrediction(study, folder, None, str(refusal))
        except Exception as error:  # noqa: BLE001  the edge of a study: what is wrong with one is not wrong with the next
            log.error("study.failed", folder=str(study.folder), trace=trace_of(error))
            yield StudyPrediction(
                study, folder, None, f"survnode failed, or the files are faulty: {type(error).__name__}."
            )
        else:
            yield StudyPrediction(study, folder, outcome)


def row_of(prediction: StudyPrediction) -> PredictionRow:
    """The line of one study in ``studies.csv``."""
    outcome = prediction.outcome
    summary = outcome.summary if outcome and prediction.analysed else None
    survival = summary["survival_at_horizon_percent"] if summary else None
    words = summary["in_words"]["survival"] if summary else ""
    status = "analysed" if prediction.analysed else "not analysed" if outcome else "refused"
    uid, source = prediction.study.study_instance_uid, str(prediction.study.folder)
    return PredictionRow(
        uid, source, str(prediction.folder) if outcome else "", status, survival, words, prediction.why_not
    )


def write_rows(rows: Sequence[PredictionRow], path: Path) -> None:
    """Write ``studies.csv``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(PredictionRow.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def write_outcome(outcome: AnalysisOutcome, out: Path) -> None:
    """Write the objects and ``prediction.json`` under ``out``; objects of an earlier run do not stay beside them."""
    for stale in (*(out / "captures").glob("*.dcm"), *(out / role.path() for role in ResultRole)):
        stale.unlink(missing_ok=True)
    for item in outcome.objects:
        path = out / item.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.encode())
    (out / "prediction.json").write_text(json.dumps(outcome.summary, indent=2) + "\n", encoding="utf-8")


def _predict(study: StudyFiles, pipeline: Pipeline, told: Callable[[str], None]) -> AnalysisOutcome:
    """The results of one study.

    There is no job whose time the results could bear, so they bear the newest time of their source: whoever repeats
    it, wherever and whenever, gets the same bytes.
    """
    if study.fault:
        raise InputRefused(study.fault)
    by_series: dict[str, list[Path]] = {}
    for path, ds in study.headers.items():
        by_series.setdefault(str(ds.SeriesInstanceUID), []).append(path)
    spacing_mm = pipeline.predictor.card.preprocessing.slice_spacing_mm
    choice = choose({uid: [study.headers[path] for path in paths] for uid, paths in by_series.items()}, spacing_mm)
    paths = by_series[choice.series_instance_uid]
    run = ResultRun(newest_time(study.headers[path] for path in paths), 1, None, version("survnode"))
    if choice.reason is not None:
        return pipeline.refuse([study.headers[path] for path in paths], choice.reason, choice.detail, run)
    told(f"reading {len(paths)} images")
    try:
        datasets = read_series(paths)
    except SeriesUnsuitable as refusal:
        return pipeline.refuse([study.headers[path] for path in paths], refusal.reason, refusal.detail, run)
    told(f"analysing {len(paths)} images")
    return pipeline.analyse(datasets, run)


def _check_mask_file(path: Path, studies: int) -> None:
    if not path.name.endswith(MASK_SUFFIXES):
        raise InputRefused(f"The lung mask is written as {' or '.join(MASK_SUFFIXES)}; {path} ends otherwise.")
    if path.is_dir():
        raise InputRefused(f"The lung mask is a file; {path} is a folder.")
    if studies > 1:
        words = "--objects segmentation writes a mask with the results of each"
        raise InputRefused(f"--lungs names one file, but there are {studies} studies: {words}.")
    make_folder(path.parent, "The lung mask")


def _write_mask(outcome: AnalysisOutcome, pipeline: Pipeline, path: Path | None) -> None:
    if path is not None and outcome.analysis is not None:
        mask = outcome.analysis.volume.as_image(pipeline.lungs_of(outcome.analysis))
        sitk.WriteImage(mask, str(path), useCompression=True)
