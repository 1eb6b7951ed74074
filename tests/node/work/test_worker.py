"""The worker with a model that is told what to do; the whole of it is tested with the real one in tests/integration."""

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from sqlalchemy import insert, update
from structlog.testing import capture_logs

from survnode.model.errors import Reason
from survnode.node import errors
from survnode.node.retry import RetryPolicy
from survnode.node.state.database import Database, row_of
from survnode.node.state.image_rows import images_of_study
from survnode.node.state.records import Instance, InstanceState, Job, JobState
from survnode.node.state.tables import instances
from survnode.node.state.tables import jobs as jobs_table
from survnode.node.work import jobs, result_files
from survnode.node.work.pipeline import AnalysisOutcome
from survnode.node.work.worker import Shift, Workplace, work

WAIT_S = 60.0
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


def work_once(database: Database, pipeline: FakePipeline, place: Workplace, after: int = 0) -> Job:
    """Let a worker take jobs until the first has come to an end; that one as it stands then.

    Parameters
    ----------
    after : attempts that there were before
    """
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(database, pipeline, place, Shift("w1", stop)), daemon=True)
    thread.start()
    ended = {JobState.FAILED, JobState.FINISHED, JobState.QUARANTINED}
    try:
        for _ in range(400):
            job = jobs.get(database, 1)
            if job.state in ended or (job.state is JobState.QUEUED and job.attempts > after):
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


def failing_with(error: Exception) -> FakePipeline:
    def act() -> Any:
        raise error

    return FakePipeline(act)


@pytest.mark.parametrize("error", [errors.StorageFull("full"), errors.DatabaseBusy("busy")])
def test_a_fault_of_the_node_that_passes_is_not_held_against_a_job(
    database: Database, place: Workplace, make_received: Callable[..., Any], add_job: AddJob, error: Exception
) -> None:
    add_job(reason=Reason.LOCALIZER, failures=7)
    store_one(database, place, make_received(1))
    job = work_once(database, failing_with(error), place)
    assert (job.state, job.failures) == (JobState.QUEUED, 8)


def test_a_worker_whose_device_is_lost_ends_and_its_job_is_tried_by_another(
    database: Database, place: Workplace, make_received: Callable[..., Any], add_job: AddJob
) -> None:
    add_job(reason=Reason.LOCALIZER)
    store_one(database, place, make_received(1))
    lost = failing_with(errors.DeviceLost("The device cuda:0 failed."))
    work(database, lost, place, Shift("w1", threading.Event()))  # type: ignore[arg-type]  # ends of itself
    job = jobs.get(database, 1)
    assert (job.state, job.failures, job.kills, job.error) == (JobState.QUEUED, 1, 0, "The device cuda:0 failed.")
    (place.results / "00000001").mkdir()
    with database.transaction() as connection:
        connection.execute(update(jobs_table).values(due_at=0.0))
    job = work_once(database, FakePipeline(lambda: AnalysisOutcome((), {})), place, after=1)
    assert job.state is JobState.FINISHED


def test_a_job_that_lacks_memory_says_so(
    database: Database, place: Workplace, make_received: Callable[..., Any], add_job: AddJob
) -> None:
    add_job(reason=Reason.LOCALIZER)
    store_one(database, place, make_received(1))
    job = work_once(database, failing_with(MemoryError()), place)
    assert (job.state, job.error) == (JobState.QUEUED, "There was not enough memory for it.")


def test_a_full_disk_is_waited_out(
    database: Database, place: Workplace, make_received: Callable[..., Any], add_job: AddJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    add_job(reason=Reason.LOCALIZER, failures=7)
    store_one(database, place, make_received(1))
    monkeypatch.setattr(result_files, "replace_durably", full)
    job = work_once(database, FakePipeline(lambda: AnalysisOutcome((), {})), place)
    assert (job.state, job.error) == (JobState.QUEUED, "The disk did not take it: ENOSPC.")
    monkeypatch.undo()
    (place.results / "00000001").mkdir()
    with database.transaction() as connection:
        connection.execute(update(jobs_table).values(due_at=0.0))
    job = work_once(database, FakePipeline(lambda: AnalysisOutcome((), {})), place, after=1)
    assert job.state is JobState.FINISHED


def test_a_job_that_fails_of_itself_is_given_up_after_its_tries_however_often_others_ended_its_worker(
    database: Database, place: Workplace, make_received: Callable[..., Any], add_job: AddJob
) -> None:
    add_job(reason=Reason.LOCALIZER, attempts=6, failures=1)
    store_one(database, place, make_received(1))
    assert work_once(database, failing_with(ZeroDivisionError()), place, after=6).state is JobState.QUEUED
    with database.transaction() as connection:
        connection.execute(update(jobs_table).values(due_at=0.0))
    assert work_once(database, failing_with(ZeroDivisionError()), place, after=7).state is JobState.FAILED


def test_a_worker_outlives_a_database_that_is_locked(
    database: Database, place: Workplace, make_received: Callable[..., Any], add_job: AddJob
) -> None:
    """The lock is held while the worker claims and while it reports; it waits for it 0.01 s at a time."""
    add_job(reason=Reason.LOCALIZER)
    store_one(database, place, make_received(1))
    impatient = Database(database.path, busy_timeout_s=0.01)
    running, locked, stop = threading.Event(), threading.Event(), threading.Event()

    def act() -> Any:
        running.set()
        assert locked.wait(WAIT_S)
        raise ZeroDivisionError

    shift = Shift("w1", stop)
    thread = threading.Thread(target=work, args=(impatient, FakePipeline(act), place, shift), daemon=True)
    with database.transaction(), capture_logs() as said:
        thread.start()
        await_(lambda: any(it["event"] == "loop.failed" for it in said))
    assert running.wait(WAIT_S)
    with database.transaction(), capture_logs() as said:
        locked.set()
        await_(lambda: any("report on job" in str(it) for it in said))
    await_(lambda: jobs.get(database, 1).failures == 1)
    stop.set()
    thread.join()
    impatient.close()


def await_(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_images_that_are_not_what_was_received_are_not_analysed_and_marked(
    database: Database, place: Workplace, make_received: Callable[..., Any], add_job: AddJob
) -> None:
    uids = ("1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3")
    add_job(sop_instance_uids=uids)
    sound, altered, gone = [store_one(database, place, make_received(number)) for number in (1, 2, 3)]
    content = bytearray(altered.read_bytes())
    content[-1] ^= 1
    altered.write_bytes(content)
    gone.unlink()
    job = work_once(database, FakePipeline(Dataset), place)
    assert job.state is JobState.FAILED
    assert "2 of its 3 images are gone or not what was received" in job.error
    with database.reading() as connection:
        images = {image.sop_instance_uid: image.state for image in images_of_study(connection, "1.2.3")}
    assert images == dict(zip(uids, [InstanceState.STORED, *[InstanceState.UNREADABLE] * 2], strict=True))
    assert sound.exists()
