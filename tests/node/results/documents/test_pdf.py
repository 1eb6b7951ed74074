import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from survnode.model.ct.volume import Volume
from survnode.node.results.documents.pdf import pdf
from survnode.node.results.envelope import Envelope, ResultObject, SourceStudy
from survnode.node.results.findings import DEMONSTRATION, findings_of
from survnode.node.results.identity import Layout
from survnode.node.roles import ResultRole

from ..conftest import Predict, a_run, a_series, find_tool, output_of, write


def made(source: SourceStudy, predict: Predict, **model: object) -> ResultObject:
    prediction = predict(**model)
    return pdf(findings_of(prediction, a_series(), 5), Envelope(source, a_run(), Layout(), prediction.model, "content"))


@pytest.fixture(scope="module")
def ds(source: SourceStudy, predict: Predict) -> Dataset:
    return dcmread(BytesIO(made(source, predict).encode()))


def words(ds: Dataset, folder: Path) -> str:
    (path,) = write([ResultObject(ResultRole.PDF, ds)], folder)
    path.write_bytes(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength])
    return output_of(find_tool("pdftotext"), "-layout", path, "-")


def test_the_same_run_gives_the_same_bytes(ds: Dataset, source: SourceStudy, predict: Predict) -> None:
    again = dcmread(BytesIO(made(source, predict).encode()))
    assert again.EncapsulatedDocument == ds.EncapsulatedDocument
    assert (again.SOPInstanceUID, again.SeriesInstanceUID) == (ds.SOPInstanceUID, ds.SeriesInstanceUID)


def test_the_document_is_dated_by_the_job(ds: Dataset) -> None:
    assert b"/CreationDate (D:20190304050607" in ds.EncapsulatedDocument


def test_it_is_a_whole_pdf_of_even_length(ds: Dataset) -> None:
    document = ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]
    assert document.startswith(b"%PDF-")
    assert document.rstrip().endswith(b"%%EOF")
    assert len(ds.EncapsulatedDocument) % 2 == 0
    assert ds.MIMETypeOfEncapsulatedDocument == "application/pdf"


def test_it_says_the_numbers_and_what_they_are_not_for(ds: Dataset, tmp_path: Path) -> None:
    said = " ".join(words(ds, tmp_path).split())
    for expected in ("48 %", "alive at 24 months", "24 months: 48 %", "rank 1:", "RESEARCH USE ONLY", "ab" * 32):
        assert expected in said


def test_a_demonstration_model_says_so_on_the_first_page_and_in_the_words(
    source: SourceStudy, predict: Predict, tmp_path: Path
) -> None:
    said = words(made(source, predict, demonstration=True).dataset, tmp_path)
    assert said.count(DEMONSTRATION) == 2


def test_every_page_says_whom_it_concerns(ds: Dataset, tmp_path: Path) -> None:
    pages = words(ds, tmp_path).strip("\f").split("\f")
    assert len(pages) > 1
    for page in pages:
        for part in ("Doe, Jane", "SECRET-1", "1950-01-02", "Accession number: A1", "Study of 2025-01-02"):
            assert part in page
    assert ds.BurnedInAnnotation == "YES"


def test_a_site_can_leave_the_patient_out(source: SourceStudy, predict: Predict, tmp_path: Path) -> None:
    prediction = predict()
    layout = Layout(pdf_names_patient=False)
    envelope = Envelope(source, a_run(), layout, prediction.model, "content")
    ds = pdf(findings_of(prediction, a_series(), 5), envelope).dataset
    said = words(ds, tmp_path)
    assert not any(part in said for part in ("Doe", "Jane", "SECRET", "1950"))
    assert ds.BurnedInAnnotation == "NO"


def test_it_names_the_images_that_it_was_made_from(ds: Dataset, volume: Volume) -> None:
    named = {item.ReferencedSOPInstanceUID for item in ds.SourceInstanceSequence}
    assert named == {image.sop_instance_uid for image in volume.images}


def test_dcmtk_takes_the_same_document_out_of_it(ds: Dataset, tmp_path: Path) -> None:
    tool = find_tool("dcm2pdf", "/usr/bin")
    (path,) = write([ResultObject(ResultRole.PDF, ds)], tmp_path)
    subprocess.run([tool, path, tmp_path / "out.pdf"], check=True, timeout=60)
    assert (tmp_path / "out.pdf").read_bytes() == ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]
