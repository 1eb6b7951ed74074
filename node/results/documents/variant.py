"""A report in another SOP class, for a destination that does not take the first; held against the same rules."""

from collections.abc import Sequence
from copy import deepcopy

from pydicom import DataElement, Dataset
from pydicom.config import disable_value_validation
from pydicom.tag import Tag
from pydicom.uid import UID

from survnode.node.errors import ObjectFaulty
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.identity import derived_uid
from survnode.node.results.inspection.content import EARLIER, ObjectFault, references
from survnode.node.results.inspection.inspection import inspect
from survnode.node.roles import ResultRole

EVIDENCE = "CurrentRequestedProcedureEvidenceSequence"
ITS_OWN = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "ContentSequence", EVIDENCE, EARLIER)


def in_class(report: Dataset, sop_class: str) -> Dataset:
    """The same report in another of `REPORT_CLASSES`, under UIDs of its own; so is its predecessor's name."""
    if report.SOPClassUID == sop_class:
        return report
    other = deepcopy(report)
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    other.SOPInstanceUID = derived_uid(sop_class, report.SOPInstanceUID)
    other.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID
    other.SeriesInstanceUID = derived_uid(sop_class, report.SeriesInstanceUID)
    for study in other.get(EARLIER, []):
        for series in study.ReferencedSeriesSequence:
            series.SeriesInstanceUID = derived_uid(sop_class, series.SeriesInstanceUID)
            for item in series.ReferencedSOPSequence:
                item.ReferencedSOPClassUID = UID(sop_class)
                item.ReferencedSOPInstanceUID = derived_uid(sop_class, item.ReferencedSOPInstanceUID)
    return other


def variant(report: Dataset, sop_class: str, role: ResultRole) -> ResultObject:
    """``report`` in another SOP class, ready to be sent.

    Raises
    ------
    ObjectFaulty
        It breaks one of the node's own rules: it must not be sent.
    """
    with disable_value_validation():  # identifiers may be longer than their VR: see `subject.IDENTIFIERS`
        made = ResultObject(role, in_class(report, sop_class))
        source = source_of(report)
    if not source.headers:
        raise ObjectFaulty([ObjectFault(made.file_name, Tag(EVIDENCE), "names no image")])
    inspect((made,), source)
    return made


def source_of(report: Dataset) -> SourceStudy:
    """The source as a report names it: the images may be gone by the time that it is written in another class."""
    about = [element for element in report if element.keyword not in ITS_OWN]
    frames: dict[str, int] = {}
    for reference in references(report):
        uid = reference.sop_instance_uid
        frames[uid] = max(frames.get(uid, 1), *reference.frames, 1)
    return SourceStudy(
        tuple(
            _header(about, series.SeriesInstanceUID, item, frames[item.ReferencedSOPInstanceUID])
            for study in report.get(EVIDENCE, [])
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        )
    )


def _header(about: Sequence[DataElement], series_instance_uid: str, item: Dataset, frames: int) -> Dataset:
    """What is known of one source image: whom it is ``about``, which it is, and of how many frames at least."""
    ds = Dataset()
    ds.update({element.tag: element for element in about})
    ds.SOPClassUID, ds.SOPInstanceUID = item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID
    ds.SeriesInstanceUID, ds.NumberOfFrames = series_instance_uid, frames
    return ds
