"""The weights of all slices as a second report, for those who study the model: too long to be read."""

from collections.abc import Sequence

from survnode.model.ct.arrangement import SourceImage
from survnode.node.results import codes, words
from survnode.node.results.documents.report import attention, container, document, group, text
from survnode.node.results.envelope import Envelope, ResultObject
from survnode.node.results.findings import ReportedFindings
from survnode.node.roles import ResultRole


def attention_report(findings: ReportedFindings, images: Sequence[SourceImage], envelope: Envelope) -> ResultObject:
    """One measurement group a slice, feet to head; ``images`` as in ``Volume.images``."""
    groups = [
        group(
            f"Attention slice {place}",
            envelope.uid("tracking", "every slice", str(place)),
            [attention(float(weight), image)],
        )
        for place, (image, weight) in enumerate(zip(images, findings.attention, strict=True), start=1)
    ]
    evaluations = [
        text(codes.FINDING, words.all_slices(findings)),
        *(text(codes.COMMENT, warning) for warning in words.warnings(envelope.model)),
    ]
    sections = [
        container(codes.IMAGING_MEASUREMENTS, [item for items in groups for item in items]),
        container(codes.QUALITATIVE_EVALUATIONS, evaluations),
    ]
    return document(sections, envelope, ResultRole.ATTENTION_REPORT)
