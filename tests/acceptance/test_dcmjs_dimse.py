"""dcmjs-dimse, which others wrote in JavaScript: it sends a CT to the node, and gets the results."""

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from survnode.model.phantom.phantom import make_phantom, write_dicom

from ..integration.nodes import RunningNode, evidence, numbers
from .conftest import values_of
from .peers import DcmjsDimse, Folder


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    phantom = make_phantom(12, shape=(60, 96, 96), spacing_mm=(5.0, 4.2, 4.2))
    return write_dicom(phantom, tmp_path_factory.mktemp("dcmjs-ct"), study="2")


@pytest.fixture(scope="module")
def its_job(
    dcmjs: DcmjsDimse,
    dcmjs_archive: Folder,  # noqa: ARG001  without it the node would not know it
    node: RunningNode,
    sent: list[Path],
) -> dict[str, Any]:
    """The job of a study that it sent, its results delivered to it."""
    assert dcmjs.send(node.port, sent) == [0x0000] * len(sent)
    job = node.await_job(str(dcmread(sent[0], stop_before_pixels=True).StudyInstanceUID))
    node.await_delivered(job["job"], "dcmjs_archive")
    return job


@pytest.fixture(scope="module")
def received(dcmjs_archive: Folder, its_job: dict[str, Any]) -> dict[str, Dataset]:
    """What it got, by SOP Instance UID."""
    ours = {item["sop_instance_uid"] for item in its_job["results"]}
    return {uid: ds for uid, ds in dcmjs_archive.received().items() if uid in ours}


def test_every_image_that_it_sends_is_kept_as_it_was(
    its_job: dict[str, Any], node: RunningNode, sent: list[Path]
) -> None:
    kept = {
        str(ds.SOPInstanceUID): ds
        for path in (node.data_dir / "received/studies").rglob("*.dcm")
        if (ds := dcmread(path))
    }
    for path in sent:
        original = dcmread(path)
        assert values_of(kept[str(original.SOPInstanceUID)]) == values_of(original)
    assert its_job["images"] == len(sent)


def test_it_gets_a_report_on_the_images_that_it_sent(
    received: dict[str, Dataset], node: RunningNode, its_job: dict[str, Any], sent: list[Path]
) -> None:
    (report,) = [ds for ds in received.values() if ds.Modality == "SR"]
    assert report.SOPClassUID == Comprehensive3DSRStorage
    assert evidence(report) == {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in sent}
    told = next(iter(numbers(report).values()))
    assert told == [node.prediction(its_job["job"])["survival_at_horizon_percent"]]


def test_it_gets_every_object_as_it_was_made(
    received: dict[str, Dataset], node: RunningNode, its_job: dict[str, Any]
) -> None:
    assert len(received) == 8
    for item in its_job["results"]:
        ours = dcmread(node.data_dir / "results" / item["path"])
        assert values_of(received[item["sop_instance_uid"]]) == values_of(ours)
