"""Identifiers that are longer than the standard allows: the results lie where the PACS keeps the CT."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation

from survnode.model.ct.volume import read_headers
from survnode.model.errors import Reason
from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.contexts import Answer
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import Outgoing, send
from survnode.node.results.bundle import not_analysed
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.inspection.inspection import inspect

from ..node.results.conftest import a_run, write
from .peers import Orthanc

IDENTIFIERS = {
    "PatientID": "HOSPITAL-OF-A-VERY-LONG-NAME/DEPARTMENT-OF-RADIOLOGY/PATIENT-NUMBER/000123",
    "AccessionNumber": "RIS-2025-0000012345678",
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT whose patient and order have names of their own length."""
    found = write_dicom(make_phantom(17, shape=(4, 16, 16)), tmp_path_factory.mktemp("ct"), study="71")
    with disable_value_validation():
        for path in found:
            ds = dcmread(path)
            for keyword, value in IDENTIFIERS.items():
                setattr(ds, keyword, value)
            ds.save_as(path)
    return found


@pytest.fixture(scope="module")
def results(paths: list[Path]) -> tuple[ResultObject, ...]:
    with disable_value_validation():
        source = SourceStudy(tuple(read_headers(paths)))
        made = not_analysed(source, Reason.TOO_FEW_SLICES, "", a_run(), None)
        inspect(made, source)
    return made


def stored(orthanc: Orthanc, paths: Sequence[Path]) -> list[Answer]:
    with disable_value_validation():
        headers: list[Dataset] = read_headers(paths)
    objects = [
        Outgoing(str(ds.SOPClassUID), str(ds.SOPInstanceUID), path) for ds, path in zip(headers, paths, strict=True)
    ]
    peer = Destination("orthanc", orthanc.ae_title, "127.0.0.1", orthanc.dicom_port)
    return [outcome.answer for outcome in send(peer, objects)]


def test_results_lie_under_the_same_patient_study_and_order(
    orthanc: Orthanc, paths: list[Path], results: tuple[ResultObject, ...], tmp_path: Path
) -> None:
    before = set(orthanc.json("/patients"))
    assert set(stored(orthanc, paths)) == {Answer.STORED}
    assert stored(orthanc, write(results, tmp_path)) == [Answer.STORED]
    (patient,) = set(orthanc.json("/patients")) - before
    known = orthanc.json(f"/patients/{patient}")
    assert known["MainDicomTags"]["PatientID"] == IDENTIFIERS["PatientID"]
    (study,) = known["Studies"]
    about = orthanc.json(f"/studies/{study}")
    assert about["MainDicomTags"]["AccessionNumber"] == IDENTIFIERS["AccessionNumber"]
    kinds = [orthanc.json(f"/series/{series}")["MainDicomTags"]["Modality"] for series in about["Series"]]
    assert sorted(kinds) == ["CT", "SR"]
