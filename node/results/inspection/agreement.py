"""Whether all that tells of one result tells the same: the report's numbers, its words, the pictures, the summary."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydicom import Dataset

from survnode.node.results import codes, words
from survnode.node.results.findings import DECIMALS
from survnode.node.results.inspection.content import (
    InspectedObject,
    ObjectFault,
    Reference,
    content_items,
    numbers,
    references,
    texts,
)
from survnode.node.roles import ResultRole

MAX_STEP = 10**-DECIMALS / 2  # two numbers of `DECIMALS` that differ by less are one


@dataclass(frozen=True)
class _Told:
    """What a report tells: ``incidence`` by month and ``ranked`` weights with their images, percent."""

    survival: float | None
    incidence: tuple[float, ...]
    ranked: tuple[tuple[float, Reference | None], ...]
    words: str
    refused: bool


def disagreements(objects: Sequence[InspectedObject], summary: Mapping[str, Any] | None) -> Iterator[ObjectFault]:
    """Where ``objects`` contradict each other, or the ``summary`` that is written beside them."""
    for item in objects:
        if item.role is not ResultRole.REPORT:
            continue
        told = _told(item.ds)
        yield from (ObjectFault(item.file_name, None, rule) for rule in _alone(told, objects, summary))
        for other in objects:
            yield from (ObjectFault(other.file_name, None, rule) for rule in _beside(told, other.role, other.ds))
    if summary is not None and _listed(summary) != [str(item.ds.SOPInstanceUID) for item in objects]:
        yield ObjectFault("prediction.json", None, "lists other objects")


def _alone(told: _Told, objects: Sequence[InspectedObject], summary: Mapping[str, Any] | None) -> Iterator[str]:
    """What is wrong with the report itself."""
    yield from _within(told)
    if not told.refused and _count(objects, ResultRole.CAPTURE) not in {0, len(told.ranked)}:
        yield "ranks a different number of slices than there are captures"
    if summary is not None:
        yield from _in_summary(told, summary)


def _told(ds: Dataset) -> _Told:
    found = list(numbers(ds))
    horizon = sum(code.startswith("CIF-M") for code, _, _ in found)
    by_code = {code: value for code, value, _ in found}
    return _Told(
        survival=by_code.get(codes.survival(horizon).value),
        incidence=tuple(value for code, value, _ in found if code.startswith("CIF-M")),
        ranked=tuple((value, image) for code, value, image in found if code == codes.ATTENTION.value),
        words=texts(ds),
        refused=any(_names_a_reason(item) for item in content_items(ds)),
    )


def _names_a_reason(item: Dataset) -> bool:
    coded = item.get("ConceptCodeSequence")
    if not coded or coded[0].get("CodingSchemeDesignator") != codes.SCHEME:
        return False
    return codes.is_reason(str(coded[0].get("CodeValue")))


def _within(told: _Told) -> Iterator[str]:
    """Numbers that contradict each other or the words."""
    if told.refused:
        if told.incidence or told.ranked or told.survival is not None:
            yield "names a reason for no analysis and holds numbers all the same"
        return
    if not told.incidence or not told.ranked or told.survival is None:
        yield "holds neither a whole prediction nor the reason why there is none"
        return
    curve = (0.0, *told.incidence, 100.0)
    if any(after < before for before, after in pairwise(curve)):
        yield "holds a cumulative incidence that falls or leaves 0 to 100 %"
    if not _same(told.survival, 100 - told.incidence[-1]):
        yield "holds a survival that is not the complement of its cumulative incidence"
    for month in (*range(6, len(told.incidence), 6), len(told.incidence)):
        if words.alive(month, 100 - told.incidence[month - 1]) not in told.words:
            yield f"says another survival at {month} months in words than in numbers"
    for rank, (weight, _) in enumerate(told.ranked, start=1):
        if words.weighed(rank, weight) not in told.words:
            yield f"says another weight of rank {rank} in words than in numbers"


def _beside(told: _Told, role: ResultRole, ds: Dataset) -> Iterator[str]:
    """Where another object contradicts the report."""
    if role is ResultRole.CAPTURE:
        yield from _capture(told, ds)
    elif role is ResultRole.CURVE and _curve_words(told) != ds.ImageComments:
        yield "shows another survival than the report"
    elif role is ResultRole.KEY_OBJECTS:
        shown = [_which(reference) for item in content_items(ds) for reference in references(item)]
        if shown != [_which(image) for _, image in told.ranked]:
            yield "shows other images than the report ranks, or in another order"
    elif role is ResultRole.ATTENTION_REPORT:
        every = {_which(image): weight for _, weight, image in numbers(ds)}
        if any(not _same(every.get(_which(image)), weight) for weight, image in told.ranked):
            yield "holds another weight of a ranked slice than the report"


def _curve_words(told: _Told) -> str | None:
    return None if told.survival is None else words.curve(len(told.incidence), told.survival)


def _capture(told: _Told, ds: Dataset) -> Iterator[str]:
    rank = int(ds.InstanceNumber)
    if not 1 <= rank <= len(told.ranked):
        yield "shows a rank that the report does not hold"
        return
    weight, image = told.ranked[rank - 1]
    if words.capture(rank, len(told.ranked), weight) not in ds.ImageComments:
        yield "shows another rank or weight than the report"
    if [_which(reference) for reference in references(ds)] != [_which(image)]:
        yield "shows another image than the report ranks there"


def _in_summary(told: _Told, summary: Mapping[str, Any]) -> Iterator[str]:
    if told.refused != (summary["status"] == "not analysed"):
        yield "is analysed, or not, other than the summary says"
        return
    if told.refused:
        return
    if not _all_same(told.incidence, summary["cumulative_incidence_percent"]):
        yield "holds another cumulative incidence than the summary"
    if not _same(told.survival, summary["survival_at_horizon_percent"]):
        yield "holds another survival than the summary"
    ranked = summary["ranked_slices"]
    if not _all_same([weight for weight, _ in told.ranked], [item["weight_percent"] for item in ranked]):
        yield "holds other weights than the summary"
    images = [(item["sop_instance_uid"], item["frame_number"]) for item in ranked]
    if [_which(image) for _, image in told.ranked] != images:
        yield "ranks other images than the summary"


def _listed(summary: Mapping[str, Any]) -> list[str]:
    return [str(item["sop_instance_uid"]) for item in summary["objects"]]


def _which(image: Reference | None) -> tuple[str | None, int | None]:
    """An image, and its frame if it has one."""
    if image is None:
        return None, None
    return image.sop_instance_uid, image.frames[0] if image.frames else None


def _count(objects: Sequence[InspectedObject], role: ResultRole) -> int:
    return sum(item.role is role for item in objects)


def _all_same(some: Sequence[float], others: Sequence[float]) -> bool:
    return len(some) == len(others) and all(_same(one, other) for one, other in zip(some, others, strict=True))


def _same(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) < MAX_STEP
