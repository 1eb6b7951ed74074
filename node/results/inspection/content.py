"""What stands in an object, found again in its data set."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from survnode.node.roles import ResultRole

INSTANCES_OF_A_SERIES = frozenset({"ReferencedSOPSequence", "ReferencedInstanceSequence"})
EARLIER = "PredecessorDocumentsSequence"  # what it names is not part of the result


@dataclass(frozen=True)
class ObjectFault:
    """One broken rule of one object."""

    file_name: str
    tag: BaseTag | None
    rule: str

    def __str__(self) -> str:
        return " ".join(part for part in (self.file_name, str(self.tag or ""), self.rule) if part)


@dataclass(frozen=True, eq=False)
class InspectedObject:
    """An object as a receiver reads it."""

    role: ResultRole
    file_name: str
    ds: Dataset

    def fault(self, keyword: str, rule: str) -> ObjectFault:
        """That ``keyword`` breaks ``rule``."""
        return ObjectFault(self.file_name, Tag(tag_for_keyword(keyword) or 0), rule)


@dataclass(frozen=True)
class Reference:
    """One object that another one names.

    Parameters
    ----------
    series_instance_uid : that it is said to belong to; None where nothing is said
    frames : numbers from 1; empty for the whole object
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str | None
    frames: tuple[int, ...]


def references(ds: Dataset, series_instance_uid: str | None = None) -> Iterator[Reference]:
    """Everything that ``ds`` refers to at any depth, but for its predecessors."""
    if "ReferencedSOPInstanceUID" in ds:
        yield Reference(
            str(ds.get("ReferencedSOPClassUID")),
            str(ds.ReferencedSOPInstanceUID),
            series_instance_uid,
            _frames(ds),
        )
    for element in ds:
        if element.VR == "SQ" and element.keyword != EARLIER:
            series = ds.get("SeriesInstanceUID") if element.keyword in INSTANCES_OF_A_SERIES else None
            for item in element.value:
                yield from references(item, series)


def content_items(ds: Dataset) -> Iterator[Dataset]:
    """The content items below ``ds``, in the order in which a reader meets them."""
    for item in ds.get("ContentSequence", []):
        yield item
        yield from content_items(item)


def concept(item: Dataset) -> str:
    """The code of a content item's name; empty if it has none."""
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue", "")) if names else ""


def numbers(ds: Dataset) -> Iterator[tuple[str, float, Reference | None]]:
    """Code, value and source image of each number of a report, in its order."""
    for item in content_items(ds):
        if item.get("ValueType") == "NUM":
            value = float(item.MeasuredValueSequence[0].NumericValue)
            yield concept(item), value, next(references(item), None)


def texts(ds: Dataset) -> str:
    """All words of a document."""
    return "\n".join(str(item.get("TextValue", "")) for item in content_items(ds))


def _frames(ds: Dataset) -> tuple[int, ...]:
    value = ds.get("ReferencedFrameNumber")
    if value is None:
        return ()
    return tuple(int(number) for number in value) if isinstance(value, MultiValue | list) else (int(value),)
