"""What the rules of a configuration would do with studies on disk, before any of them is sent."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydicom import Dataset

from survnode.model.checkpoint import checkpoint_folder, read_card
from survnode.model.ct.frames import CT_SOP_CLASSES
from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.ct.volume import read_headers
from survnode.node.config import NodeConfig
from survnode.node.errors import InputRefused
from survnode.node.intake.header_facts import facts_of, text_of
from survnode.node.intake.judgement import JudgedStudy, judge_study, numbers_of
from survnode.node.intake.rules import Routes
from survnode.node.state.records import Keeping, OtherSeries, Study, StudyState


class Fate(StrEnum):
    """What would become of a study."""

    ANALYSED = "analysed"
    NOT_ANALYSED = "reported as not analysed"
    IGNORED = "ignored"


@dataclass(frozen=True)
class ForeseenStudy:
    """What would become of one study.

    Parameters
    ----------
    rule : the name of the rule that decides; empty if none fits
    detail : why it would not be analysed
    series_instance_uid : the series that would be analysed; empty if none would
    series : what is said of each CT series
    other : what it holds besides CT, by SOP class
    reports_refusal : whether a report would say so, should the images turn out to be of no use
    destinations : to which results would go
    """

    study_instance_uid: str
    fate: Fate
    rule: str
    detail: str
    series_instance_uid: str
    series: tuple[SeriesVerdict, ...]
    other: dict[str, int]
    reports_refusal: bool
    destinations: tuple[str, ...]
    quiet_period_s: float


def foresee(folder: Path, config: NodeConfig, calling_ae_title: str, called_ae_title: str) -> list[ForeseenStudy]:
    """What would become of each study in ``folder``, by its UID.

    Raises
    ------
    InputRefused
        There is no DICOM file in it.
    """
    headers: dict[str, list[Dataset]] = {}
    for ds in _headers_in(folder):
        headers.setdefault(str(ds.StudyInstanceUID), []).append(ds)
    if not headers:
        raise InputRefused(f"There are no DICOM files in {folder}.")
    spacing_mm = read_card(checkpoint_folder(config.model.checkpoint)).preprocessing.slice_spacing_mm
    study = Study("", "", False, 0, 0, None, 1, StudyState.RECEIVING, "", "", "", "", calling_ae_title, called_ae_title)
    return [_foreseen(uid, study, datasets, config, spacing_mm) for uid, datasets in sorted(headers.items())]


def lines_of(study: ForeseenStudy) -> Iterator[str]:
    """What a person reads of it."""
    yield f"study {study.study_instance_uid}"
    yield f"  would be {study.fate}, by {f'rule {study.rule}' if study.rule else 'the defaults (no rule fits)'}"
    if study.detail:
        yield f"  {study.detail}"
    if study.fate is not Fate.IGNORED:
        yield f"  results go to: {', '.join(study.destinations) or 'nobody'}"
    if study.fate is Fate.ANALYSED and not study.reports_refusal:
        yield "  if no lungs are found, no report is made"
    yield f"  complete after {study.quiet_period_s:g} s without a new image"
    for verdict in study.series:
        chosen = "chosen" if verdict.chosen else verdict.reason.sentence if verdict.reason else "not chosen:"
        yield f"  series {verdict.series_instance_uid}, {verdict.images} images: {chosen} {verdict.detail}".rstrip()
    for name, number in study.other.items():
        yield f"  besides: {number} {name}"


def _headers_in(folder: Path) -> Iterator[Dataset]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            (ds,) = read_headers([path])
            uids = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPClassUID, ds.SOPInstanceUID)
        except Exception:  # noqa: BLE001, S112  it is no DICOM instance, whatever pydicom says at it
            continue
        if all(uids):
            yield ds


def _foreseen(uid: str, study: Study, datasets: list[Dataset], config: NodeConfig, spacing_mm: float) -> ForeseenStudy:
    series: dict[str, list[Dataset]] = {}
    others: dict[tuple[str, str], OtherSeries] = {}
    for ds in datasets:
        if ds.SOPClassUID in CT_SOP_CLASSES:
            series.setdefault(str(ds.SeriesInstanceUID), []).append(ds)
        else:
            key = str(ds.SeriesInstanceUID), str(ds.SOPClassUID)
            others[key] = _counted(others.get(key), ds)
    judged = judge_study(study, series, list(others.values()), Routes.of(config), spacing_mm)
    ignored = judged.ignored(replaces=False) if series else judged.without_ct(list(others.values()))
    return _told(uid, judged, ignored, list(others.values()), config)


def _told(uid: str, judged: JudgedStudy, ignored: str, others: list[OtherSeries], config: NodeConfig) -> ForeseenStudy:
    choice, route = judged.choice, judged.route
    analysed = not ignored and choice.reason is None
    reason = f"{choice.reason.sentence} {choice.detail}".strip() if choice.reason else ""
    names = tuple(destination.name for destination in config.destinations)
    return ForeseenStudy(
        study_instance_uid=uid,
        fate=Fate.IGNORED if ignored else Fate.ANALYSED if analysed else Fate.NOT_ANALYSED,
        rule=route.rule,
        detail=ignored or reason,
        series_instance_uid=choice.series_instance_uid if analysed else "",
        series=choice.verdicts,
        other=dict(sorted(numbers_of(others).items())),
        reports_refusal=judged.reports(replaces=False),
        destinations=() if ignored else names if route.destinations is None else route.destinations,
        quiet_period_s=route.quiet_period_s,
    )


def _counted(before: OtherSeries | None, ds: Dataset) -> OtherSeries:
    """One more instance of a series that is not CT."""
    facts = facts_of(ds)
    return OtherSeries(
        study_instance_uid=str(ds.StudyInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        sop_class_uid=str(ds.SOPClassUID),
        keeping=Keeping.OWN if OWN_MANUFACTURER in text_of(ds, "Manufacturer").lower() else Keeping.DROPPED,
        modality=facts.modality,
        body_part=facts.body_part,
        series_description=facts.series_description,
        protocol_name=facts.protocol,
        instances=1 + (before.instances if before else 0),
        size_bytes=0,
        last_received_at=0.0,
    )
