"""Receive, judge, work and send with the node's own store, queue and outbox, in one process and without a model.

As a program it does so once, to be recorded: ``python -m tests.integration.small_node FOLDER VOICE``. It says in the
file ``VOICE`` what others know of it: the sha256 of each image that it acknowledged, the UID and the sha256 of each
object that a destination got.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any, cast

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from survnode.node.config import NotAnalysed
from survnode.node.contexts import Answer
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.sender import Outgoing, SendOutcome
from survnode.node.intake.adoption import adopt_files
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.instance import Received
from survnode.node.intake.rules import Routes
from survnode.node.intake.store import Store
from survnode.node.results.envelope import ResultObject
from survnode.node.results.identity import ResultRun
from survnode.node.retry import RetryPolicy
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database
from survnode.node.state.records import JobState
from survnode.node.work import jobs
from survnode.node.work.pipeline import AnalysisOutcome, Pipeline
from survnode.node.work.worker import Shift, Workplace, work

from .scu import ct

STUDY = "1.2.3"
PACS = Destination("pacs", "PACS", "127.0.0.1", 104)
ROLES = (ResultRole.REPORT, ResultRole.CURVE)

Say = Callable[[str], object]


@cache
def images() -> list[Received]:
    """Three images of a study, and the second once more with other bytes."""
    chest: dict[str, Any] = {
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    }
    sizes = {"1": 100, "2": 5000, "2 again": 5002, "3": 100}
    uids = {name: f"{STUDY}.1.{name[0]}" for name in sizes}
    return [
        Received(CTImageStorage, uids[name], ExplicitVRLittleEndian, "SENDER", ct(uids[name], size=size, **chest))
        for name, size in sizes.items()
    ]


class SmallNode:
    """A node in ``folder`` as a start finds it."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder, self._say = folder, say
        for name in ("received", "results"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.database = Database(folder / "survnode.db")
        jobs.recover(self.database, now=time.time())
        self._routes = Routes(quiet_period_s=0.0, not_analysed=NotAnalysed.ALWAYS)
        self.store = Store(folder / "received", self.database, routes=self._routes)
        self.store.sweep()
        adopt_files(self.store, Event())

    def receive(self, received: Sequence[Received]) -> None:
        """Store images and acknowledge each."""
        for image in received:
            self.store.add(image)
            self._say(f"acknowledged {sha256(image.encoded).hexdigest()}")

    def finish(self) -> None:
        """Judge what was received, do what there is to do, and send it."""
        self.judge()
        if jobs.counts(self.database)[JobState.QUEUED]:
            self._work()
        self.send()

    def judge(self) -> None:
        """Make a job of each study that is due."""
        Assembly(self.database, self.store.folder, "2.25.1", 3.0, self._routes).assemble_due(time.time())

    def send(self) -> None:
        """Send what is due."""
        Outbox(self.database, self.folder / "results").deliver_due(PACS, self._send)

    def close(self) -> None:
        """End as after SIGTERM."""
        self.store.close()
        self.database.close()

    def _work(self) -> None:
        stop, objects = Event(), {"pacs": frozenset(ROLES)}
        place = Workplace(self.store.folder, self.folder / "results", objects, 60.0, RetryPolicy(max_tries=1), "1")
        work(self.database, cast("Pipeline", OneJob(stop)), place, Shift("worker", stop))

    def _send(self, _destination: Destination, objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        for item in objects:
            self._say(f"arrived {item.sop_instance_uid} {sha256(item.path.read_bytes()).hexdigest()}")
            yield SendOutcome(Answer.STORED, 0x0000)


class OneJob:
    """A pipeline that refuses one study, with two objects, and lets its worker stop."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop

    def refuse(self, _headers: object, reason: object, _detail: object, run: ResultRun) -> AnalysisOutcome:
        self._stop.set()
        return AnalysisOutcome(tuple(_object(role, run) for role in ROLES), {"refused": str(reason)})


def _object(role: ResultRole, run: ResultRun) -> ResultObject:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = role.sop_class(), f"{STUDY}.9.{ROLES.index(role)}.{run.version}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, f"{STUDY}.9"
    ds.ContentDate, ds.ContentTime = run.created.strftime("%Y%m%d"), run.created.strftime("%H%M%S.%f")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ResultObject(role, ds)


def main(folder: Path, voice: Path) -> None:
    """Receive, end, start again and finish."""
    with voice.open("a", buffering=1) as lines:
        node = SmallNode(folder, lambda line: lines.write(f"{line}\n"))
        node.receive(images())
        node.close()
        node = SmallNode(folder, lambda line: lines.write(f"{line}\n"))
        node.finish()
        node.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
