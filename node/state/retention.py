"""What may be deleted, and when: the files of studies whose results have arrived; nothing else, ever.

A report stays longer than the images and the other results: a withdrawal, which may come much later, needs to know
whom the results are about.

The rows remain. A study that is sent again after its files were deleted is stored again, and judged again when it is
whole: for the same model its job is known, so nothing new is sent and the files go once more after their time; for a
new model it is analysed. If only some of its images come again it is shown as PARTLY_DELETED and not judged. What is
not CT, where it is kept, goes with its study's CT.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree

from sqlalchemy import Connection, delete, select, update

from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch, fetch_one
from survnode.node.state.files import other_folder
from survnode.node.state.records import (
    CommitmentState,
    Delivery,
    DeliveryState,
    Instance,
    InstanceState,
    Job,
    JobState,
    RecordedObject,
    Study,
    StudyState,
)
from survnode.node.state.tables import associations, deliveries, instances, jobs, results, studies

UNSETTLED = (DeliveryState.WAITING, DeliveryState.RECALLED)
ENDED = (JobState.FINISHED, JobState.SUPERSEDED)  # a failed or quarantined job still needs its images

JOBS_AT_ONCE = 200  # whose objects are in memory together

SETTLED = (StudyState.ASSEMBLED, StudyState.IGNORED)


def may_delete(
    study: Study, of_jobs: Sequence[Job], of_deliveries: Sequence[Delivery], *, now: float, retention_s: float
) -> bool:
    """Whether the files of a study are needed no more.

    Its jobs ended, at least one with a result, or it is ignored; no delivery waits, nor an answer on its commitment;
    and ``retention_s`` passed since the last of all that happened to it.
    """
    if study.state not in SETTLED or study.due_at is not None:
        return False
    states = {job.state for job in of_jobs}
    ignored = study.state is StudyState.IGNORED
    if not states.issubset(ENDED) or (JobState.FINISHED not in states and not ignored):
        return False
    if any(delivery.state in UNSETTLED for delivery in of_deliveries):
        return False
    if any(delivery.commitment_due_at is not None for delivery in of_deliveries):
        return False
    ends = [job.ended_at or 0.0 for job in of_jobs] + [delivery.settled_at or 0.0 for delivery in of_deliveries]
    return max([study.last_received_at, *ends]) + retention_s <= now


def has_arrived(of_deliveries: Sequence[Delivery]) -> bool:
    """Whether the file of a result object is needed no more: every destination has it, or is not to, and there is one.

    One that was asked to commit to it must have done so.
    """
    there = (DeliveryState.SENT, DeliveryState.WITHDRAWN)
    kept = (CommitmentState.NONE, CommitmentState.COMMITTED)
    return bool(of_deliveries) and all(it.state in there and it.commitment in kept for it in of_deliveries)


def delete_expired(
    database: Database, store_folder: Path, results_folder: Path, *, now: float, retention_s: float
) -> list[str]:
    """Delete the files of every study that may be deleted; the studies' UIDs.

    Parameters
    ----------
    store_folder, results_folder : that the paths of instances and of result objects are relative to
    """
    with database.reading() as connection:
        old = studies.c.last_received_at <= now - retention_s
        candidates = select(studies).where(studies.c.state.in_(SETTLED), old)
        uids = [study.study_instance_uid for study in fetch(connection, Study, candidates)]
    deleted = []
    for uid in uids:
        with database.transaction() as connection:
            arrived = _mark_deleted(connection, uid, now, retention_s)
        if arrived is None:
            continue
        with database.transaction() as connection:
            _unlink_deleted(connection, uid, store_folder)
        rmtree(store_folder / other_folder(uid), ignore_errors=True)
        for result in arrived:
            (results_folder / result.path).unlink(missing_ok=True)
        deleted.append(uid)
    return deleted


def delete_reports(database: Database, results_folder: Path, *, now: float, retention_s: float) -> int:
    """Delete what is left of deleted studies whose job ended ``retention_s`` ago; the number of objects that went.

    These are the reports, and what was made of them since: reports in other classes, and notes of withdrawal.
    """
    return sum(
        _delete_reports_of(database, results_folder, numbers, ended_before=now - retention_s)
        for numbers in _batches_of_homes(results_folder)
    )


def _delete_reports_of(database: Database, results_folder: Path, numbers: Sequence[int], *, ended_before: float) -> int:
    with database.reading() as connection:
        old = (
            select(jobs.c.id)
            .join(studies, studies.c.study_instance_uid == jobs.c.study_instance_uid)
            .where(jobs.c.id.in_(numbers), studies.c.state == StudyState.DELETED, jobs.c.ended_at <= ended_before)
        )
        objects = fetch(connection, RecordedObject, select(results).where(results.c.job_id.in_(old)))
        sent = fetch(connection, Delivery, select(deliveries).where(deliveries.c.job_id.in_(old)))
        of_jobs = fetch(connection, Job, select(jobs).where(jobs.c.id.in_(old)))
    there = [item.path for item in _needed_no_more(objects, sent, of_jobs) if (results_folder / item.path).exists()]
    for path in there:
        (results_folder / path).unlink(missing_ok=True)
    for home in {Path(path).parts[0] for path in there}:
        _remove_if_done(results_folder / home)
    return len(there)


def delete_associations(database: Database, *, now: float, retention_s: float) -> int:
    """Forget the associations that ended ``retention_s`` ago; how many."""
    old = associations.c.ended_at <= now - retention_s
    with database.transaction() as connection:
        return connection.execute(delete(associations).where(old)).rowcount


def _batches_of_homes(results_folder: Path) -> Iterator[Sequence[int]]:
    """The numbers of the jobs that have a folder still, some at a time: most of all that ever were have none."""
    numbers = sorted(int(home.name) for home in results_folder.iterdir() if home.name.isdigit())
    for start in range(0, len(numbers), JOBS_AT_ONCE):
        yield numbers[start : start + JOBS_AT_ONCE]


def _remove_if_done(home: Path) -> None:
    """Remove the folder of a job that holds no object any more."""
    if home.is_dir() and not any(home.rglob("*.dcm")):
        rmtree(home)


def _mark_deleted(connection: Connection, uid: str, now: float, retention_s: float) -> list[RecordedObject] | None:
    """Record that the files of a study go; the result objects that go with them, None if it must stay after all."""
    of_study = studies.c.study_instance_uid == uid
    study = fetch_one(connection, Study, select(studies).where(of_study))
    of_jobs = fetch(connection, Job, select(jobs).where(jobs.c.study_instance_uid == uid))
    job_ids = [job.id for job in of_jobs]
    sent = fetch(connection, Delivery, select(deliveries).where(deliveries.c.job_id.in_(job_ids)))
    if study is None or not may_delete(study, of_jobs, sent, now=now, retention_s=retention_s):
        return None
    connection.execute(update(studies).where(of_study).values(state=StudyState.DELETED))
    connection.execute(
        update(instances).where(instances.c.study_instance_uid == uid).values(state=InstanceState.DELETED)
    )
    objects = fetch(connection, RecordedObject, select(results).where(results.c.job_id.in_(job_ids)))
    return [item for item in _needed_no_more(objects, sent, of_jobs) if not _is_report(item)]


def _needed_no_more(
    objects: Sequence[RecordedObject], sent: Sequence[Delivery], of_jobs: Sequence[Job]
) -> list[RecordedObject]:
    """Those that arrived, or that nobody was to get; a report and its variants in other classes stay or go together."""
    original = {item.id: item.variant_of or item.id for item in objects}
    for_nobody = {job.id for job in of_jobs if job.destinations == ()}

    def is_needed(item: RecordedObject) -> bool:
        own = [it for it in sent if original[it.result_id] == original[item.id]]
        return not has_arrived(own) and (bool(own) or item.job_id not in for_nobody)

    return [item for item in objects if not is_needed(item)]


def _is_report(item: RecordedObject) -> bool:
    return item.role is ResultRole.REPORT and item.variant_of is None


def _unlink_deleted(connection: Connection, uid: str, folder: Path) -> None:
    """Delete the files, in a transaction of their own: while it lasts no instance can be stored again.

    A crash before it leaves files whose rows say DELETED: the receiver's sweep removes them at its next start.
    """
    gone = select(instances).where(instances.c.study_instance_uid == uid, instances.c.state == InstanceState.DELETED)
    for instance in fetch(connection, Instance, gone):
        (folder / instance.path).unlink(missing_ok=True)
