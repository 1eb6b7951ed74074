"""The curve page and the summary as a document, for systems that show documents but no structured reports.

It is meant to be printed: black on white, and with the patient on every page unless the site leaves that out.
"""

from collections.abc import Iterator
from io import BytesIO
from textwrap import wrap
from typing import Any

from highdicom import ContributingEquipment, SOPClass
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.node.results import words
from survnode.node.results.documents.letterhead import letterhead
from survnode.node.results.envelope import Envelope, ResultObject, ascii_text, referenced
from survnode.node.results.findings import ReportedFindings
from survnode.node.results.pictures import curve
from survnode.node.results.pictures.palette import PRINT, fraction
from survnode.node.roles import ResultRole

LINE_CHARS = 100
HEAD_CHARS = 105  # of a line of the letterhead
PAGE_LINES = 29


def pdf(findings: ReportedFindings, envelope: Envelope) -> ResultObject:
    """The document as an Encapsulated PDF object (PS3.3 A.45.1)."""
    ds = envelope.build(
        _encapsulated,
        ResultRole.PDF,
        study_instance_uid=envelope.source.subject.attributes.StudyInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    ds.ConversionType = "WSD"
    ds.AcquisitionDateTime = None  # of what was converted, which was never acquired
    ds.BurnedInAnnotation = "YES" if envelope.layout.pdf_names_patient else "NO"
    ds.RecognizableVisualFeatures = "NO"
    ds.SourceInstanceSequence = [referenced(item) for item in envelope.source.evidence]
    ds.DocumentTitle = envelope.title(ResultRole.PDF)
    ds.ConceptNameCodeSequence = None
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument, ds.EncapsulatedDocumentLength = _padded(draw(findings, envelope))
    if envelope.source.subject.requests:
        ds.RequestAttributesSequence = list(envelope.source.subject.requests)
    return ResultObject(ResultRole.PDF, ds)


def draw(findings: ReportedFindings, envelope: Envelope) -> bytes:
    """The pages; the same bytes for the same run."""
    metadata = {
        "Title": envelope.title(ResultRole.PDF),
        "Creator": OWN_MANUFACTURER,
        "Producer": f"{OWN_MANUFACTURER} {envelope.run.software_version}",
        "CreationDate": envelope.created,
    }
    buffer = BytesIO()
    with PdfPages(buffer, metadata=metadata) as pages:
        for figure in (curve.page(findings, envelope.run.software_version, PRINT), *_text_pages(findings, envelope)):
            _concern(figure, envelope)
            pages.savefig(figure)
    return buffer.getvalue()


def _concern(figure: Figure, envelope: Envelope) -> None:
    """Write on top of a page whom it concerns, if the site wants that."""
    if envelope.layout.pdf_names_patient:
        for y, line in zip((0.985, 0.958), letterhead(envelope.source.subject.attributes), strict=True):
            shown = line if len(line) <= HEAD_CHARS else f"{line[: HEAD_CHARS - 3]}..."
            figure.text(
                curve.LEFT, y, shown, size=11.5, weight="bold", color=fraction(PRINT.plain), va="top", parse_math=False
            )


def _text_pages(findings: ReportedFindings, envelope: Envelope) -> Iterator[Figure]:
    """The report's words, and what computed the numbers."""
    paragraphs = [
        *words.comments(envelope.run, envelope.model),
        "",
        *words.summary(findings).split(words.LINE),
        "",
        *words.parameters(findings.model, findings.horizon, len(findings.member_survival)),
    ]
    lines = [line for paragraph in paragraphs for line in _wrapped(ascii_text(paragraph))]
    for start in range(0, len(lines), PAGE_LINES):
        yield _text_page(lines[start : start + PAGE_LINES])


def _text_page(lines: list[str]) -> Figure:
    figure = curve.blank(PRINT)
    curve.head(figure, PRINT)
    figure.text(
        curve.LEFT, 0.83, "\n".join(lines), size=11, family="DejaVu Sans Mono", color=fraction(PRINT.plain), va="top",
        linespacing=1.3, parse_math=False,
    )  # fmt: skip
    return figure


def _wrapped(line: str) -> list[str]:
    return wrap(line, LINE_CHARS, subsequent_indent="    ") or [""]


def _padded(document: bytes) -> tuple[bytes, int]:
    """``document`` of even length, as OB wants it, and its own length."""
    return document + b"\0" * (len(document) % 2), len(document)


def _encapsulated(*, contributing_equipment: list[ContributingEquipment], **shared: Any) -> Dataset:
    """What highdicom's constructors do for the classes that it has."""
    ds = SOPClass(sop_class_uid=EncapsulatedPDFStorage, modality="DOC", **shared)
    ds.ContributingEquipmentSequence = contributing_equipment
    return ds
