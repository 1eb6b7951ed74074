"""The main job with real processes and real peers: what comes in, what goes out, and what happens when it breaks."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)

from survnode.model.phantom.phantom import make_phantom, write_dicom

from .nodes import FAST, Pacs, RunningNode, dcmtk, evidence, free_port, numbers, until

pytestmark = pytest.mark.filterwarnings("ignore:The value length:UserWarning")  # pydicom on UIDs of real files


@pytest.fixture(scope="module")
def pacs() -> Iterator[Pacs]:
    destination = Pacs()
    yield destination
    destination.stop()


@pytest.fixture(scope="module")
def down_port() -> int:
    """Where a destination will listen that is down until a test starts it."""
    return free_port()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs, down_port: int) -> Iterator[RunningNode]:
    destinations = {"pacs": pacs.start(), "down": down_port}
    running = RunningNode(tmp_path_factory.mktemp("node"), destinations, model="demo")  # long enough to be interrupted
    running.start()
    yield running
    assert running.stop() == 0


def rewritten(paths: list[Path], folder: Path, study: str, **attributes: object) -> list[Path]:
    """Copies of a series as another study."""
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths, start=1):
        ds = dcmread(path)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
        ds.BodyPartExamined = "CHEST"  # the phantom is as small as a head, of which no report would be made
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.1.{number}")
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
        written.append(folder / f"{number:04d}.dcm")
        ds.save_as(written[-1], enforce_file_format=True)
    return written


def deliveries(node: RunningNode, job: int, destination: str) -> list[dict[str, Any]]:
    return [row for row in node.status.job(job)["deliveries"] if row["destination"] == destination]


def report_of(found: Sequence[Dataset]) -> Dataset:
    return next(ds for ds in found if ds.SOPClassUID == Comprehensive3DSRStorage)


def test_dcmtk_sends_a_real_patient_and_dcmtk_receives_the_results(tmp_path: Path, lung1_series: list[Path]) -> None:
    port, inbox = free_port(), tmp_path / "inbox"
    inbox.mkdir()
    command = [dcmtk("storescp"), "-aet", "PACS", "-od", str(inbox), "-fe", ".dcm", "--bit-preserving", str(port)]
    storescp = subprocess.Popen(command, env=FAST)
    running = RunningNode(tmp_path, {"dcmtk": port}, model="demo")
    try:
        running.start()
        running.dcmsend(lung1_series[0].parent)
        uid = str(dcmread(lung1_series[0], stop_before_pixels=True).StudyInstanceUID)
        job = running.await_job(uid)
        running.await_delivered(job["job"], "dcmtk")
    finally:
        running.stop()
        storescp.terminate()
        storescp.wait()

    found = [dcmread(path) for path in sorted(inbox.iterdir(), key=lambda path: path.stat().st_mtime_ns)]
    captures = [ds for ds in found if ds.SOPClassUID == SecondaryCaptureImageStorage and ds.SeriesNumber == 9102]
    curves = [ds for ds in found if ds.SOPClassUID == SecondaryCaptureImageStorage and ds.SeriesNumber == 9104]
    key_objects = [ds for ds in found if ds.SOPClassUID == KeyObjectSelectionDocumentStorage]
    assert [len(found), len(captures), len(curves), len(key_objects)] == [8, 5, 1, 1]
    assert [ds.InstanceNumber for ds in captures] == [1, 2, 3, 4, 5]  # in the order in which they arrived

    summary = running.prediction(job["job"])
    values = numbers(report_of(found))
    months = [values[f"CIF-M{month:02d}"] for month in range(1, 25)]
    assert months == [[value] for value in summary["cumulative_incidence_percent"]]
    assert next(iter(values.values())) == [summary["survival_at_horizon_percent"]]
    weights = [item["weight_percent"] for item in summary["ranked_slices"]]
    assert weights in list(values.values())
    assert weights == sorted(weights, reverse=True)
    assert sum(item["weight_percent"] for item in summary["attention"]) == pytest.approx(100, abs=0.5)

    ranked = [item["sop_instance_uid"] for item in summary["ranked_slices"]]
    assert [ds.SourceImageSequence[0].ReferencedSOPInstanceUID for ds in captures] == ranked
    assert evidence(key_objects[0]) == set(ranked)
    source = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in lung1_series}
    assert evidence(report_of(found)) == source
    patient = dcmread(lung1_series[0], stop_before_pixels=True)
    for ds in found:
        assert (ds.PatientID, ds.StudyInstanceUID) == (patient.PatientID, patient.StudyInstanceUID)
        assert str(patient.PatientID) not in running.log.read_text()


def test_the_same_study_twice_gives_one_set_and_a_late_image_a_new_version(
    node: RunningNode, pacs: Pacs, thorax64_series: list[Path], tmp_path: Path
) -> None:
    uid = "1.2.3.100"
    paths = rewritten(thorax64_series, tmp_path, uid)
    assert set(node.send(paths[:-1])) == {0}
    first = node.await_job(uid)
    node.await_delivered(first["job"], "pacs")
    assert set(node.send(paths[:-1])) == {0}
    assert set(node.send(paths[-1:])) == {0}
    second = node.await_job(uid, version=2)
    node.await_delivered(second["job"], "pacs")

    assert [job["version"] for job in node.jobs_of(uid)] == [1, 2]
    found = pacs.of_study(uid)
    assert len(found) == 16
    assert len({ds.SOPInstanceUID for ds in found}) == 16
    reports = [ds for ds in found if ds.SOPClassUID == Comprehensive3DSRStorage]
    predecessors = reports[1].PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert [item.ReferencedSOPInstanceUID for item in predecessors] == [reports[0].SOPInstanceUID]
    assert "PredecessorDocumentsSequence" not in reports[0]
    assert {ds.SeriesInstanceUID for ds in found[:8]}.isdisjoint({ds.SeriesInstanceUID for ds in found[8:]})


def test_a_worker_killed_in_the_middle_of_a_job_costs_nothing(
    node: RunningNode, pacs: Pacs, thorax64_series: list[Path], tmp_path: Path
) -> None:
    uid = "1.2.3.101"
    node.send(rewritten(thorax64_series, tmp_path, uid))
    node.await_job(uid, states=["RUNNING"])
    os.kill(node.worker_pid(), signal.SIGKILL)
    job = node.await_job(uid)
    node.await_delivered(job["job"], "pacs")
    assert (job["kills"], job["attempts"]) == (0, 2)  # somebody else killed its worker
    found = pacs.of_study(uid)
    assert len(found) == len({ds.SOPInstanceUID for ds in found}) == 8
    assert [row["tries"] for row in deliveries(node, job["job"], "pacs")] == [1] * 8


def missing_slice(paths: list[Path], folder: Path, study: str) -> list[Path]:
    return [path for number, path in enumerate(rewritten(paths, folder, study)) if number != 40]


def without_lungs(paths: list[Path], folder: Path, study: str) -> list[Path]:
    written = rewritten(paths, folder, study)
    for path in written:
        ds = dcmread(path)
        water = round((0 - float(ds.RescaleIntercept)) / float(ds.RescaleSlope))
        ds.PixelData = np.full((ds.Rows, ds.Columns), water, ds.pixel_array.dtype).tobytes()
        ds.save_as(path)
    return written


def truncated(paths: list[Path], folder: Path, study: str) -> list[Path]:
    """One file breaks off in its pixels, as after a full disk at the sender."""
    written = rewritten(paths, folder, study)
    ds = dcmread(written[40])
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]
    ds.save_as(written[40])
    return written


def magnetic_resonance(paths: list[Path], folder: Path, study: str) -> list[Path]:
    return rewritten(paths, folder, study, Modality="MR")


@pytest.mark.parametrize(
    ("study", "spoil", "reason"),
    [
        ("1.2.3.110", missing_slice, "IRREGULAR_SPACING"),
        ("1.2.3.111", without_lungs, "NO_LUNGS"),
        ("1.2.3.112", truncated, "UNREADABLE_PIXELS"),
        ("1.2.3.113", magnetic_resonance, "NOT_CT"),
    ],
)
def test_what_cannot_be_analysed_gets_a_report_with_the_reason(
    node: RunningNode,
    pacs: Pacs,
    thorax64_series: list[Path],
    tmp_path: Path,
    study: str,
    spoil: Callable[[list[Path], Path, str], list[Path]],
    reason: str,
) -> None:
    paths = spoil(thorax64_series, tmp_path, study)
    assert set(node.send(paths)) == {0}
    job = node.await_job(study)
    assert job["reason"] == reason
    node.await_delivered(job["job"], "pacs")
    found = pacs.of_study(study)
    assert [ds.SOPClassUID for ds in found] == [Comprehensive3DSRStorage]
    assert numbers(found[0]) == {}
    assert node.prediction(job["job"])["reason"] == reason
    assert evidence(found[0]) == {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths}


def test_what_is_no_ct_is_counted_and_what_is_no_data_set_is_refused(node: RunningNode, tmp_path: Path) -> None:
    mr, garbage = write_dicom(make_phantom(3, shape=(2, 32, 32), spacing_mm=(3.0, 8.0, 8.0)), tmp_path)
    ds = dcmread(mr)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = MRImageStorage
    ds.save_as(mr)
    assert node.send([mr]) == [0]
    uid = str(ds.StudyInstanceUID)
    until("an end in the open", lambda: node.status.study(uid)["state"] == "IGNORED" or None)
    assert node.jobs_of(uid) == []
    head = garbage.read_bytes()
    garbage.write_bytes(head[: head.index(b"\x08\x00\x08\x00CS")] + bytes(range(256)) * 4)
    before = len(node.status.studies())
    assert node.send_as_ct(garbage) in {0xA900, 0xC000}
    assert len(node.status.studies()) == before


@dataclass(frozen=True)
class Cut:
    """A node that was killed between two images and started again, and the images of its two studies."""

    node: RunningNode
    pacs: Pacs
    whole: list[Path]  # all of them acknowledged before it was killed
    halved: list[Path]  # the first 15 of them acknowledged before, the others after


WHOLE, HALVED = "1.2.3.120", "1.2.3.121"


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory, thorax64_series: list[Path]) -> Iterator[Cut]:
    home, pacs = tmp_path_factory.mktemp("cut"), Pacs()
    running = RunningNode(home, {"pacs": pacs.start()}, quiet_period_s=5)
    whole, halved = (rewritten(thorax64_series, home / uid, uid) for uid in (WHOLE, HALVED))
    try:
        running.start()
        assert set(running.send(whole)) == {0}
        assert set(running.send(halved[:15])) == {0}
        running.kill()
        assert running.jobs_of(WHOLE) == running.jobs_of(HALVED) == []
        running.start()  # which takes longer than the quiet period that was left
        assert set(running.send(halved[15:])) == {0}
        yield Cut(running, pacs, whole, halved)
    finally:
        running.stop()
        pacs.stop()


def test_a_node_killed_after_the_last_acknowledged_image_completes_the_study(cut: Cut) -> None:
    job = cut.node.await_job(WHOLE)
    cut.node.await_delivered(job["job"], "pacs")
    found = cut.pacs.of_study(WHOLE)
    assert len({ds.SOPInstanceUID for ds in found}) == len(found) == 8
    assert cut.node.status.study(WHOLE)["images"] == len(cut.whole)


def test_a_study_that_the_end_of_a_node_cut_in_two_is_judged_whole(cut: Cut) -> None:
    cut.node.await_job(HALVED)
    (job,) = cut.node.jobs_of(HALVED)
    assert (job["version"], cut.node.status.job(job["job"])["images"]) == (1, len(cut.halved))


def test_a_destination_that_is_down_gets_its_results_when_it_is_back_and_holds_up_no_other(
    node: RunningNode, pacs: Pacs, down_port: int, thorax64_series: list[Path], tmp_path: Path
) -> None:
    uid, back = "1.2.3.130", Pacs(down_port)
    node.send(rewritten(thorax64_series, tmp_path / "ct", uid))
    job = node.await_job(uid)["job"]
    node.await_delivered(job, "pacs")
    until(
        "a try at the destination that is down",
        lambda: next((row for row in deliveries(node, job, "down") if row["tries"]), None),
    )
    assert {row["state"] for row in deliveries(node, job, "down")} == {"WAITING"}
    try:
        back.start()
        node.await_delivered(job, "down")
    finally:
        back.stop()
    assert len(pacs.of_study(uid)) == len(back.of_study(uid)) == 8
    assert [ds.SOPInstanceUID for ds in back.of_study(uid)] == [ds.SOPInstanceUID for ds in pacs.of_study(uid)]
