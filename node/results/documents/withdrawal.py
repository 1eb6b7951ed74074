"""The rejection note: a key-object document that says that earlier results are not to be used (IHE IOCM).

It rejects and deletes nothing by itself: what a PACS does with what it names is the PACS's own rule.
"""

from collections.abc import Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset

from survnode.node.results import codes, words
from survnode.node.results.documents.report import device_context, requested_procedures
from survnode.node.results.envelope import Envelope, ResultObject, SourceStudy
from survnode.node.results.identity import Layout, ResultRun, digest
from survnode.node.roles import ResultRole


def withdrawal(withdrawn: Sequence[Dataset], run: ResultRun, layout: Layout | None = None) -> ResultObject:
    """The note that rejects ``withdrawn``: result objects of one study, as they were sent, at least one."""
    source = SourceStudy(tuple(sorted(withdrawn, key=lambda ds: str(ds.SOPInstanceUID))))  # one order, so one encoding
    envelope = Envelope(source, run, layout or Layout(), None, digest(["withdrawn"]))
    content = KeyObjectSelection(
        document_title=codes.REJECTED_FOR_QUALITY,
        referenced_objects=[_as_read_by_highdicom(ds) for ds in source.headers],
        observer_device_context=device_context(envelope),
        description=words.withdrawal(),
    )
    content[0].ContinuityOfContent = "SEPARATE"
    ds = envelope.build(
        KeyObjectSelectionDocument,
        ResultRole.WITHDRAWAL,
        evidence=envelope.patientless(),
        content=content,
        requested_procedures=requested_procedures(envelope) or None,
    )
    for item in ds.ContentSequence:
        if item.ValueType in {"IMAGE", "COMPOSITE"}:
            del item.ConceptNameCodeSequence  # TID 2010 names none, but highdicom cannot build without
    return ResultObject(ResultRole.WITHDRAWAL, ds)


def _as_read_by_highdicom(ds: Dataset) -> Dataset:
    """What it reads to know an image from another object."""
    item = Dataset()
    item.SOPClassUID, item.SOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    if "Rows" in ds:
        item.Rows = item.Columns = 1
    return item
