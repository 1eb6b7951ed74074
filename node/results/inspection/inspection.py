"""The node looks at its own objects before anybody else does: with rules of its own, on what would be sent.

Every object is decoded from its own encoding and held against the rules below. What a rule finds is named by object,
tag and rule, never by a value. A validator judges whether an object is DICOM; this judges whether it is ours.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

from pydicom import DataElement, Dataset, dcmread
from pydicom.config import RAISE, disable_value_validation
from pydicom.valuerep import validate_value

from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.node.errors import ObjectFaulty
from survnode.node.results.envelope import UNICODE, ResultObject, SourceStudy
from survnode.node.results.inspection.agreement import disagreements
from survnode.node.results.inspection.content import InspectedObject, ObjectFault, content_items, references
from survnode.node.results.inspection.requirements import FIXED, REPORT_FLAGS, TYPE_1, TYPE_1_ALL
from survnode.node.results.source.subject import IDENTIFIERS, OPTIONAL, REQUIRED
from survnode.node.results.source.values import MAX_CHARS
from survnode.node.roles import ResultRole

RESEARCH_ENDING = "(research use only)"
VALIDATED_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UR"})


@dataclass(frozen=True, eq=False)
class Referable:
    """What the objects may refer to.

    Parameters
    ----------
    received : of the source, SOP instance UID -> SOP class, series, number of frames
    made : the same of the objects themselves
    """

    source: SourceStudy
    objects: tuple[InspectedObject, ...]

    @cached_property
    def received(self) -> dict[str, tuple[str, str, int]]:
        """Source instances."""
        return {str(ds.SOPInstanceUID): _place(ds) for ds in self.source.headers}

    @cached_property
    def made(self) -> dict[str, tuple[str, str, int]]:
        """The objects themselves."""
        return {str(item.ds.get("SOPInstanceUID")): _place(item.ds) for item in self.objects}


def inspect(objects: Sequence[ResultObject], source: SourceStudy, summary: Mapping[str, Any] | None = None) -> None:
    """Hold the result set ``objects`` of ``source`` against the node's own rules.

    Parameters
    ----------
    summary : what ``prediction.json`` will say; its numbers must be the report's

    Raises
    ------
    ObjectFaulty
        With every fault at once: none of the objects may be sent.
    """
    with disable_value_validation(), warnings.catch_warnings():  # pydicom's warnings quote values
        warnings.simplefilter("ignore")
        inspected = tuple(_decoded(item) for item in objects)
        known = Referable(source, inspected)
        faults = [fault for item in inspected for rule in RULES for fault in rule(item, known)]
        faults += [fault for rule in SET_RULES for fault in rule(known)]
        if not faults:  # only whole objects can be compared
            faults += disagreements(inspected, summary)
    if faults:
        raise ObjectFaulty(faults)


def _decoded(item: ResultObject) -> InspectedObject:
    return InspectedObject(item.role, item.file_name, dcmread(BytesIO(item.encode())))


def _place(ds: Dataset) -> tuple[str, str, int]:
    frames = str(ds.get("NumberOfFrames", ""))  # a foreign header may hold anything
    return str(ds.get("SOPClassUID")), str(ds.get("SeriesInstanceUID")), int(frames) if frames.isdecimal() else 1


# Rules of one object


def has_what_its_class_requires(item: InspectedObject, _: Referable) -> Iterator[ObjectFault]:
    """Type 1: present and not empty. Type 2: present."""
    sop_class = str(item.ds.get("SOPClassUID"))
    if sop_class not in TYPE_1:
        yield item.fault("SOPClassUID", "is not a class that the node writes")
    for keyword in (*TYPE_1_ALL, *TYPE_1.get(sop_class, ())):
        if keyword not in item.ds or item.ds[keyword].is_empty:
            yield item.fault(keyword, "must be present and not empty")
    for keyword in REQUIRED:
        if keyword not in item.ds:
            yield item.fault(keyword, "must be present, even if empty")


def has_the_values_that_never_differ(item: InspectedObject, _: Referable) -> Iterator[ObjectFault]:
    """No identity in pixels, for research, complete and unverified."""
    expected = {"ContentQualification": "RESEARCH", "Manufacturer": OWN_MANUFACTURER, "SpecificCharacterSet": UNICODE}
    expected |= FIXED.get(str(item.ds.get("SOPClassUID")), {})
    if item.role.is_report:
        expected |= REPORT_FLAGS
    for keyword, value in expected.items():
        if item.ds.get(keyword) != value:
            yield item.fault(keyword, f"must be {value}")
    if not str(item.ds.get("SeriesDescription", "")).endswith(RESEARCH_ENDING):
        yield item.fault("SeriesDescription", f"must end with {RESEARCH_ENDING}")
    if "VerifyingObserverSequence" in item.ds:
        yield item.fault("VerifyingObserverSequence", "must be absent: nobody verified it")


def has_valid_values(item: InspectedObject, _: Referable) -> Iterator[ObjectFault]:
    """Every value fits its VR; among them every UID. Identifiers alone may be longer: see `subject.IDENTIFIERS`."""
    for element in item.ds.iterall():
        if element.tag.is_private:
            yield ObjectFault(item.file_name, element.tag, "is private: none is written")
        elif not _is_valid(element):
            yield ObjectFault(item.file_name, element.tag, f"has a value that is no {element.VR}")


def _is_valid(element: DataElement) -> bool:
    if element.VR not in VALIDATED_VRS or element.is_empty:
        return True
    values = element.value if element.VM > 1 else [element.value]
    length = MAX_CHARS[element.VR] if element.keyword in IDENTIFIERS else None
    try:
        for value in values:
            validate_value(element.VR, str(value)[:length], RAISE)
    except ValueError:
        return False
    return True


def is_about_the_sources_patient(item: InspectedObject, known: Referable) -> Iterator[ObjectFault]:
    """Patient and study are the source's, as they were sanitised."""
    for element in known.source.subject.attributes:
        if str(item.ds.get(element.keyword) or "") != str(element.value or ""):
            yield ObjectFault(item.file_name, element.tag, "differs from the source's")
    for keyword in OPTIONAL:
        if keyword in item.ds and keyword not in known.source.subject.attributes:
            yield item.fault(keyword, "is not in the source")


def refers_to_what_exists(item: InspectedObject, known: Referable) -> Iterator[ObjectFault]:
    """Every reference resolves: to a received instance, or to an object of the same set."""
    targets = {**known.received, **known.made}
    for reference in references(item.ds):
        target = targets.get(reference.sop_instance_uid)
        if target is None:
            yield item.fault("ReferencedSOPInstanceUID", "refers to no received instance")
        elif target[0] != reference.sop_class_uid:
            yield item.fault("ReferencedSOPClassUID", "is not the class of the instance that is referred to")
        elif reference.series_instance_uid not in {None, target[1]}:
            yield item.fault("SeriesInstanceUID", "is not the series of the instance that is referred to")
        elif not all(1 <= frame <= target[2] for frame in reference.frames):
            yield item.fault("ReferencedFrameNumber", "refers to a frame that does not exist")


def lists_its_evidence(item: InspectedObject, _: Referable) -> Iterator[ObjectFault]:
    """What a document's content refers to stands in its evidence."""
    if "CurrentRequestedProcedureEvidenceSequence" not in item.ds:
        return
    evidence, content = Dataset(), Dataset()
    evidence.add(item.ds["CurrentRequestedProcedureEvidenceSequence"])
    content.ContentSequence = item.ds.get("ContentSequence", [])
    listed = {reference.sop_instance_uid for reference in references(evidence)}
    if any(reference.sop_instance_uid not in listed for reference in references(content)):
        yield item.fault("CurrentRequestedProcedureEvidenceSequence", "does not list all that the content refers to")
    if any(study.get("StudyInstanceUID") != item.ds.get("StudyInstanceUID")
           for study in item.ds.CurrentRequestedProcedureEvidenceSequence):  # fmt: skip
        yield item.fault("CurrentRequestedProcedureEvidenceSequence", "names another study")


def is_separate(item: InspectedObject, _: Referable) -> Iterator[ObjectFault]:
    """Every container's continuity is SEPARATE, or viewers drop its labels."""
    containers = [content for content in (item.ds, *content_items(item.ds)) if content.get("ValueType") == "CONTAINER"]
    if any(container.get("ContinuityOfContent") != "SEPARATE" for container in containers):
        yield item.fault("ContinuityOfContent", "must be SEPARATE on every container")


# Rules of the whole set


def no_object_twice(known: Referable) -> Iterator[ObjectFault]:
    """Each SOP Instance UID names one object, and none of the source's."""
    seen = set(known.received)
    for item in known.objects:
        uid = str(item.ds.get("SOPInstanceUID"))
        if uid in seen:
            yield item.fault("SOPInstanceUID", "names another object too")
        seen.add(uid)


def each_role_a_series(known: Referable) -> Iterator[ObjectFault]:
    """A series holds the objects of one role under one number, and none of the source's."""
    owners: dict[str, tuple[object, ...]] = {series: () for _, series, _ in known.received.values()}
    numbers: dict[object, ResultRole] = {}
    for item in known.objects:
        series, number = str(item.ds.get("SeriesInstanceUID")), item.ds.get("SeriesNumber")
        if owners.setdefault(series, (item.role, number)) != (item.role, number):
            yield item.fault("SeriesInstanceUID", "is the series of other objects")
        if numbers.setdefault(number, item.role) is not item.role:
            yield item.fault("SeriesNumber", "is the number of another role's series")


RULES: tuple[Callable[[InspectedObject, Referable], Iterator[ObjectFault]], ...] = (
    has_what_its_class_requires,
    has_the_values_that_never_differ,
    has_valid_values,
    is_about_the_sources_patient,
    refers_to_what_exists,
    lists_its_evidence,
    is_separate,
)
SET_RULES: tuple[Callable[[Referable], Iterator[ObjectFault]], ...] = (no_object_twice, each_role_a_series)
