"""One node that has every peer that is here as a destination, and one study that it gets."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage, KeyObjectSelectionDocumentStorage, SecondaryCaptureImageStorage

from survnode.model.phantom.phantom import make_phantom, write_dicom

from ..integration.nodes import RunningNode
from . import peers
from .peers import DcmjsDimse, Folder, Orthanc

PEERS = ("orthanc", "storescp", "dcmjs_archive")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("acceptance")


@pytest.fixture(scope="session")
def orthanc(home: Path) -> Iterator[Orthanc]:
    with peers.orthanc(home / "orthanc") as peer:
        yield peer


@pytest.fixture(scope="session")
def storescp(home: Path) -> Iterator[Folder]:
    """It takes reports as Enhanced SR only."""
    classes = (EnhancedSRStorage, SecondaryCaptureImageStorage, KeyObjectSelectionDocumentStorage)
    with peers.storescp(home / "storescp", classes) as peer:
        yield peer


@pytest.fixture(scope="session")
def dcmjs() -> DcmjsDimse:
    return peers.dcmjs_dimse()


@pytest.fixture(scope="session")
def dcmjs_archive(home: Path, dcmjs: DcmjsDimse) -> Iterator[Folder]:
    with dcmjs.receiving(home / "dcmjs") as peer:
        yield peer


@pytest.fixture(scope="session")
def ct(home: Path) -> list[Path]:
    """A small thorax that needs no patient."""
    return write_dicom(make_phantom(11, shape=(80, 128, 128), spacing_mm=(4.0, 3.2, 3.2)), home / "ct")


@pytest.fixture(scope="session")
def study_instance_uid(ct: list[Path]) -> str:
    return str(dcmread(ct[0], stop_before_pixels=True).StudyInstanceUID)


@pytest.fixture(scope="session")
def node(home: Path, request: pytest.FixtureRequest) -> Iterator[RunningNode]:
    """A node whose destinations are the peers that are here; Orthanc has to commit, and knows where to say so."""
    here: dict[str, Any] = {}
    for name in PEERS:
        with suppress(pytest.skip.Exception):
            here[name] = request.getfixturevalue(name)
    running = RunningNode(home, {}, model="demo")
    sections = "".join(_destination(name, peer) for name, peer in here.items())
    running.config.write_text(running.config.read_text() + sections)
    running.start()
    if "orthanc" in here:
        here["orthanc"].knows(running.port)
    yield running
    assert running.stop() == 0


def _destination(name: str, peer: Orthanc | Folder) -> str:
    port = peer.dicom_port if isinstance(peer, Orthanc) else peer.port
    commitment = str(isinstance(peer, Orthanc)).lower()
    return (
        f'[[destinations]]\nname = "{name}"\nae_title = "{peer.ae_title}"\nhost = "127.0.0.1"\nport = {port}\n'
        f"commitment = {commitment}\ncommitment_timeout_s = 600\n"
    )


@pytest.fixture(scope="session")
def job(node: RunningNode, ct: list[Path], study_instance_uid: str) -> dict[str, Any]:
    """The job of the study, as a whole; DCMTK sends it to the node."""
    node.dcmsend(ct[0].parent)
    return node.await_job(study_instance_uid)


@pytest.fixture(scope="session")
def results(node: RunningNode, job: dict[str, Any]) -> dict[str, Path]:
    """The files that the job made, by their SOP Instance UID."""
    return {item["sop_instance_uid"]: node.data_dir / "results" / item["path"] for item in job["results"]}


def values_of(ds: Dataset) -> dict[str, Any]:
    """What a data set says, without the file around it; comparable whatever the encoding was."""
    found = ds.to_json_dict(bulk_data_threshold=1 << 30)
    return dict(sorted(found.items()))
