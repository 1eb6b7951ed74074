"""Workers: one process a device, each with the model warm, each taking one job after the other from the queue."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from survnode.model.ct.volume import read_series
from survnode.model.errors import ModelError, SeriesUnsuitable
from survnode.node import errors
from survnode.node.results.identity import Predecessor, ResultRun
from survnode.node.retry import Decision, Guard, RetryPolicy, decide, outlast
from survnode.node.roles import ResultRole
from survnode.node.state import result_rows
from survnode.node.state.database import Database
from survnode.node.state.records import Job, JobState, PlannedDelivery, StoredObject
from survnode.node.work import jobs as queue
from survnode.node.work.job_images import checked_paths, readable_headers
from survnode.node.work.pipeline import AnalysisOutcome, Pipeline
from survnode.node.work.result_files import write_results

log = structlog.get_logger()

IDLE_POLL_S = 0.5


@dataclass(frozen=True)
class Workplace:
    """What a worker needs besides its model.

    Parameters
    ----------
    received : folder of received instances
    results : folder of result objects
    destinations : for each, the roles that it takes
    lease_s : a worker that is silent for so long is taken for dead
    retry : of a job that failed
    """

    received: Path
    results: Path
    destinations: Mapping[str, frozenset[ResultRole]]
    lease_s: float
    retry: RetryPolicy
    software_version: str


@dataclass(frozen=True)
class Shift:
    """What a worker works under.

    Parameters
    ----------
    worker : the name under which it claims jobs
    stop : set when it is to take no more
    show_life : called again and again while it lives
    """

    worker: str
    stop: threading.Event
    show_life: Callable[[], None] = lambda: None


def work(database: Database, pipeline: Pipeline, place: Workplace, shift: Shift) -> None:
    """Take jobs until the shift ends, or the device is lost; a job that was begun is brought to its end.

    What fails beside a job, as a database that is busy, is said once and waited out.
    """
    guard = Guard(shift.worker)

    def take_one() -> None:
        if guard.is_failing:  # whatever it had when it failed, it works on no more
            queue.release_worker(database, shift.worker, now=time.time(), by_others=True)
        job = queue.claim(database, shift.worker, now=time.time(), lease_s=place.lease_s)
        if job is None:
            shift.stop.wait(IDLE_POLL_S)
        else:
            _work_on(database, pipeline, place, shift, job)

    while not shift.stop.is_set():
        shift.show_life()
        shift.stop.wait(guard.run(take_one))


def _work_on(database: Database, pipeline: Pipeline, place: Workplace, shift: Shift, job: Job) -> None:
    """Bring one claimed job to one of its ends."""
    fields = {"job": job.id, "study_instance_uid": job.study_instance_uid, "attempt": job.attempts}
    log.info("job.started", **fields)
    try:
        with _kept_alive(database, job, place.lease_s, shift):
            report = _outcome(database, pipeline, place, shift, job, fields)
            outlast(report, f"report on job {job.id}", shift.stop.wait)
    except errors.LeaseLost:
        log.warning("job.lease_lost", **fields)


def _outcome(
    database: Database, pipeline: Pipeline, place: Workplace, shift: Shift, job: Job, fields: Mapping[str, object]
) -> Callable[[], None]:
    """What is to be recorded of a job once it has run, whatever it died of."""
    try:
        outcome = _analyse(database, pipeline, place, job)
        speaks = outcome.reason is None or job.reports_refusal
        objects = write_results(place.results, job, outcome) if speaks else []
    except Exception as error:  # noqa: BLE001  the edge of a job: whatever it died of, a person must see it
        return partial(_fail, database, place, shift, job, error, fields)
    return partial(_finish, database, place, job, outcome, objects, fields)


def _finish(
    database: Database,
    place: Workplace,
    job: Job,
    outcome: AnalysisOutcome,
    objects: Sequence[StoredObject],
    fields: Mapping[str, object],
) -> None:
    queue.finish(
        database, job, objects, list(_planned(objects, place.destinations, job)),
        now=time.time(), reason=outcome.reason, detail=outcome.detail,
    )  # fmt: skip
    log.info("job.finished", **fields, objects=len(objects), reason=outcome.reason and outcome.reason.value)


def _fail(
    database: Database, place: Workplace, shift: Shift, job: Job, error: Exception, fields: Mapping[str, object]
) -> None:
    decision = _decision(place.retry, job, error)
    state = queue.fail(database, job, errors.described(error), decision, now=time.time())
    say = log.error if state is JobState.FAILED else log.warning
    say("job.failed", **fields, state=str(state.value), error=errors.described(error))
    if isinstance(error, errors.DeviceLost):
        log.error("worker.device_lost", worker=shift.worker)
        shift.stop.set()  # who started this process starts another, which looks for the device anew


def _decision(policy: RetryPolicy, job: Job, error: Exception) -> Decision:
    """What to do with a job that failed: a full disk or a busy database is the node's fault, and waited out."""
    tries = job.failures + 1
    if isinstance(error, errors.NodeError) and error.can_retry:
        return decide(replace(policy, max_tries=None), tries=tries, elapsed_s=0)
    is_final = isinstance(error, errors.NodeError | ModelError) and not isinstance(error, errors.DeviceLost)
    return decide(policy, tries=tries, elapsed_s=0, can_retry=not is_final)


def _analyse(database: Database, pipeline: Pipeline, place: Workplace, job: Job) -> AnalysisOutcome:
    run = _run_of(database, place, job)
    paths, altered = checked_paths(database, place.received, job)
    if job.reason is not None:
        return pipeline.refuse(readable_headers(paths), job.reason, job.detail, run)
    if altered:
        number = f"{altered} of its {len(paths) + altered} images"
        raise errors.ImagesAltered(f"On disk, {number} are gone or not what was received: send the study again.")
    try:
        datasets = read_series(paths)
    except SeriesUnsuitable as refusal:
        return pipeline.refuse(readable_headers(paths), refusal.reason, refusal.detail, run)
    return pipeline.analyse(datasets, run)


def _run_of(database: Database, place: Workplace, job: Job) -> ResultRun:
    """The job's own time and predecessor: whoever runs it again makes the same objects."""
    with database.reading() as connection:
        before = result_rows.last_report_before(connection, job)
    predecessor = None
    if before is not None:
        uids = (before.sop_class_uid, before.sop_instance_uid, before.series_instance_uid)
        predecessor = Predecessor(*uids, job.study_instance_uid)
    return ResultRun(
        created=datetime.fromtimestamp(job.created_at, UTC).astimezone(),
        version=job.version,
        predecessor=predecessor,
        software_version=place.software_version,
        completeness=job.completeness,
    )


def _planned(
    objects: Sequence[StoredObject], destinations: Mapping[str, frozenset[ResultRole]], job: Job
) -> Iterator[PlannedDelivery]:
    """Each object for each destination that takes it, of those that the job's study goes to."""
    for name, roles in destinations.items():
        if job.destinations is not None and name not in job.destinations:
            continue
        yield from (PlannedDelivery(item.sop_instance_uid, name) for item in objects if item.role in roles)


@contextmanager
def _kept_alive(database: Database, job: Job, lease_s: float, shift: Shift) -> Iterator[None]:
    """Lengthen the lease from another thread while the block runs."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(lease_s / 4):
            shift.show_life()
            try:
                queue.heartbeat(database, job, lease_s=lease_s)
            except errors.LeaseLost:
                return  # `finish` will say so
            except errors.NodeError as error:
                log.warning("job.heartbeat_delayed", job=job.id, error=str(error))

    thread = threading.Thread(target=beat, daemon=True, name=f"heartbeat-{job.id}")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
