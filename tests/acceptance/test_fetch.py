"""Archives that others wrote as sources: they say how many images they hold, and send those that are missing."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.results.inspection.content import texts

from ..command_line import survnode
from ..integration.nodes import RunningNode, free_port
from . import peers
from .peers import Archive, Orthanc

IMAGES = 80


def a_study(seed: int, folder: Path) -> tuple[str, list[Path]]:
    paths = write_dicom(make_phantom(seed, shape=(IMAGES, 128, 128), spacing_mm=(4.0, 3.2, 3.2)), folder)
    return str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID), paths


@pytest.fixture(scope="module")
def node_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def dcmqrscp(tmp_path_factory: pytest.TempPathFactory, node_port: int) -> Iterator[Archive]:
    with peers.dcmqrscp(tmp_path_factory.mktemp("archive") / "dcmqrscp", node_port) as peer:
        yield peer


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with peers.orthanc(tmp_path_factory.mktemp("archive") / "orthanc", {"DicomAlwaysAllowGet": True}) as peer:
        yield peer


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, node_port: int, dcmqrscp: Archive, pacs: Orthanc
) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path_factory.mktemp("node"), {}, quiet_period_s=2.0)
    asked = "reconcile = true\nfetch_missing = true\n"
    text = running.config.read_text().replace("port = 0", f"port = {node_port}")
    text += section("dcmqrscp", dcmqrscp.ae_title, dcmqrscp.port) + asked
    text += section("orthanc", pacs.ae_title, pacs.dicom_port) + asked
    text += section("by-get", pacs.ae_title, pacs.dicom_port) + 'method = "get"\n'
    running.config.write_text(text)
    running.start()
    yield running
    assert running.stop() == 0


def section(name: str, ae_title: str, port: int) -> str:
    return f'[[sources]]\nname = "{name}"\nae_title = "{ae_title}"\nhost = "127.0.0.1"\nport = {port}\n'


def report_text(node: RunningNode, job: dict[str, Any]) -> str:
    (report,) = [item for item in job["results"] if item["role"] == "report"]
    return texts(dcmread(node.data_dir / "results" / report["path"]))


def refused(config: Path, *arguments: str) -> str:
    ended = survnode(*arguments, "--config", config)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    return ended.stderr


@pytest.mark.parametrize(("seed", "archive"), [(21, "dcmqrscp"), (22, "orthanc")])
def test_what_a_sender_lost_is_fetched_from_the_archive_and_the_report_says_that_all_is_there(
    node: RunningNode, dcmqrscp: Archive, pacs: Orthanc, tmp_path: Path, seed: int, archive: str
) -> None:
    uid, paths = a_study(seed, tmp_path / "ct")
    if archive == "orthanc":
        pacs.knows(node.port)
        Archive(pacs.ae_title, pacs.dicom_port).send(paths)
        calling = pacs.ae_title
    else:
        dcmqrscp.send(paths)
        calling = "MODALITY"
    command = ["/usr/bin/dcmsend", "-aet", calling, "-aec", "SURVNODE", "127.0.0.1", str(node.port)]
    subprocess.run([*command, *map(str, paths[: IMAGES // 2])], check=True, capture_output=True)
    job = node.await_job(uid)
    assert (job["version"], job["images"], job["reason"]) == (1, IMAGES, None)
    assert f"{IMAGES} of {IMAGES} instances, checked with the PACS" in report_text(node, job)
    study = node.status.study(uid)
    assert (study["check"], study["checked_with"]) == ("WHOLE", archive)
    assert [(row["received"], row["expected"]) for row in study["expected_series"]] == [(IMAGES, IMAGES)]
    assert len(node.jobs_of(uid)) == 1


@pytest.mark.parametrize(("seed", "source"), [(23, "dcmqrscp"), (24, "orthanc"), (25, "by-get")])
def test_a_study_is_fetched_by_its_accession_number_and_analysed(
    node: RunningNode, dcmqrscp: Archive, pacs: Orthanc, tmp_path: Path, seed: int, source: str
) -> None:
    uid, paths = a_study(seed, tmp_path / "ct")
    pacs.knows(node.port)
    (dcmqrscp if source == "dcmqrscp" else Archive(pacs.ae_title, pacs.dicom_port)).send(paths)
    accession = str(dcmread(paths[0], stop_before_pixels=True).AccessionNumber)
    (row,) = node.survnode("fetch", "--accession", accession, "--source", source, "--wait")
    assert (row["study_instance_uid"], row["standing"]) == (uid, "ANALYSED")
    assert (row["series"], row["instances"], row["received"], row["note"]) == (1, IMAGES, IMAGES, "")
    assert node.status.study(uid)["images"] == IMAGES


def test_what_is_fetched_is_shown_before(node: RunningNode, dcmqrscp: Archive, tmp_path: Path) -> None:
    uid, paths = a_study(26, tmp_path / "ct")
    dcmqrscp.send(paths)
    rows = node.survnode("fetch", "--since", "2000-01-01", "--dry-run")
    (row,) = [row for row in rows if row["study_instance_uid"] == uid]
    assert (row["instances"], row["received"], row["standing"]) == (IMAGES, 0, None)
    assert uid not in {study["study_instance_uid"] for study in node.status.studies()}


def test_nothing_that_fits_is_a_refusal_in_one_sentence(node: RunningNode) -> None:
    assert (
        refused(node.config, "fetch", "--accession", "NOBODY").strip()
        == "refused: dcmqrscp holds no study with CT that fits."
    )
    assert "whole UID or accession number" in refused(node.config, "fetch", "--accession", "P2*")
    assert "There is no source x" in refused(node.config, "fetch", "--accession", "1", "--source", "x")


def test_an_archive_that_does_not_know_the_node_is_a_refusal_in_one_sentence(
    node: RunningNode, dcmqrscp: Archive, pacs: Orthanc, tmp_path: Path
) -> None:
    uid, paths = a_study(27, tmp_path / "ct")
    dcmqrscp.send(paths)
    Archive(pacs.ae_title, pacs.dicom_port).send(paths)
    pacs.knows(node.port, "ANOTHER")
    assert "does it know SURVNODE" in refused(node.config, "fetch", "--study", uid, "--source", "orthanc")
    config = node.config.read_text()
    other = node.config.with_name("other.toml")
    other.write_text(config.replace('host = "127.0.0.1", port', 'ae_title = "STRANGER", host = "127.0.0.1", port', 1))
    assert "dcmqrscp does not know STRANGER: name it there" in refused(other, "fetch", "--study", uid)


def test_no_log_line_names_a_patient(node: RunningNode) -> None:
    log = node.log.read_text()
    assert "study.checked" in log
    shown = node.status.studies()
    assert [study["patient_id"] for study in shown if study["patient_id"] in log] == []
    assert "Phantom^" not in log
