"""Reads and writes of the result objects that jobs made."""

from collections.abc import Collection

from sqlalchemy import insert, select

from survnode.node.roles import ResultRole
from survnode.node.state.database import Transaction, fetch, fetch_one, row_of
from survnode.node.state.records import Job, RecordedObject, StoredObject
from survnode.node.state.tables import jobs, results


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
