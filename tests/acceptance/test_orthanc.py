"""Orthanc as the PACS: it keeps CT and results, gives them back, commits to them, and shows them to those who ask."""

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage
from sqlalchemy import select, update

from survnode.node.contexts import COMMITMENT
from survnode.node.delivery import sender
from survnode.node.delivery.destination import Destination
from survnode.node.roles import RESULT_SOP_CLASSES
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import CommitmentState, RecordedObject
from survnode.node.state.tables import deliveries
from survnode.node.state.tables import results as results_table

from ..integration.nodes import FAST, RunningNode, dcmtk, evidence, until
from .peers import Orthanc

SERIES = {
    "SR": "AI survival report v1 (research use only)",
    "KO": "AI key images v1 (research use only)",
}


@pytest.fixture(scope="module")
def delivered(orthanc: Orthanc, node: RunningNode, ct: list[Path], job: dict[str, Any]) -> dict[str, Any]:
    """The job, once Orthanc has its results beside the CT."""
    command = [dcmtk("dcmsend"), "-aec", orthanc.ae_title, "127.0.0.1", str(orthanc.dicom_port), *map(str, ct)]
    subprocess.run(command, check=True, env=FAST, capture_output=True)
    node.await_delivered(job["job"], "orthanc")
    return job


@pytest.mark.usefixtures("delivered")
def test_it_files_the_results_in_the_study_of_the_ct(orthanc: Orthanc, study_instance_uid: str) -> None:
    found = orthanc.json(f"/studies/{orthanc.lookup(study_instance_uid)}/series")
    tags = [series["MainDicomTags"] for series in found]
    assert sorted(tag["Modality"] for tag in tags) == ["CT", "KO", "OT", "OT", "SR"]
    assert {tag["Modality"]: tag["SeriesDescription"] for tag in tags if tag["Modality"] in SERIES} == SERIES


@pytest.mark.usefixtures("delivered")
def test_every_object_comes_back_byte_for_byte(
    orthanc: Orthanc, results: dict[str, Path], ct: list[Path], study_instance_uid: str
) -> None:
    files = orthanc.files_of(study_instance_uid)
    sent = {**results, **{str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in ct}}
    assert set(files) == set(sent)
    for uid, path in sent.items():
        assert data_set_bytes(files[uid]) == data_set_bytes(path.read_bytes())


def data_set_bytes(file: bytes) -> bytes:
    """The file without preamble and file meta information: those are the keeper's own (PS3.10 7.1)."""
    meta_length = int.from_bytes(file[140:144], "little")
    return file[144 + meta_length :]


@pytest.mark.usefixtures("delivered")
def test_wado_gives_every_object_back(orthanc: Orthanc, results: dict[str, Path], study_instance_uid: str) -> None:
    for uid, path in results.items():
        ours = dcmread(path)
        where = f"/dicom-web/studies/{study_instance_uid}/series/{ours.SeriesInstanceUID}/instances/{uid}"
        body = orthanc.get(where, 'multipart/related; type="application/dicom"; transfer-syntax=*')
        start, end = body.index(b"\r\n\r\n") + 4, body.rindex(b"\r\n--")
        assert dcmread(BytesIO(body[start:end])) == ours


@pytest.mark.usefixtures("delivered")
def test_qido_finds_the_report_by_modality(orthanc: Orthanc, study_instance_uid: str) -> None:
    found = orthanc.json(f"/dicom-web/studies/{study_instance_uid}/series?Modality=SR&includefield=0008103E")
    assert [item["0008103E"]["Value"] for item in found] == [[SERIES["SR"]]]


@pytest.mark.usefixtures("delivered")
def test_c_find_finds_every_series_of_the_study(orthanc: Orthanc, study_instance_uid: str, tmp_path: Path) -> None:
    keys = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={study_instance_uid}", "Modality", "SeriesNumber"]
    command = [dcmtk("findscu"), "-S", "-X", "-od", str(tmp_path), "-aec", orthanc.ae_title]
    command += [part for key in keys for part in ("-k", key)]
    subprocess.run([*command, "127.0.0.1", str(orthanc.dicom_port)], check=True, env=FAST, capture_output=True)
    found = [dcmread(path, force=True) for path in tmp_path.glob("rsp*.dcm")]
    assert {(ds.Modality, int(ds.SeriesNumber)) for ds in found} == {
        ("CT", 1),
        ("SR", 9101),
        ("OT", 9102),
        ("KO", 9103),
        ("OT", 9104),
    }


def test_it_commits_to_every_result(node: RunningNode, delivered: dict[str, Any]) -> None:
    states = until("the commitment", lambda: commitments(node, delivered, lambda rows: "REQUESTED" not in rows))
    assert states == ["COMMITTED"] * 8


def commitments(node: RunningNode, job: dict[str, Any], done: Callable[[list[str]], bool]) -> list[str] | None:
    rows = [row for row in node.status.job(job["job"])["deliveries"] if row["destination"] == "orthanc"]
    states = [row["commitment"] for row in rows]
    return states if "NONE" not in states and done(states) else None


def test_it_is_asked_what_it_takes(orthanc: Orthanc) -> None:
    peer = Destination("orthanc", orthanc.ae_title, "127.0.0.1", orthanc.dicom_port)
    wanted = (*RESULT_SOP_CLASSES, COMMITMENT)
    assert set(sender.probe(peer, wanted)) == set(wanted)


def test_what_it_lost_it_does_not_commit_to_and_a_person_sees_that(
    orthanc: Orthanc, node: RunningNode, delivered: dict[str, Any]
) -> None:
    test_it_commits_to_every_result(node, delivered)
    lost = next(item["sop_instance_uid"] for item in delivered["results"] if item["role"] == "curve")
    orthanc.send("DELETE", f"/instances/{orthanc.lookup(lost)}")
    database = Database(node.data_dir / "survnode.db")
    with database.transaction() as connection:
        (result,) = fetch(
            connection, RecordedObject, select(results_table).where(results_table.c.sop_instance_uid == lost)
        )
        mine = (deliveries.c.result_id == result.id, deliveries.c.destination == "orthanc")
        connection.execute(update(deliveries).where(*mine).values(commitment=CommitmentState.NONE))
    states = until("the answer", lambda: commitments(node, delivered, lambda rows: "FAILED" in rows))
    assert sorted(states) == [*["COMMITTED"] * 7, "FAILED"]
    (shown,) = [row for row in node.status.job(delivered["job"])["deliveries"] if row["commitment"] == "FAILED"]
    assert "0x0112 no such object instance" in shown["commitment_error"]


def test_check_says_what_it_takes(node: RunningNode, orthanc: Orthanc) -> None:
    (found,) = [row for row in node.survnode("check") if row["what"] == "destination orthanc: classes"]
    assert found["ok"], orthanc
    assert found["detail"].endswith("reports go as Comprehensive 3D SR")
    assert "Storage Commitment" in found["detail"]


def test_what_is_sent_again_is_committed_again(node: RunningNode, delivered: dict[str, Any]) -> None:
    study = ("--study", delivered["study_instance_uid"], "--destination", "orthanc")
    assert [(row["objects"], row["note"]) for row in node.survnode("send", *study)] == [(8, "It is sent again.")]
    states = until("the commitment", lambda: commitments(node, delivered, lambda rows: set(rows) == {"COMMITTED"}))
    assert states == ["COMMITTED"] * 8


def test_a_withdrawal_reaches_it_beside_what_it_rejects(
    node: RunningNode, orthanc: Orthanc, delivered: dict[str, Any], study_instance_uid: str
) -> None:
    model = ("--model", delivered["device_uid"], "--study", study_instance_uid, "--destination", "orthanc")
    assert [(row["objects"], row["note"]) for row in node.survnode("send", *model, "--withdraw", "--yes")] == [
        (8, "Withdrawn.")
    ]
    node.await_delivered(delivered["job"], "orthanc")
    (found,) = orthanc.json(
        f"/dicom-web/studies/{study_instance_uid}/instances?SeriesNumber=9108&includefield=00081199"
    )
    assert found["00080016"]["Value"] == [KeyObjectSelectionDocumentStorage]
    note = dcmread(BytesIO(orthanc.files_of(study_instance_uid)[found["00080018"]["Value"][0]]))
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    assert evidence(note) == {item["sop_instance_uid"] for item in delivered["results"]}
