"""PACS and clients that others wrote, started on loopback."""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from platformdirs import user_cache_path
from pydicom import Dataset, dcmread

from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import echo
from survnode.node.errors import DeliveryFailed

from ..integration.nodes import FAST, dcmtk, free_port, until

ORTHANC = Path("/usr/sbin/Orthanc")
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
DCMJS_DIMSE = "dcmjs-dimse@0.3.3"
DCMJS_SCRIPT = Path(__file__).with_name("dcmjs.cjs")
OHIF, PUPPETEER = "@ohif/app@3.13.2", "puppeteer-core@24.43.1"
OHIF_SCRIPT = Path(__file__).with_name("ohif.cjs")
CHROMIUM = Path("/usr/bin/chromium")
START_S = 60.0
NPM_S = 300.0
LOOK_S = 600.0


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc with its DICOMweb plugin."""

    ae_title: str
    dicom_port: int
    http_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def get(self, path: str, accept: str = "application/json") -> bytes:
        with urlopen(Request(f"{self.url}{path}", headers={"Accept": accept}), timeout=60) as response:
            content: bytes = response.read()
        return content

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def send(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.url}{path}", data=content, method=method), timeout=120) as response:
            return json.loads(response.read() or b"null")

    def send_bytes(self, path: str, content: bytes) -> None:
        with urlopen(Request(f"{self.url}{path}", data=content, method="POST"), timeout=120) as response:
            response.read()

    def lookup(self, uid: str) -> str:
        """Orthanc's own name for a study or an instance."""
        with urlopen(Request(f"{self.url}/tools/lookup", data=uid.encode()), timeout=60) as response:
            return str(json.loads(response.read())[0]["ID"])

    def knows(self, node_port: int, ae_title: str = "SURVNODE") -> None:
        """Name the node as one of its modalities: it answers to those, and sends to those."""
        self.send("PUT", "/modalities/survnode", {"AET": ae_title, "Host": "127.0.0.1", "Port": node_port})

    def files_of(self, study_instance_uid: str) -> dict[str, bytes]:
        """The file of each instance of a study by its UID."""
        found = self.json(f"/studies/{self.lookup(study_instance_uid)}/instances")
        return {
            item["MainDicomTags"]["SOPInstanceUID"]: self.get(f"/instances/{item['ID']}/file", "*/*") for item in found
        }


@contextmanager
def orthanc(home: Path, more: dict[str, Any] | None = None) -> Iterator[Orthanc]:
    """An Orthanc of its own folder and ports, with more settings if they are given."""
    for path in (ORTHANC, DICOMWEB):
        if not path.exists():
            pytest.skip(f"the peer Orthanc ({path}) is absent")
    home.mkdir()
    peer = Orthanc("ORTHANC", free_port(), free_port())
    settings = {
        "Name": "acceptance",
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "Plugins": [str(DICOMWEB)],
        "DicomAet": peer.ae_title,
        "DicomPort": peer.dicom_port,
        "HttpPort": peer.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowFind": True,
        "TcpNoDelay": True,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
    } | (more or {})
    (home / "orthanc.json").write_text(json.dumps(settings))
    with (
        (home / "orthanc.log").open("wb") as log,
        _running([str(ORTHANC), str(home / "orthanc.json")], stdout=log, stderr=log),
    ):
        until("the start of Orthanc", lambda: _answer(peer), START_S)
        yield peer


def _answer(peer: Orthanc) -> Any:
    try:
        return peer.json("/dicom-web/studies?limit=1") is not None or None
    except (URLError, OSError):
        return None


@dataclass(frozen=True)
class Folder:
    """A peer that writes what it gets to a folder."""

    ae_title: str
    port: int
    path: Path

    def received(self) -> dict[str, Dataset]:
        """What it got, by SOP Instance UID."""
        found = [dcmread(path) for path in self.path.iterdir() if path.is_file()]
        return {str(ds.SOPInstanceUID): ds for ds in found}


@contextmanager
def storescp(home: Path, sop_classes: Sequence[str]) -> Iterator[Folder]:
    """DCMTK's storescp, which accepts only ``sop_classes``."""
    tool = dcmtk("storescp")
    home.mkdir()
    peer = Folder("STORESCP", free_port(), home / "received")
    peer.path.mkdir()
    contexts = [f"PresentationContext{i} = {uid}\\Uncompressed" for i, uid in enumerate(sop_classes, start=1)]
    (home / "storescp.cfg").write_text(
        "\n".join(
            [
                "[[TransferSyntaxes]]",
                "[Uncompressed]",
                "TransferSyntax1 = LittleEndianExplicit",
                "TransferSyntax2 = LittleEndianImplicit",
                "[[PresentationContexts]]",
                "[Results]",
                *contexts,
                "[[Profiles]]",
                "[Default]",
                "PresentationContexts = Results",
                "",
            ]
        )
    )
    command = [tool, "-xf", str(home / "storescp.cfg"), "Default", "-aet", peer.ae_title]
    command += ["-od", str(peer.path), str(peer.port)]
    with (home / "storescp.log").open("wb") as log, _running(command, stdout=log, stderr=log, env=FAST):
        probe = Destination("storescp", peer.ae_title, "127.0.0.1", peer.port)
        until("the start of storescp", lambda: True if _echoes(probe) else None, START_S)
        yield peer


@dataclass(frozen=True)
class Archive:
    """A peer that can be queried."""

    ae_title: str
    port: int

    def send(self, paths: Sequence[Path]) -> None:
        """Store files there."""
        command = [dcmtk("dcmsend"), "-aec", self.ae_title, "127.0.0.1", str(self.port), *map(str, paths)]
        subprocess.run(command, check=True, env=FAST, capture_output=True)


@contextmanager
def dcmqrscp(home: Path, node_port: int, node_title: str = "SURVNODE") -> Iterator[Archive]:
    """DCMTK's image archive, which knows the node as a destination."""
    tool = dcmtk("dcmqrscp")
    home.mkdir()
    peer = Archive("QRSCP", free_port())
    (home / "images").mkdir()
    (home / "dcmqrscp.cfg").write_text(
        "\n".join(
            [
                f"NetworkTCPPort = {peer.port}",
                "MaxPDUSize = 131072",
                "MaxAssociations = 16",
                "HostTable BEGIN",
                f"survnode = ({node_title}, localhost, {node_port})",
                "HostTable END",
                "VendorTable BEGIN",
                "VendorTable END",
                "AETable BEGIN",
                f"{peer.ae_title} {home / 'images'} RW (200, 1024mb) ANY",
                "AETable END",
                "",
            ]
        )
    )
    command = [tool, "-c", str(home / "dcmqrscp.cfg"), str(peer.port)]
    with (home / "dcmqrscp.log").open("wb") as log, _running(command, stdout=log, stderr=log, env=FAST):
        probe = Destination("dcmqrscp", peer.ae_title, "127.0.0.1", peer.port)
        until("the start of dcmqrscp", lambda: True if _echoes(probe) else None, START_S)
        yield peer


def _echoes(peer: Destination) -> bool:
    """Whether it takes an association; one that accepts no C-ECHO rejects it, which is an answer too."""
    try:
        echo(peer)
    except DeliveryFailed as error:
        return "cannot be reached" not in str(error)
    return True


@dataclass(frozen=True)
class DcmjsDimse:
    """dcmjs-dimse in Node.js."""

    modules: Path

    def command(self, *arguments: str) -> list[str]:
        return ["node", str(DCMJS_SCRIPT), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "NODE_PATH": str(self.modules)}

    def send(self, port: int, files: Sequence[Path]) -> list[int]:
        """The status of each file that it sent."""
        command = self.command("send", str(port), *map(str, files))
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True, timeout=300)
        statuses: list[int] = json.loads(done.stdout.splitlines()[-1])
        return statuses

    @contextmanager
    def receiving(self, home: Path) -> Iterator[Folder]:
        """It takes every class and writes what it gets."""
        home.mkdir()
        with (
            (home.parent / f"{home.name}.log").open("wb") as log,
            _running(
                self.command("receive", str(home)), stdout=subprocess.PIPE, stderr=log, env=self.environment
            ) as process,
        ):
            assert process.stdout is not None
            port = next(int(line) for line in process.stdout if line.strip().isdigit())
            yield Folder("DCMJS", port, home)


def dcmjs_dimse() -> DcmjsDimse:
    """dcmjs-dimse, installed by npm into the user's cache, once."""
    return DcmjsDimse(_npm(DCMJS_DIMSE))


@dataclass(frozen=True)
class Ohif:
    """OHIF in headless Chromium."""

    modules: Path
    chromium: Path

    def look(self, orthanc: Orthanc, study_instance_uid: str, out: Path) -> list[dict[str, Any]]:
        """Open every series of a study: its number, modality and the words on the page at each step through it."""
        dist = self.modules / "@ohif" / "app" / "dist"
        command = ["node", str(OHIF_SCRIPT), str(dist), orthanc.url, str(self.chromium), study_instance_uid, str(out)]
        environment = {**os.environ, "NODE_PATH": str(self.modules)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LOOK_S)
        assert done.returncode == 0, done.stderr
        seen: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        return seen


def ohif() -> Ohif:
    """OHIF, packed by npm into the user's cache, once; without its dependencies, which its build contains."""
    if not CHROMIUM.exists():
        pytest.skip(f"the peer Chromium ({CHROMIUM}) is absent")
    modules = _npm(PUPPETEER)
    app = modules / "@ohif" / "app"
    if not (app / "dist").exists():
        with TemporaryDirectory() as folder:
            _run_npm("pack", "--pack-destination", folder, OHIF)
            (archive,) = Path(folder).glob("*.tgz")
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
            shutil.copytree(Path(folder) / "package", app)
    return Ohif(modules, CHROMIUM)


def _npm(package: str) -> Path:
    """The folder of modules that holds ``package``."""
    folder = user_cache_path("survnode-tests") / package
    if not (folder / "node_modules" / package.rpartition("@")[0]).exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run_npm("install", "--prefix", str(folder), "--no-audit", "--no-fund", package)
    return folder / "node_modules"


def _run_npm(*arguments: str) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"the peer {arguments[-1]} is absent: it needs Node.js and npm")
    done = subprocess.run(["npm", *arguments], capture_output=True, check=False, timeout=NPM_S)
    if done.returncode != 0:
        pytest.skip(f"the peer {arguments[-1]} is absent: npm could not get it (exit code {done.returncode})")


@contextmanager
def _running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
