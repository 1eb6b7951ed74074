"""A node as its administrator runs it, and the peers on either side of it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import UID, CTImageStorage

from survnode.model.checkpoint import DEMO, load_checkpoint, save_checkpoint
from survnode.node.commands.printing import plain
from survnode.node.contexts import result_contexts
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import Outgoing, send
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.state import study_summaries
from survnode.node.state.database import Database
from survnode.node.state.records import DeliveryState, JobState, StudyState
from survnode.node.state.summaries import StudyDetail

from ..command_line import survnode

START_S = 120.0
WORK_S = 180.0
T = TypeVar("T")
FAST = {**os.environ, "TCP_NODELAY": "1"}  # DCMTK stalls 50 ms an image on loopback without it


def dcmtk(tool: str) -> str:
    """DCMTK's own tool: pynetdicom puts others of the same names on the path."""
    path = Path("/usr/bin") / tool
    if not path.exists():
        pytest.skip(f"the peer DCMTK ({path}) is absent")
    return str(path)


def until(what: str, read: Callable[[], T | None], timeout_s: float = WORK_S) -> T:
    """The first value that is not None; an observation of other processes, which offer no event to wait for."""
    deadline = time.monotonic() + timeout_s
    while (value := read()) is None:
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:.0f} s"
        time.sleep(0.05)
    return value


class Pacs:
    """A destination that keeps what it gets, in the order in which it came."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Dataset] = []
        self._receiver = Receiver(Listening("PACS", port=port), result_contexts(), self._keep)

    def start(self) -> int:
        self._receiver.start()
        return self._receiver.port

    def stop(self) -> None:
        self._receiver.stop()

    def _keep(self, received: Received) -> None:
        self.received.append(dcmread(DicomBytesIO(received.part10)))

    def of_study(self, uid: str) -> list[Dataset]:
        return [ds for ds in self.received if ds.StudyInstanceUID == uid]


def write_coarse_model(folder: Path) -> Path:
    """The packaged model with images of 32 pixels: a study costs a tenth, and only its numbers are others."""
    packaged = load_checkpoint(DEMO)
    coarse = packaged.card.preprocessing.model_copy(update={"size": 32, "spacing_mm": (3.0, 4.0, 4.0)})
    save_checkpoint(folder, packaged.card.model_copy(update={"preprocessing": coarse}), packaged.members)
    return folder


def study_of(paths: list[Path], folder: Path, uid: str) -> list[Path]:
    """Copies of images as another study."""
    folder.mkdir()
    for number, path in enumerate(paths, start=1):
        ds = dcmread(path)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = uid, f"{uid}.1"
        ds.BodyPartExamined = "CHEST"  # so that a report is made, whatever comes of it
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{uid}.1.{number}")
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


def ended(database: Database, uid: str) -> StudyDetail | None:
    """A study that has come to one of its ends, its results delivered."""
    study = study_summaries.read_study(database, uid)
    waits = study.state is StudyState.RECEIVING or any(
        job.state in (JobState.QUEUED, JobState.RUNNING) for job in study.jobs
    )
    return None if waits or any(it.state is DeliveryState.WAITING for it in study.deliveries) else study


class RunningNode:
    """``survnode serve`` in processes of its own; it may be killed and started again.

    Parameters
    ----------
    model : "demo" is the packaged one; None: a coarse one, for tests to which it does not matter what is predicted
    """

    def __init__(
        self, home: Path, destinations: dict[str, int], *, quiet_period_s: float = 1.0, model: str | None = None
    ) -> None:
        self.home, self.data_dir, self.log = home, home / "data", home / "node.log"
        self.config = home / "survnode.toml"
        self.process: subprocess.Popen[bytes] | None = None
        sections = "".join(
            f'[[destinations]]\nname = "{name}"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {port}\n'
            for name, port in destinations.items()
        )
        self.config.write_text(
            f'data_dir = "{self.data_dir}"\nreceiver = {{ host = "127.0.0.1", port = 0, min_free_gib = 0.1 }}\n'
            f'assembly = {{ quiet_period_s = {quiet_period_s} }}\nwork = {{ device = "cpu" }}\n'
            f'model = {{ checkpoint = "{model or write_coarse_model(home / "model")}" }}\n{sections}'
        )

    def start(self) -> None:
        command = [sys.executable, "-m", "survnode.node.cli", "serve", "--config", str(self.config)]
        self.port_file.unlink(missing_ok=True)
        with self.log.open("ab") as stream:
            before = stream.tell()
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
        until("the start of the node", lambda: self._is_started(before) or None, START_S)

    def _is_started(self, before: int) -> bool:
        """Whether all of it is there, the workers too, as its log says after ``before``."""
        if b'"node.started"' in self.log.read_bytes()[before:]:
            return True
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return False

    def kill(self) -> None:
        """Take away every process of the node at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)

    @property
    def port_file(self) -> Path:
        return self.data_dir / "receiver.port"

    @property
    def port(self) -> int:
        return int(self.port_file.read_text())

    @cached_property
    def status(self) -> "Shown":
        return Shown(Database(self.data_dir / "survnode.db"))

    def worker_pid(self) -> int:
        """The worker that was started last."""
        return int(re.findall(r'"child": "worker-cpu", "pid": (\d+)', self.log.read_text())[-1])

    def fork_server_pid(self) -> int:
        """The process that the receiver which was started last was forked from; `ProcessLookupError` if it is gone."""
        receiver = re.findall(r'"child": "receiver", "pid": (\d+)', self.log.read_text())[-1]
        try:
            parent = int(Path(f"/proc/{receiver}/stat").read_text().rpartition(")")[2].split()[1])
            command = Path(f"/proc/{parent}/cmdline").read_bytes()
        except FileNotFoundError as error:
            raise ProcessLookupError from error
        if b"forkserver" not in command:  # it has died, and the receiver is about to
            raise ProcessLookupError
        return parent

    def send(self, paths: Sequence[Path]) -> list[int | None]:
        """The status of each image."""
        node = Destination("node", "SURVNODE", "127.0.0.1", self.port)
        headers = [dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], force=True) for path in paths]
        outgoing = [
            Outgoing(str(ds.SOPClassUID), str(ds.SOPInstanceUID), path) for ds, path in zip(headers, paths, strict=True)
        ]
        return [outcome.status for outcome in send(node, outgoing)]

    def send_as_ct(self, path: Path) -> int | None:
        """The status of a file whose data set need not be one."""
        node = Destination("node", "SURVNODE", "127.0.0.1", self.port)
        return next(iter(send(node, [Outgoing(str(CTImageStorage), "1.2.3.4.5", path)]))).status

    def dcmsend(self, folder: Path) -> None:
        command = [dcmtk("dcmsend"), "-aec", "SURVNODE", "+sd", "+r", "127.0.0.1", str(self.port), str(folder)]
        subprocess.run(command, check=True, env=FAST, capture_output=True)

    def survnode(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command says of this node while it runs."""
        rows: list[dict[str, Any]] = json.loads(survnode(*arguments, "--config", self.config, "--json").stdout)
        return rows

    def jobs_of(self, uid: str) -> list[dict[str, Any]]:
        """The jobs of a study, oldest first."""
        return [job for job in reversed(self.status.jobs()) if job["study_instance_uid"] == uid]

    def await_job(self, uid: str, version: int = 1, states: Sequence[str] = ("FINISHED",)) -> dict[str, Any]:
        """The job of that version once it is in one of ``states``."""

        def read() -> dict[str, Any] | None:
            found = [job for job in self.jobs_of(uid) if job["version"] == version and job["state"] in states]
            return self.status.job(found[0]["job"]) if found else None

        return until(f"version {version} of a job in {states}", read)

    def await_delivered(self, job: int, destination: str) -> None:
        """Wait until everything of a job has arrived at a destination."""

        def arrived() -> bool | None:
            rows = [row for row in self.status.job(job)["deliveries"] if row["destination"] == destination]
            return True if rows and all(row["state"] == "SENT" for row in rows) else None

        until(f"the delivery of job {job} to {destination}", arrived)

    def prediction(self, job: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data_dir / "results" / f"{job:08d}" / "prediction.json").read_text())
        return found


@dataclass(frozen=True)
class Shown:
    """What ``--json`` prints of a node's studies and jobs."""

    database: Database

    def studies(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = plain(study_summaries.list_studies(self.database).rows)
        return rows

    def study(self, uid: str) -> dict[str, Any]:
        row: dict[str, Any] = plain(study_summaries.read_study(self.database, uid))
        return row

    def jobs(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = plain(study_summaries.list_jobs(self.database).rows)
        return rows

    def job(self, number: int) -> dict[str, Any]:
        row: dict[str, Any] = plain(study_summaries.read_job(self.database, number))
        return row


def free_port() -> int:
    """A port at which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def numbers(ds: Dataset) -> dict[str, list[float]]:
    """Every number of a report by the value of its concept's code."""
    found: dict[str, list[float]] = {}
    for item in ds.get("ContentSequence", []):
        if item.ValueType == "NUM":
            code = item.ConceptNameCodeSequence[0].CodeValue
            found.setdefault(code, []).append(float(item.MeasuredValueSequence[0].NumericValue))
        for code, values in numbers(item).items():
            found.setdefault(code, []).extend(values)
    return found


def evidence(ds: Dataset) -> set[str]:
    """The SOP Instance UIDs in the evidence of a document."""
    return {
        item.ReferencedSOPInstanceUID
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
