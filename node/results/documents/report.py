"""The Structured Report: TID 1500, the numbers first, then the words.

What the tree looks like was settled by what validators accept and what viewers show: separate continuity (OHIF drops
labels otherwise), flat monthly values (nested horizons are hidden), no image library (slow, and the evidence lists the
images), and no `method` or `manufacturer` (each is a validator's warning).
"""

from collections.abc import Iterable, Iterator, Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    Comprehensive3DSR,
    ComprehensiveSR,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    FindingSite,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    SourceImageForMeasurement,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.coverage import CUT
from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.model.errors import Reason
from survnode.node.results import codes, words
from survnode.node.results.envelope import Envelope, ResultObject, ascii_text
from survnode.node.results.findings import RankedSlice, ReportedFindings
from survnode.node.roles import ResultRole
from survnode.node.state.records import Completeness

CONSTRUCTORS: dict[str, type[Dataset]] = {
    Comprehensive3DSRStorage: Comprehensive3DSR,
    ComprehensiveSRStorage: ComprehensiveSR,
    EnhancedSRStorage: EnhancedSR,
}


def report(findings: ReportedFindings, envelope: Envelope) -> ResultObject:
    """The report of a prediction."""
    groups = [
        _headline_group(findings, envelope),
        _curve_group(findings, envelope),
        *(_slice_group(item, envelope) for item in findings.slices),
    ]
    measurements = container(codes.IMAGING_MEASUREMENTS, [item for group in groups for item in group])
    evaluations = container(
        codes.QUALITATIVE_EVALUATIONS,
        [
            *(CodeContentItem(codes.FINDING, code, "CONTAINS") for code in _warnings(findings)),
            text(codes.FINDING, words.summary(findings)),
            *(text(codes.COMMENT, comment) for comment in words.comments(envelope.run, envelope.model)),
        ],
    )
    return document([measurements, evaluations], envelope, ResultRole.REPORT)


def refusal(reason: Reason, detail: str, envelope: Envelope) -> ResultObject:
    """The report of a study that was not analysed: the reason as a code and in words, and no numbers."""
    completeness = envelope.run.completeness
    items = [codes.not_analysed(reason), *_missing(completeness)]
    evaluations = container(
        codes.QUALITATIVE_EVALUATIONS,
        [
            *(CodeContentItem(codes.FINDING, code, "CONTAINS") for code in items),
            text(codes.FINDING, words.refusal(reason, detail, completeness)),
            *(text(codes.COMMENT, comment) for comment in words.comments(envelope.run, envelope.model)),
        ],
    )
    return document([evaluations], envelope, ResultRole.REPORT)


def _headline_group(findings: ReportedFindings, envelope: Envelope) -> MeasurementsAndQualitativeEvaluations:
    """The one number that is asked for, in a group of its own, so that a viewer shows it before all details.

    The template wants the algorithm above the numbers of a group. Here it stands below the number, where a machine
    finds it; viewers hide what lies so deep, and show it with the curve.
    """
    headline = Measurement(
        name=codes.survival(findings.horizon),
        value=findings.survival_at(findings.horizon),
        unit=codes.PERCENT,
        algorithm_id=_algorithm(findings),
    )
    return group(words.headline(findings), envelope.uid("tracking", "survival"), [headline], finding=codes.PROGNOSIS)


def _curve_group(findings: ReportedFindings, envelope: Envelope) -> MeasurementsAndQualitativeEvaluations:
    """The cumulative incidence month by month, and what computed it."""
    curve = [
        _percentage(codes.cumulative_incidence(int(month)), float(value))
        for month, value in zip(findings.months, findings.incidence, strict=True)
    ]
    return group("Survival curve", envelope.uid("tracking", "curve"), curve, _algorithm(findings))


def _warnings(findings: ReportedFindings) -> Iterator[Code]:
    """What a reader must know of the number, as codes: the standard's where it has one, and which of ours."""
    coverage = findings.series.coverage
    if not CUT.isdisjoint(coverage.warnings):
        yield codes.COVERAGE_INCOMPLETE
    yield from (codes.warning(item) for item in coverage.warnings)
    yield from _missing(findings.series.completeness)
    yield from (codes.unlike(it.difference) for it in findings.unlike)
    if findings.models_disagree:
        yield codes.MODELS_DISAGREE


def _missing(completeness: Completeness | None) -> Iterator[Code]:
    if completeness is not None and completeness.is_lacking:
        yield codes.IMAGES_MISSING


def _slice_group(item: RankedSlice, envelope: Envelope) -> MeasurementsAndQualitativeEvaluations:
    weight = attention(item.weight, item.image)
    name = f"Attention rank {item.rank}, {item.name}"
    return group(name, envelope.uid("tracking", "slice", str(item.rank)), [weight])


def group(
    name: str,
    uid: str,
    measurements: Sequence[Measurement],
    algorithm: AlgorithmIdentification | None = None,
    finding: Code | None = None,
) -> MeasurementsAndQualitativeEvaluations:
    """Measurements that belong together (TID 1501)."""
    items = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=uid, identifier=name),
        finding_type=finding,
        finding_sites=[FindingSite(codes.LUNG)],
        measurements=measurements,
        algorithm_id=algorithm,
    )
    items[0].ContinuityOfContent = "SEPARATE"
    return items


def attention(weight: float, image: SourceImage) -> Measurement:
    """What one source image received, percent."""
    frames = None if image.frame_number is None else [image.frame_number]
    source = SourceImageForMeasurement(image.sop_class_uid, image.sop_instance_uid, frames)
    return _percentage(codes.ATTENTION, weight, [source])


def _percentage(name: Code, value: float, images: Sequence[SourceImageForMeasurement] | None = None) -> Measurement:
    return Measurement(name=name, value=value, unit=codes.PERCENT, referenced_images=images)


def _algorithm(findings: ReportedFindings) -> AlgorithmIdentification:
    """TID 4019: what computed the numbers, exactly."""
    model, members = findings.model, len(findings.member_survival)
    return AlgorithmIdentification(
        name=ascii_text(model.name),
        version=ascii_text(model.version),
        parameters=[ascii_text(line) for line in words.parameters(model, findings.horizon, members)],
        family=codes.ARTIFICIAL_INTELLIGENCE,
    )


def document(sections: Iterable[ContentItem], envelope: Envelope, role: ResultRole) -> ResultObject:
    """A report of ``sections`` below what TID 1500 wants above them."""
    sop_class = envelope.layout.report_sop_class
    root = ContainerContentItem(codes.ONCOLOGY_REPORT, is_content_continuous=False, template_id="1500")
    content = ContentSequence()
    content.extend(LanguageOfContentItemAndDescendants(codes.ENGLISH))
    content.extend(ObservationContext(observer_device_context=device_context(envelope)))
    content.append(CodeContentItem(codes.PROCEDURE_REPORTED, _procedure(envelope), "HAS CONCEPT MOD"))
    content.extend(sections)
    root.ContentSequence = content
    ds = envelope.build(
        CONSTRUCTORS[sop_class],
        role,
        variant=sop_class,
        evidence=envelope.patientless(),
        content=root,
        is_complete=True,
        is_final=False,
        is_verified=False,
        requested_procedures=requested_procedures(envelope) or None,
        previous_versions=_predecessors(envelope) if role is ResultRole.REPORT else None,
        coding_schemes=[codes.private_scheme()],
    )
    return ResultObject(role, ds)


def device_context(envelope: Envelope) -> ObserverContext:
    """TID 1002 and 1004: a device observed, and which."""
    device = DeviceObserverIdentifyingAttributes(
        uid=envelope.device_uid,
        name=envelope.model_name,
        manufacturer_name=OWN_MANUFACTURER,
        model_name=envelope.model_name,
    )
    return ObserverContext(codes.DEVICE, device)


def requested_procedures(envelope: Envelope) -> list[Dataset]:
    """Items of Referenced Request Sequence (PS3.3 C.17.2): the source's requests, with all that type 2 demands."""
    with disable_value_validation():  # identifiers may be longer than their VR: see `subject.IDENTIFIERS`
        return [_requested(request, envelope.source.subject.attributes) for request in envelope.source.subject.requests]


def _requested(request: Dataset, study: Dataset) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID = study.StudyInstanceUID
    item.ReferencedStudySequence = []
    item.AccessionNumber = request.get("AccessionNumber", study.AccessionNumber)
    item.PlacerOrderNumberImagingServiceRequest = ""
    item.FillerOrderNumberImagingServiceRequest = ""
    item.RequestedProcedureID = request.get("RequestedProcedureID", "")
    item.RequestedProcedureDescription = request.get("RequestedProcedureDescription", "")
    item.RequestedProcedureCodeSequence = []
    return item


def _procedure(envelope: Envelope) -> Code:
    """What was examined: exactly one, or OHIF shows none."""
    return next(iter(envelope.source.subject.procedures), codes.UNSPECIFIED_CT)


def _predecessors(envelope: Envelope) -> list[Dataset] | None:
    before = envelope.run.predecessor
    if before is None:
        return None
    item = Dataset()
    item.SOPClassUID, item.SOPInstanceUID = before.sop_class_uid, before.sop_instance_uid
    item.SeriesInstanceUID, item.StudyInstanceUID = before.series_instance_uid, before.study_instance_uid
    return [item]


def container(name: Code, items: Iterable[ContentItem]) -> ContainerContentItem:
    """A section of a report."""
    container = ContainerContentItem(name, is_content_continuous=False, relationship_type="CONTAINS")
    content = ContentSequence()
    content.extend(items)
    container.ContentSequence = content
    return container


def text(name: Code, value: str) -> TextContentItem:
    """Words of a section."""
    return TextContentItem(name, ascii_text(value), "CONTAINS")
