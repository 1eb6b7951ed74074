from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from survnode.node.results.documents.withdrawal import withdrawal
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.inspection.content import references
from survnode.node.results.inspection.inspection import inspect
from survnode.node.roles import ResultRole

from ..conftest import a_run


@pytest.fixture(scope="module")
def sent(results: tuple[ResultObject, ...]) -> list[Dataset]:
    """The results as they lie on the disk."""
    return [dcmread(BytesIO(item.encode())) for item in results]


@pytest.fixture(scope="module")
def note(sent: list[Dataset]) -> ResultObject:
    return withdrawal(sent, a_run())


def test_it_rejects_every_object_of_the_result_by_uid_and_class(note: ResultObject, sent: list[Dataset]) -> None:
    items = [item for item in note.dataset.ContentSequence if item.ValueType in {"IMAGE", "COMPOSITE"}]
    named = [next(references(item)) for item in items]
    value_types = {ds.SOPInstanceUID: "IMAGE" if "PixelData" in ds else "COMPOSITE" for ds in sent}
    assert {it.sop_instance_uid: it.sop_class_uid for it in named} == {ds.SOPInstanceUID: ds.SOPClassUID for ds in sent}
    assert [item.ValueType for item in items] == [value_types[it.sop_instance_uid] for it in named]
    assert len(items) == len(sent)


def test_its_title_is_the_rejection(note: ResultObject) -> None:
    (title,) = note.dataset.ConceptNameCodeSequence
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113001", "DCM")
    assert note.dataset.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    assert note.dataset.Modality == "KO"


def test_its_evidence_is_the_results_in_their_series(note: ResultObject, sent: list[Dataset]) -> None:
    (study,) = note.dataset.CurrentRequestedProcedureEvidenceSequence
    listed = {
        (series.SeriesInstanceUID, item.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert listed == {(ds.SeriesInstanceUID, ds.SOPInstanceUID) for ds in sent}


def test_patient_and_study_are_those_of_the_results(note: ResultObject) -> None:
    ds = note.dataset
    assert (ds.PatientName, ds.PatientID, ds.StudyInstanceUID) == ("Doe^Jane", "SECRET-1", "1.2.3")
    assert (note.role, ds.SeriesNumber) == (ResultRole.WITHDRAWAL, 9108)


def test_this_software_is_not_named_as_the_scanner(note: ResultObject) -> None:
    made_by = note.dataset.ContributingEquipmentSequence
    assert {item.PurposeOfReferenceCodeSequence[0].CodeValue for item in made_by} == {"109102"}


def test_the_same_withdrawal_gives_the_same_bytes_whatever_the_order(note: ResultObject, sent: list[Dataset]) -> None:
    assert withdrawal(sent[::-1], a_run()).encode() == note.encode()


def test_the_withdrawal_of_other_objects_is_another_note(note: ResultObject, sent: list[Dataset]) -> None:
    other = withdrawal(sent[:-1], a_run())
    assert {other.sop_instance_uid, other.series_instance_uid}.isdisjoint(
        {note.sop_instance_uid, note.series_instance_uid}
    )


def test_it_stands_the_nodes_own_inspection(note: ResultObject, sent: list[Dataset]) -> None:
    inspect([note], SourceStudy(tuple(sent)))
