"""How many images a second survnode, Orthanc and DCMTK's storescp receive from the same sender, side by side.

The sender is DCMTK's dcmsend with TCP_NODELAY=1, the images are CT of 512 x 512, sent over one association and over
eight. The receivers take turns, each anew with an empty folder, so that what else the machine does hits all of them;
the median of their turns is told, and the time counts from the request for the first association to the release of
the last. Orthanc syncs each file (its default); survnode syncs file, folder and database; storescp syncs nothing.

In the same turns survnode receives over one association beside others that ask for nothing, and beside a worker that
computes and somebody who lists studies without a pause; told is what is left of its rate alone. The processor's time
an image is that of the receiving process, user and system.

    python tests/bench/receive.py [--images 300] [--repeats 5] [--idle 200] [--json]
"""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rich.console import Console
from rich.table import Table

FAST = {**os.environ, "TCP_NODELAY": "1"}  # DCMTK waits 50 ms an image on loopback without it
START_S = 60.0
SETTLE_S = 3.0  # for a busy node to have imported what it needs
ASSOCIATIONS = (1, 8)
IDLE, BUSY = "idle", "busy"

RECEIVE = """
import sys
from pathlib import Path
from survnode.node.service.light_receiver import import_nothing_heavy

import_nothing_heavy()

from survnode.node.intake.receiver import Listening
from survnode.node.intake.rules import Routes
from survnode.node.logs import configure_logging
from survnode.node.service.receiving import Storage, run_receiver

configure_logging("warning")
folder, port = Path(sys.argv[1]), int(sys.argv[2])
storage = Storage(
    folder=folder / "store",
    database=folder / "node.sqlite",
    routes=Routes(),
    keep_other=False,
    refuse_below_bytes=1000,
    accept_above_bytes=2000,
)
run_receiver(Listening("ANY", port=port, max_associations=512), storage, lambda _: None, drain_s=5.0)
"""


# As many threads as the systemd unit lets a worker have, and as much of the processor as it gets beside others.
WORK = """
import os
import numpy as np
from survnode.node.service.child_bodies import WORKER_NICENESS

os.nice(WORKER_NICENESS)
slices = np.random.default_rng(1).random((512, 512), dtype=np.float32)
while True:
    slices = np.tanh(slices @ slices.T / 512)
"""
LIST = """
import sys
from pathlib import Path
from survnode.node.state.database import Database
from survnode.node.state.study_summaries import list_studies
from survnode.node.state.summaries import Page, Search

database = Database(Path(sys.argv[1]))
while True:
    list_studies(database, Search(), page=Page())
"""


@dataclass(frozen=True)
class Peer:
    """A receiver: how it is started on a folder and a port, for so many associations."""

    name: str
    command: Callable[[Path, int], list[str]]
    tool: Path


@dataclass
class Turns:
    """Images a second of each turn, by number of associations or by what went on beside; what the receiver needed."""

    images_per_s: dict[int | str, list[float]] = field(default_factory=dict)
    cpu_ms: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    def note(self, what: int | str, images_per_s: float) -> None:
        self.images_per_s.setdefault(what, []).append(images_per_s)

    def median(self, what: int | str) -> float:
        return round(median(self.images_per_s[what]), 1)

    def ratio(self, what: str) -> float:
        """Of a turn beside something to the turn of one association before it."""
        alone = self.images_per_s[1]
        return round(median(rate / before for rate, before in zip(self.images_per_s[what], alone, strict=True)), 2)


def survnode_command(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-c", RECEIVE, str(folder), str(port)]


def orthanc_command(folder: Path, port: int) -> list[str]:
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "SyncStorageArea": True,
        "DicomAet": "ANY",
        "DicomPort": port,
        "DicomThreadsCount": max(ASSOCIATIONS),
        "HttpServerEnabled": False,
        "DicomAlwaysAllowStore": True,
        "TcpNoDelay": True,
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    return ["/usr/sbin/Orthanc", str(path)]


def storescp_command(folder: Path, port: int) -> list[str]:
    (folder / "received").mkdir()
    return ["/usr/bin/storescp", "--fork", "-pdu", "131072", "-aet", "ANY", "-od", str(folder / "received"), str(port)]


PEERS = (
    Peer("survnode", survnode_command, Path(sys.executable)),
    Peer("orthanc", orthanc_command, Path("/usr/sbin/Orthanc")),
    Peer("storescp", storescp_command, Path("/usr/bin/storescp")),
)


def make_series(folder: Path, number: int) -> list[Path]:
    """CT slices of noise: no receiver may gain by compressing them."""
    folder.mkdir()
    random = np.random.default_rng(1)
    study, series = generate_uid(), generate_uid()[:50]
    paths = []
    for index in range(number):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{series}.{index}"
        ds.StudyDate, ds.Modality, ds.PatientID, ds.PatientName = "20260101", "CT", "BENCH", "BENCH"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber = study, series, index + 1
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = 512, 512
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.PixelData = random.integers(-1024, 3071, (512, 512), dtype=np.int16).tobytes()
        paths.append(folder / f"{index:04d}.dcm")
        dcmwrite(paths[-1], ds, enforce_file_format=True)
    return paths


@contextmanager
def receiving(peer: Peer, folder: Path, turns: Turns, images: int) -> Iterator[int]:
    """The peer with an empty folder; its port."""
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(peer.command(folder, port), env=FAST, stdout=log, stderr=log) as process,
    ):
        try:
            await_listening(port, process)
            before = cpu_s(process.pid)
            yield port
            turns.cpu_ms.append((cpu_s(process.pid) - before) / images * 1000)
            turns.peak_mb = max(turns.peak_mb, peak_mb(process.pid))
        finally:
            process.terminate()
            process.wait(START_S)
    shutil.rmtree(folder)


def await_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("A receiver did not start.")


def peak_mb(pid: int) -> float:
    """The most memory that a process had."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def cpu_s(pid: int) -> float:
    """What a process, without its children, has had of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Sender(threading.Thread):
    """One dcmsend; it notes when its association was requested and when it was released."""

    def __init__(self, port: int, paths: list[Path]) -> None:
        super().__init__()
        command = ["/usr/bin/dcmsend", "-v", "--no-uid-checks", "-aec", "ANY", "127.0.0.1", str(port)]
        self._command = [*command, *map(str, paths)]
        self.begin = self.end = 0.0
        self.done = False

    def run(self) -> None:
        with subprocess.Popen(
            self._command, env=FAST, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "Requesting Association" in line or "starting association" in line:
                    self.begin = self.begin or time.perf_counter()
                elif "Releasing Association" in line or "releasing association" in line:
                    self.end = time.perf_counter()
        self.done = process.returncode == 0


def images_per_s(port: int, paths: list[Path], associations: int) -> float:
    """Send all of ``paths``, shared by so many associations."""
    senders = [Sender(port, paths[index::associations]) for index in range(associations)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    if not all(sender.done and sender.begin and sender.end for sender in senders):
        raise SystemExit("A sender failed.")
    return len(paths) / (max(it.end for it in senders) - min(it.begin for it in senders))


@contextmanager
def idle_associations(port: int, number: int) -> Iterator[None]:
    """Associations that ask for nothing."""
    titles = b"ANY".ljust(16) + b"IDLE".ljust(16)
    context = item(0x20, b"\1\0\0\0" + item(0x30, b"1.2.840.10008.1.1") + item(0x40, b"1.2.840.10008.1.2"))
    user = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
    body = b"\0\1\0\0" + titles + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1") + context + user
    with ExitStack() as stack:
        for _ in range(number):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            peer.sendall(struct.pack(">BxL", 1, len(body)) + body)
            assert peer.recv(1) == b"\2", "an idle association was not accepted"
        yield


@contextmanager
def busy_node(folder: Path) -> Iterator[None]:
    """A worker that computes and somebody who lists studies, beside the receiver in ``folder``."""
    programs = ([WORK], [LIST, str(folder / "node.sqlite")])
    processes = [subprocess.Popen([sys.executable, "-c", *arguments]) for arguments in programs]
    try:
        time.sleep(SETTLE_S)
        yield
        if any(process.poll() is not None for process in processes):
            raise SystemExit("What was to keep the node busy has ended.")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def item(kind: int, content: bytes) -> bytes:
    """An item of an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    return struct.pack(">BxH", kind, len(content)) + content


def measure(
    images: Annotated[int, typer.Option(help="Images of a turn.")] = 300,
    repeats: Annotated[int, typer.Option(help="Turns of each receiver.")] = 5,
    idle: Annotated[int, typer.Option(help="Associations that ask for nothing, beside survnode.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Measure the receivers that are installed."""
    found = [peer for peer in PEERS if peer.tool.exists()]
    turns = {peer.name: Turns() for peer in found}
    with TemporaryDirectory(prefix="survnode-bench-", dir=Path.cwd()) as name:
        home = Path(name)
        paths = make_series(home / "series", images)
        beside: dict[str, Callable[[int], AbstractContextManager[None]]] = {
            IDLE: lambda port: idle_associations(port, idle),
            BUSY: lambda _: busy_node(home / "peer"),
        }
        for _ in range(repeats):
            for associations in ASSOCIATIONS:
                for peer in found:
                    with receiving(peer, home / "peer", turns[peer.name], images) as port:
                        turns[peer.name].note(associations, images_per_s(port, paths, associations))
            for what, burden in beside.items():
                with receiving(PEERS[0], home / "peer", Turns(), images) as port, burden(port):
                    turns[PEERS[0].name].note(what, images_per_s(port, paths, 1))
    show(turns, as_json)


def show(turns: dict[str, Turns], as_json: bool) -> None:
    """Print what was measured."""
    ours = turns[PEERS[0].name]
    rates = {name: {str(number): told.median(number) for number in ASSOCIATIONS} for name, told in turns.items()}
    cpu = {name: round(median(told.cpu_ms), 2) for name, told in turns.items()}
    ratio = {
        number: round(rates["survnode"][number] / rates["orthanc"][number], 2) for number in rates.get("orthanc", {})
    }
    left, peak = {what: ours.ratio(what) for what in (IDLE, BUSY)}, round(ours.peak_mb)
    if as_json:
        told = {"images_per_s": rates, "ratio_to_orthanc": ratio, "peak_mb": peak}
        print(json.dumps({**told, "ratio_to_alone": left, "cpu_ms_per_image": cpu}))  # noqa: T201
        return
    table = Table(title=f"images a second, medians; load of the machine {os.getloadavg()[0]:.1f}")
    columns = (
        *(f"{number} association{'s'[: number > 1]}" for number in ASSOCIATIONS),
        "to Orthanc",
        "CPU ms an image",
    )
    for column in ("receiver", *columns):
        table.add_column(column)
    for name, row in rates.items():
        to_orthanc = " and ".join(str(value) for value in ratio.values()) if name == "survnode" else ""
        of_cpu = "" if name == "storescp" else str(cpu[name])  # which has a process for each association
        table.add_row(name, *(str(value) for value in row.values()), to_orthanc, of_cpu)
    Console().print(
        table,
        f"survnode's receiver came to {peak} MB. Of its rate over one association there is left beside idle "
        f"associations {left[IDLE]}, beside a busy worker and somebody who lists studies {left[BUSY]}.",
    )


if __name__ == "__main__":
    typer.run(measure)
