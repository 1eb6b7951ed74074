"""The key-object selection: the CT images that the model weighed most, so that any viewer can jump to them."""

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset

from survnode.node.results import codes, words
from survnode.node.results.documents.report import device_context, requested_procedures
from survnode.node.results.envelope import Envelope, ResultObject
from survnode.node.results.findings import RankedSlice, ReportedFindings
from survnode.node.roles import ResultRole


def key_objects(findings: ReportedFindings, envelope: Envelope) -> ResultObject:
    """The ranked slices as a Key Object Selection (TID 2010), in the order of their rank."""
    content = KeyObjectSelection(
        document_title=codes.FOR_RESEARCH,
        referenced_objects=[_image(item) for item in findings.slices],
        observer_device_context=device_context(envelope),
        description=words.key_objects(findings),
    )
    content[0].ContinuityOfContent = "SEPARATE"
    shown = {item.image.sop_instance_uid for item in findings.slices}
    ds = envelope.build(
        KeyObjectSelectionDocument,
        ResultRole.KEY_OBJECTS,
        evidence=envelope.patientless(shown),
        content=content,
        requested_procedures=requested_procedures(envelope) or None,
    )
    images = [item for item in ds.ContentSequence if item.ValueType == "IMAGE"]
    for item, ranked in zip(images, findings.slices, strict=True):
        del item.ConceptNameCodeSequence  # TID 2010 names none, but highdicom cannot build without
        if ranked.image.frame_number is not None:
            item.ReferencedSOPSequence[0].ReferencedFrameNumber = ranked.image.frame_number
    return ResultObject(ResultRole.KEY_OBJECTS, ds)


def _image(item: RankedSlice) -> Dataset:
    """What highdicom reads to know an image from another object."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = item.image.sop_class_uid, item.image.sop_instance_uid
    ds.Rows = ds.Columns = 1
    return ds
