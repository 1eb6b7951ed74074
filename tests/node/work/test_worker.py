"""The worker with a model that is told what to do; the whole of it is tested with the real one in tests/integration."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from sqlalchemy import insert

from survnode.model.errors import Reason
from survnode.node.retry import RetryPolicy
from survnode.node.state.database import Database, row_of
from survnode.node.state.records import Instance, Job, JobState
from survnode.node.state.tables import instances
from survnode.node.work import jobs
from survnode.node.work.worker import Workplace, work

AddJob = Callable[..., int]


class FakePipeline:
    """Does for each job what ``act`` does, and stops the worker when there is nothing more to do."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def analyse(self, *_: object) -> Any:
        return self.act()

    def refuse(self, *_: object) -> Any:
        return self.act()


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    (tmp_path / "results").mkdir()
    return Workplace(tmp_path / "received", tmp_path / "results", {}, 60.0, RetryPolicy(max_tries=3), "1")


def work_once(database: Database, pipeline: FakePipeline, place: Workplace) -> Job:
    """Let a worker take jobs until none is running or due; job 1 as it stands then."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(database, pipeline, place, "w1", stop), daemon=True)
    thread.start()
    ended = {JobState.FAILED, JobState.FINISHED, JobState.QUARANTINED}
    try:
        for _ in range(400):
            job = jobs.get(database, 1)
            if job.state in ended or (job.state is JobState.QUEUED and job.attempts):
                return job
            stop.wait(0.05)
        raise AssertionError("the job came to no end")
    finally:
        stop.set()
        thread.join()


def store_one(database: Database, place: Workplace, received: Any, study: str = "1.2.3") -> Path:
    """One image of a study that has a job, as the receiver leaves it; its file."""
    uid, sha256 = received.sop_instance_uid, received.sha256
    row = Instance(uid, "1", study, f"{study}.1", "1", "P1", "PEER", sha256, 1, f"studies/{uid}.dcm", 0.0)
    path = place.received / row.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(received.part10)
    with database.transaction() as connection:
        connection.execute(insert(instances).values(row_of(row)))
    return path


def test_a_refusal_of_a_study_that_cannot_be_read_says_so(
    database: Database, place: Workplace, make_received: Callable[..., Any], add_job: AddJob
) -> None:
    add_job(reason=Reason.LOCALIZER)
    store_one(database, place, make_received(1)).write_bytes(b"no DICOM")
    job = work_once(database, FakePipeline(Dataset), place)
    assert job.state is JobState.FAILED
    assert "None of the study's files can be read" in job.error
