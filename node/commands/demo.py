"""A whole node on this machine, with a PACS on either side of it: a CT goes in over DICOM, its results come out.

Nothing is played: the node is ``survnode serve`` in processes of its own, sender and destination are associations on
loopback, and what is shown was read from the files that the destination received.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from survnode.model.phantom.phantom import Tumour, make_phantom, write_dicom
from survnode.node.commands.predict import optional_roles
from survnode.node.commands.study_folders import make_folder
from survnode.node.commands.terminal import show_prediction
from survnode.node.contexts import CT_SOP_CLASSES, result_contexts
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import Outgoing, send
from survnode.node.errors import DemonstrationFailed, InputRefused
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.results.bundle import preview_png
from survnode.node.roles import DEFAULT_ROLES, ResultRole
from survnode.node.state.database import Database
from survnode.node.state.records import DeliveryState, JobState
from survnode.node.state.study_summaries import list_jobs, read_job
from survnode.node.state.summaries import JobDetail

QUIET_PERIOD_S = 2.0
START_S = 180.0
ANALYSIS_S = 600.0
STOP_S = 30.0
POLL_S = 0.2
PHANTOM_SEED = 7
PHANTOM_TUMOUR = Tumour(radius_mm=32.0)

_ENDED = (JobState.FINISHED, JobState.FAILED, JobState.QUARANTINED)


@dataclass(frozen=True)
class _Node:
    """A running ``survnode serve``."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    log: Path

    def await_value(self, what: str, timeout_s: float, read: Callable[[], Any]) -> Any:
        """The first value that is not None.

        Raises
        ------
        DemonstrationFailed
            The node died or was too slow; the message ends with the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while (value := read()) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                words = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                raise DemonstrationFailed(f"The node did not get as far as {what}. The end of its log:\n{words}")
            time.sleep(POLL_S)
        return value


def run_demo(ct: Path | None, out: Path, objects: Sequence[str] = ()) -> bool:
    """Show the main job once: on a phantom, or on the CT study in the folder ``ct``; whether it was analysed.

    Parameters
    ----------
    out : where the results are left
    objects : which optional objects the destination takes besides the usual four

    Raises
    ------
    InputRefused
        ``ct`` holds no CT images.
    DemonstrationFailed
        The node did not do its part.
    """
    roles = (*DEFAULT_ROLES, *optional_roles(objects))
    paths = None if ct is None else _ct_files(ct)
    make_folder(out, "The results")
    console = Console()
    console.print("[bold]survnode demo[/bold]: a node and a PACS on either side of it, all on this machine.")
    with TemporaryDirectory(prefix="survnode-demo-") as folder, _progress(console) as progress:
        home = Path(folder)
        received = home / "pacs"
        received.mkdir()
        with _destination(received) as port, _node(home, port, roles) as node:
            paths = paths or _phantom(home / "ct", progress)
            node_port = _await_start(node, progress)
            _send(paths, node_port, progress)
            job = _await_results(node, progress)
            summary = _keep(node, job, received, out)
        progress.stop()
        _summarise(console, summary, out)
    return bool(summary["status"] == "analysed")


def _summarise(console: Console, summary: dict[str, Any], out: Path) -> None:
    if summary["status"] == "analysed":
        show_prediction(console, summary, out)
        previews = sorted(path.name for path in (out / "previews").iterdir())
        console.print(f"pictures to look at: {out / 'previews'}: {', '.join(previews)}", highlight=False)
    else:
        words = f"not analysed: {summary['sentence']} {summary['detail']} See {out / 'report.dcm'}."
        Console(stderr=True, soft_wrap=True).print(words, markup=False, highlight=False)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (SpinnerColumn("line"), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield progress


@contextmanager
def _destination(folder: Path) -> Iterator[int]:
    """A PACS that files what it gets in ``folder`` by SOP Instance UID; its port."""

    def file(received: Received) -> None:
        (folder / f"{received.sop_instance_uid}.dcm").write_bytes(received.part10)

    pacs = Receiver(Listening("DEMO-PACS"), result_contexts(), file)
    pacs.start()
    try:
        yield pacs.port
    finally:
        pacs.stop()


@contextmanager
def _node(home: Path, destination_port: int, roles: Sequence[ResultRole]) -> Iterator[_Node]:
    """A node of its own process group in ``home``; at the end it is stopped as a service manager would."""
    config, data_dir, log = home / "survnode.toml", home / "data", home / "node.log"
    config.write_text(
        f"""
        data_dir = {json.dumps(str(data_dir))}
        receiver = {{ host = "127.0.0.1", port = 0, min_free_gib = 0.2 }}
        assembly = {{ quiet_period_s = {QUIET_PERIOD_S} }}
        [[destinations]]
        name = "demo-pacs"
        ae_title = "DEMO-PACS"
        host = "127.0.0.1"
        port = {destination_port}
        objects = {json.dumps(roles)}
        """,
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "survnode.node.cli", "serve", "--config", str(config)]
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603  our own command line
            command, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        yield _Node(process, data_dir, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _phantom(folder: Path, progress: Progress) -> list[Path]:
    task = progress.add_task(f"painting a phantom with a tumour of {PHANTOM_TUMOUR.radius_mm:.0f} mm radius", total=1)
    paths = write_dicom(make_phantom(PHANTOM_SEED, tumour=PHANTOM_TUMOUR), folder)
    progress.update(task, completed=1)
    return paths


def _ct_files(folder: Path) -> list[Path]:
    """The CT images below ``folder``: a PACS routes by SOP class too."""
    paths = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            ds = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
        except InvalidDicomError:
            continue
        if ds.get("SOPClassUID") in CT_SOP_CLASSES:
            paths.append(path)
    if not paths:
        raise InputRefused(f"{folder} holds no CT images.")
    return paths


def _await_start(node: _Node, progress: Progress) -> int:
    """The port of the node, whose worker still loads the model."""
    task = progress.add_task("starting the node: receiver, service, one worker with the model", total=1)
    port_file = node.data_dir / "receiver.port"
    port = node.await_value("life", START_S, lambda: int(port_file.read_text()) if port_file.exists() else None)
    progress.update(task, completed=1)
    return int(port)


def _send(paths: list[Path], port: int, progress: Progress) -> None:
    """Send the images over one association, as a PACS would.

    Raises
    ------
    InputRefused
        The node refused one.
    """
    task = progress.add_task(f"sending {len(paths)} CT images by C-STORE", total=len(paths))
    node = Destination("node", "SURVNODE", "127.0.0.1", port, calling_ae_title="DEMO-PACS")
    for outcome in send(node, [_outgoing(path) for path in paths]):
        if outcome.status != 0x0000:
            raise InputRefused(f"The node refused image {progress.tasks[task].completed:.0f}: {outcome.detail}")
        progress.advance(task)


def _outgoing(path: Path) -> Outgoing:
    ds = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
    return Outgoing(str(ds.SOPClassUID), str(ds.SOPInstanceUID), path)


def _await_results(node: _Node, progress: Progress) -> int:
    """The number of the job, once the destination has all of its objects.

    Raises
    ------
    DemonstrationFailed
        The job failed.
    """
    database = Database(node.data_dir / "survnode.db")
    waiting = progress.add_task(f"quiet period of {QUIET_PERIOD_S:.0f} s, then the study counts as complete", total=1)
    number = node.await_value(
        "a complete study", ANALYSIS_S, lambda: next((row.job for row in list_jobs(database).rows), None)
    )
    progress.update(waiting, completed=1)
    analysing = progress.add_task("volume, lungs, slices, network, curve, result objects", total=1)
    job = node.await_value(
        "a result", ANALYSIS_S, lambda: _if(read_job(database, number), lambda job: job.state in _ENDED)
    )
    if job.state is not JobState.FINISHED:
        raise DemonstrationFailed(f"The job is {job.state.value}: {job.error}")
    progress.update(analysing, completed=1)
    objects = len(job.results)
    delivering: TaskID = progress.add_task(f"sending {objects} result objects back", total=1)
    node.await_value("a delivery", ANALYSIS_S, lambda: _if(read_job(database, number), _settled))
    progress.update(delivering, completed=1)
    return int(number)


def _if(job: JobDetail, holds: Callable[[JobDetail], bool]) -> JobDetail | None:
    return job if holds(job) else None


def _settled(job: JobDetail) -> bool:
    """Whether none of the deliveries still waits."""
    return all(delivery.state is not DeliveryState.WAITING for delivery in job.deliveries)


def _keep(node: _Node, job: int, received: Path, out: Path) -> dict[str, Any]:
    """Name the received objects for people in ``out``, draw their pictures, and return the summary."""
    source = node.data_dir / "results" / f"{job:08d}" / "prediction.json"
    summary: dict[str, Any] = json.loads(source.read_text())
    for stale in (out / "captures", out / "previews"):
        shutil.rmtree(stale, ignore_errors=True)
    (out / "previews").mkdir(parents=True)
    shutil.copyfile(source, out / "prediction.json")
    for item in summary["objects"]:
        target = out / item["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(received / f"{item['sop_instance_uid']}.dcm", target)
        ds = dcmread(target)
        if "PixelData" in ds:
            preview_png(ds, out / "previews" / item["file"].replace("/", "-").replace(".dcm", ".png"))
    return summary
