"""Reads and writes of the result objects that jobs made, and of the images that they were made from."""

from collections.abc import Collection, Iterable

from sqlalchemy import insert, select, update

from survnode.node.roles import ResultRole
from survnode.node.state.database import Transaction, fetch, fetch_one, row_of
from survnode.node.state.records import Instance, InstanceState, Job, RecordedObject, StoredObject
from survnode.node.state.tables import instances, jobs, results


def images_of_study(connection: Transaction, study_instance_uid: str) -> list[Instance]:
    """Every image of a study, wherever its file stands."""
    return fetch(connection, Instance, select(instances).where(instances.c.study_instance_uid == study_instance_uid))


def mark_unreadable(connection: Transaction, sop_instance_uids: Iterable[str]) -> None:
    """Record that the files of images are not what was received."""
    for uid in sop_instance_uids:
        own = (instances.c.sop_instance_uid == uid, instances.c.state == InstanceState.STORED)
        connection.execute(update(instances).where(*own).values(state=InstanceState.UNREADABLE))


def find_result(connection: Transaction, result_id: int) -> RecordedObject:
    """The result object of a row that refers to it."""
    return fetch(connection, RecordedObject, select(results).where(results.c.id == result_id))[0]


def results_by_id(connection: Transaction, ids: Collection[int]) -> dict[int, RecordedObject]:
    """Result objects by their number."""
    return {
        result.id: result for result in fetch(connection, RecordedObject, select(results).where(results.c.id.in_(ids)))
    }


def originals_of(connection: Transaction, job_id: int, roles: Collection[ResultRole]) -> list[RecordedObject]:
    """What a job itself made in those roles, none of it in another SOP class."""
    own = select(results).where(results.c.job_id == job_id, results.c.role.in_(roles), results.c.variant_of.is_(None))
    return fetch(connection, RecordedObject, own.order_by(results.c.id))


def last_report_before(connection: Transaction, job: Job) -> RecordedObject | None:
    """The report of the newest earlier version of a job's study that made one."""
    before = (
        select(results)
        .join(jobs, jobs.c.id == results.c.job_id)
        .where(jobs.c.study_instance_uid == job.study_instance_uid, jobs.c.version < job.version)
        .where(results.c.role == ResultRole.REPORT, results.c.variant_of.is_(None))
        .order_by(jobs.c.version.desc())
        .limit(1)
    )
    return fetch_one(connection, RecordedObject, before)


def record_result(
    connection: Transaction, made: StoredObject, job_id: int, now: float, variant_of: int | None = None
) -> int:
    """The number of the row of ``made``, new or known."""
    own = (results.c.job_id == job_id, results.c.sop_instance_uid == made.sop_instance_uid)
    known = connection.execute(select(results.c.id).where(*own)).scalar()
    if known is None:
        row = row_of(made) | {"job_id": job_id, "created_at": now, "variant_of": variant_of}
        known = connection.execute(insert(results).values(row).returning(results.c.id)).scalar_one()
    return int(known)
