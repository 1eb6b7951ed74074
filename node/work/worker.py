"""Workers: one process a device, each with the model warm, each taking one job after the other from the queue."""

import json
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from pydicom import Dataset, dcmread

from survnode.model.ct.volume import read_series
from survnode.model.errors import ModelError
from survnode.node import errors
from survnode.node.results.identity import Predecessor, ResultRun
from survnode.node.retry import RetryPolicy, decide
from survnode.node.roles import ResultRole
from survnode.node.state import made
from survnode.node.state.database import Database
from survnode.node.state.files import replace_durably, sync_folder
from survnode.node.state.records import Job, JobState, PlannedDelivery, StoredObject
from survnode.node.work import jobs as queue
from survnode.node.work.pipeline import AnalysisOutcome, Pipeline

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


def work(database: Database, pipeline: Pipeline, place: Workplace, worker: str, stop: threading.Event) -> None:
    """Take jobs until ``stop`` is set; a job that was begun is brought to its end."""
    while not stop.is_set():
        job = queue.claim(database, worker, now=time.time(), lease_s=place.lease_s)
        if job is None:
            stop.wait(IDLE_POLL_S)
        else:
            _work_on(database, pipeline, place, job)


def _work_on(database: Database, pipeline: Pipeline, place: Workplace, job: Job) -> None:
    """Bring one claimed job to one of its ends."""
    fields = {"job": job.id, "study_instance_uid": job.study_instance_uid, "attempt": job.attempts}
    log.info("job.started", **fields)
    try:
        with _kept_alive(database, job, place.lease_s):
            outcome = _analyse(database, pipeline, place, job)
            speaks = outcome.reason is None or job.reports_refusal
            objects = _write(place.results, job, outcome) if speaks else []
        queue.finish(
            database, job, objects, list(_planned(objects, place.destinations, job)),
            now=time.time(), reason=outcome.reason, detail=outcome.detail,
        )  # fmt: skip
        log.info("job.finished", **fields, objects=len(objects), reason=outcome.reason and outcome.reason.value)
    except errors.LeaseLost:
        log.warning("job.lease_lost", **fields)
    except Exception as error:  # noqa: BLE001  the edge of a job: whatever it died of, a person must see it
        can_retry = error.can_retry if isinstance(error, errors.NodeError) else not isinstance(error, ModelError)
        decision = decide(place.retry, tries=job.attempts, elapsed_s=0, can_retry=can_retry)
        state = queue.fail(database, job, described(error), decision, now=time.time())
        say = log.error if state is JobState.FAILED else log.warning
        say("job.failed", **fields, state=str(state.value), error=described(error))


def _analyse(database: Database, pipeline: Pipeline, place: Workplace, job: Job) -> AnalysisOutcome:
    run = _run_of(database, place, job)
    paths = _paths(database, place, job)
    if job.reason is not None:
        headers = [ds for path in paths if (ds := _header(path)) is not None]
        if not headers:
            raise errors.StudyUnreadable("None of the study's files can be read, so no report can name its patient.")
        return pipeline.refuse(headers, job.reason, job.detail, run)
    return pipeline.analyse(read_series(paths), run)


def _run_of(database: Database, place: Workplace, job: Job) -> ResultRun:
    """The job's own time and predecessor: whoever runs it again makes the same objects."""
    with database.reading() as connection:
        before = made.last_report_before(connection, job)
    predecessor = None
    if before is not None:
        uids = (before.sop_class_uid, before.sop_instance_uid, before.series_instance_uid)
        predecessor = Predecessor(*uids, job.study_instance_uid)
    return ResultRun(
        created=datetime.fromtimestamp(job.created_at, UTC).astimezone(),
        version=job.version,
        predecessor=predecessor,
        software_version=place.software_version,
    )


def _paths(database: Database, place: Workplace, job: Job) -> list[Path]:
    """The files of the job's images."""
    with database.reading() as connection:
        images = made.images_of_study(connection, job.study_instance_uid)
    paths = {instance.sop_instance_uid: instance.path for instance in images}
    return [place.received / paths[uid] for uid in job.sop_instance_uids]


def _header(path: Path) -> Dataset | None:
    """A header for a refusal to point at; None if even that cannot be read."""
    try:
        return dcmread(path, stop_before_pixels=True, force=True)
    except Exception as error:  # noqa: BLE001  pydicom raises what a broken file happens to break
        log.warning("instance.unreadable", file=path.name, error=described(error))
        return None


def _write(folder: Path, job: Job, outcome: AnalysisOutcome) -> list[StoredObject]:
    """Bring the result objects to disk; a second run of the job writes the same bytes to the same places."""
    home = folder / f"{job.id:08d}"
    rows = []
    for item in outcome.objects:
        path = home / item.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(path, item.encode())
        rows.append(
            StoredObject(
                role=item.role,
                rank=item.rank,
                sop_class_uid=item.sop_class_uid,
                sop_instance_uid=item.sop_instance_uid,
                series_instance_uid=item.series_instance_uid,
                path=path.relative_to(folder).as_posix(),
            )
        )
    replace_durably(home / "prediction.json", json.dumps(outcome.summary, indent=2).encode())
    sync_folder(folder)
    return rows


def _planned(
    objects: Sequence[StoredObject], destinations: Mapping[str, frozenset[ResultRole]], job: Job
) -> Iterator[PlannedDelivery]:
    """Each object for each destination that takes it, of those that the job's study goes to."""
    for name, roles in destinations.items():
        if job.destinations is not None and name not in job.destinations:
            continue
        yield from (PlannedDelivery(item.sop_instance_uid, name) for item in objects if item.role in roles)


@contextmanager
def _kept_alive(database: Database, job: Job, lease_s: float) -> Iterator[None]:
    """Lengthen the lease from another thread while the block runs."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(lease_s / 4):
            try:
                queue.heartbeat(database, job, now=time.time(), lease_s=lease_s)
            except errors.LeaseLost:
                return  # `finish` will say so
            except errors.DatabaseBusy:
                log.warning("job.heartbeat_delayed", job=job.id)

    thread = threading.Thread(target=beat, daemon=True, name=f"heartbeat-{job.id}")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def described(error: BaseException) -> str:
    """An error for logs and people: our own words, but of a foreign error only its kind and place.

    Libraries quote attribute values in their messages, and those can be a patient's identity.
    """
    if isinstance(error, errors.NodeError | ModelError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}."
