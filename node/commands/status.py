"""What a person asks of the node: studies, jobs and deliveries as plain values for tables and JSON."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from survnode.node.delivery import outbox
from survnode.node.delivery.commitment import Commitments
from survnode.node.errors import NotRetryable, RecordNotFound
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Delivery, DeliveryState, Job, JobState, RecordedObject, Study, StudyState
from survnode.node.state.rejudging import judge_again
from survnode.node.state.tables import deliveries, instances, jobs, results, studies
from survnode.node.work import jobs as queue

Row = dict[str, Any]


class Status:
    """Reads the tables, and takes up again what failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def studies(self) -> list[Row]:
        """Every study, newest first."""
        with self._database.reading() as connection:
            found = fetch(connection, Study, select(studies).order_by(studies.c.last_received_at.desc()))
            counted = select(instances.c.study_instance_uid, func.count()).group_by(instances.c.study_instance_uid)
            images = {uid: number for uid, number in connection.execute(counted)}  # noqa: C416  dict() knows no rows
            newest = {job.study_instance_uid: job for job in fetch(connection, Job, select(jobs).order_by(jobs.c.id))}
        return [_study_row(study, images, newest.get(study.study_instance_uid)) for study in found]

    def study(self, uid: str) -> Row:
        """One study with its series, jobs and deliveries.

        Raises
        ------
        RecordNotFound
        """
        rows = [row for row in self.studies() if row["study_instance_uid"] == uid]
        if not rows:
            raise RecordNotFound(f"There is no study {uid}.")
        mine = [job for job in self._jobs() if job.study_instance_uid == uid]
        series = [
            {
                "series_instance_uid": verdict.series_instance_uid,
                "images": verdict.images,
                "chosen": verdict.chosen,
                "reason": verdict.reason and verdict.reason.value,
                "detail": verdict.detail,
            }
            for verdict in (mine[-1].verdicts if mine else ())
        ]
        with self._database.reading() as connection:
            found = fetch(connection, Study, select(studies).where(studies.c.study_instance_uid == uid))[0]
        return {
            **rows[0],
            "sentence": found.state.sentence,
            "error": found.error,
            "series": series,
            "jobs": [_job_row(job) for job in mine],
            "deliveries": [row for job in mine for row in self._delivery_rows(job.id)],
        }

    def jobs(self) -> list[Row]:
        """Every job, newest first."""
        return [_job_row(job) for job in reversed(self._jobs())]

    def job(self, number: int) -> Row:
        """One job with its results and deliveries.

        Raises
        ------
        RecordNotFound
        """
        job = queue.get(self._database, number)
        return {
            **_job_row(job),
            "sentence": job.state.sentence,
            "series_instance_uid": job.series_instance_uid,
            "images": len(job.sop_instance_uids),
            "device_uid": job.device_uid,
            "detail": job.detail,
            "results": [
                {"role": str(result.role.value), "sop_instance_uid": result.sop_instance_uid, "path": result.path}
                for result in self._results(number)
            ],
            "deliveries": self._delivery_rows(number),
        }

    def retry_job(self, number: int) -> Row:
        """Queue a failed or quarantined job again; of a finished one, send or ask for again what has failed.

        Raises
        ------
        RecordNotFound, NotRetryable
        """
        job = queue.get(self._database, number)
        if job.state is JobState.FINISHED:
            if not self._retry_deliveries(number):
                raise NotRetryable(f"Job {number} is finished, and none of its deliveries has failed.")
        else:
            queue.retry(self._database, number, now=time.time())
        return self.job(number)

    def retry_study(self, uid: str) -> Row:
        """Take up whatever failed in a study: its judgement, its newest job, its deliveries.

        Raises
        ------
        RecordNotFound, NotRetryable
        """
        study = self.study(uid)
        tried = 0
        if study["state"] == StudyState.UNASSEMBLED.value:
            tried += judge_again(self._database, uid, now=time.time())
        for job in study["jobs"]:
            if job["state"] in {state.value for state in queue.RETRYABLE}:
                queue.retry(self._database, job["job"], now=time.time())
                tried += 1
            tried += self._retry_deliveries(job["job"])
        if not tried:
            raise NotRetryable(f"Nothing in study {uid} has failed.")
        return self.study(uid)

    def _retry_deliveries(self, job_id: int) -> int:
        box = outbox.Outbox(self._database, self._database.path.parent)
        failed = [item for item in self._deliveries(job_id) if item.state in outbox.RETRYABLE]
        for item in failed:
            box.retry(item.id)
        return len(failed) + Commitments(self._database).retry(job_id)

    def _jobs(self) -> list[Job]:
        with self._database.reading() as connection:
            return fetch(connection, Job, select(jobs).order_by(jobs.c.id))

    def _results(self, job_id: int) -> list[RecordedObject]:
        with self._database.reading() as connection:
            return fetch(
                connection, RecordedObject, select(results).where(results.c.job_id == job_id).order_by(results.c.id)
            )

    def _deliveries(self, job_id: int) -> list[Delivery]:
        mine = select(deliveries).where(deliveries.c.job_id == job_id).order_by(deliveries.c.id)
        with self._database.reading() as connection:
            return fetch(connection, Delivery, mine)

    def _delivery_rows(self, job_id: int) -> list[Row]:
        by_id = {result.id: result for result in self._results(job_id)}
        return [_delivery_row(item, by_id[item.result_id]) for item in self._deliveries(job_id)]


def settled(rows: Sequence[Row]) -> bool:
    """Whether none of the deliveries still waits."""
    return all(row["state"] != DeliveryState.WAITING.value for row in rows)


def _study_row(study: Study, images: dict[str, int], newest: Job | None) -> Row:
    return {
        "study_instance_uid": study.study_instance_uid,
        "state": str(study.state.value),
        "images": images.get(study.study_instance_uid, 0),
        "last_received": _time(study.last_received_at),
        "due": _time(study.due_at),
        "job": newest and newest.id,
        "job_state": newest and str(newest.state.value),
        "reason": newest and newest.reason and str(newest.reason.value),
    }


def _job_row(job: Job) -> Row:
    return {
        "job": job.id,
        "study_instance_uid": job.study_instance_uid,
        "version": job.version,
        "state": str(job.state.value),
        "reason": job.reason and str(job.reason.value),
        "attempts": job.attempts,
        "kills": job.kills,
        "created": _time(job.created_at),
        "ended": _time(job.ended_at),
        "error": job.error,
    }


def _delivery_row(delivery: Delivery, result: RecordedObject) -> Row:
    return {
        "destination": delivery.destination,
        "role": str(result.role.value),
        "rank": result.rank,
        "state": str(delivery.state.value),
        "tries": delivery.tries,
        "status": None if delivery.status is None else f"0x{delivery.status:04X}",
        "due": _time(delivery.due_at) if delivery.state is DeliveryState.WAITING else None,
        "error": delivery.error,
        "commitment": str(delivery.commitment.value),
        "commitment_due": _time(delivery.commitment_due_at),
        "commitment_error": delivery.commitment_error,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
