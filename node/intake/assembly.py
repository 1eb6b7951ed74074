"""When a study is complete, and what is then done with it.

A study is judged when no image came for its quiet period. Exactly one job comes of it: to analyse one series, or to
report why none can be. Judging it again makes a new job, as the next version, if the newest one that stands is of other
images or another model, or was withdrawn: so the newest version in a PACS always tells of the study as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import structlog
from pydicom import Dataset
from sqlalchemy import Connection, insert, select, update

from survnode.model.ct.selection import SeriesChoice, choose
from survnode.model.ct.volume import read_headers
from survnode.node import errors
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Instance, InstanceState, Job, JobState, Study, StudyState
from survnode.node.state.tables import deliveries, instances, jobs, studies, withdrawn_jobs

log = structlog.get_logger()

REPLACEABLE = (JobState.QUEUED, JobState.FAILED, JobState.QUARANTINED)  # that a newer version takes the place of


def input_digest(choice: SeriesChoice, sop_instance_uids: Sequence[str]) -> str:
    """What a job depends on, beside the model, as one sha256."""
    parts = [choice.series_instance_uid, choice.reason or "", *sorted(sop_instance_uids)]
    return sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Assembly:
    """Judges the studies in ``database``.

    Parameters
    ----------
    folder : of the store
    device_uid : of the model that is to analyse them
    spacing_mm : between the slices that this model sees
    """

    database: Database
    folder: Path
    device_uid: str
    spacing_mm: float

    def assemble_due(self, now: float) -> list[int]:
        """Judge every study whose quiet period is over; the ids of the new jobs."""
        with self.database.reading() as connection:
            due = fetch(connection, Study, select(studies).where(studies.c.due_at <= now).order_by(studies.c.due_at))
        created = [self._assemble_or_explain(study, now) for study in due]
        return [job for job in created if job is not None]

    def _assemble_or_explain(self, study: Study, now: float) -> int | None:
        try:
            return self._assemble(study, now)
        except errors.NodeError:
            raise  # the database or the disk failed, not this study: it stays due
        except Exception as error:  # noqa: BLE001  the edge of a study: the next one must be judged
            log.error("study.unassembled", study_instance_uid=study.study_instance_uid, trace=errors.trace_of(error))
            with self.database.transaction() as connection:
                _settle(connection, study, StudyState.UNASSEMBLED, f"Judging it failed: {type(error).__name__}.")
            return None

    def _assemble(self, study: Study, now: float) -> int | None:
        with self.database.reading() as connection:
            mine = instances.c.study_instance_uid == study.study_instance_uid
            found = fetch(connection, Instance, select(instances).where(mine))
        obstacle = obstacle_of(study, found)
        if obstacle is not None:
            log.error("study.not_judged", study_instance_uid=study.study_instance_uid, state=obstacle)
            with self.database.transaction() as connection:
                _settle(connection, study, obstacle, "")
            return None
        series, unreadable = self._read(found)
        choice = choose(series, self.spacing_mm)
        with self.database.transaction() as connection:
            if not _settle(connection, study, StudyState.ASSEMBLED, ""):
                return None  # an image came while the headers were read: its quiet period has begun
            for uid in unreadable:
                statement = update(instances).where(instances.c.sop_instance_uid == uid)
                connection.execute(statement.values(state=InstanceState.UNREADABLE))
            uids = sorted(str(ds.SOPInstanceUID) for ds in series.get(choice.series_instance_uid, ()))
            return self._add_job(connection, study, choice, uids, now)

    def _read(self, found: Sequence[Instance]) -> tuple[dict[str, list[Dataset]], list[str]]:
        """The headers of each series by its UID, and the SOP Instance UIDs whose files cannot be read."""
        series: dict[str, list[Dataset]] = {}
        unreadable = []
        for instance in found:
            if instance.state is not InstanceState.STORED:
                continue
            header = _header_of(self.folder / instance.path)
            if header is None:
                unreadable.append(instance.sop_instance_uid)
                log.error("instance.unreadable", sop_instance_uid=instance.sop_instance_uid)
            else:
                series.setdefault(instance.series_instance_uid, []).append(header)
        return series, unreadable

    def _add_job(
        self, connection: Connection, study: Study, choice: SeriesChoice, uids: Sequence[str], now: float
    ) -> int | None:
        """The id of the job that the choice calls for; None if there is one already."""
        digest = input_digest(choice, uids)
        of_study = select(jobs).where(jobs.c.study_instance_uid == study.study_instance_uid)
        known = fetch(connection, Job, of_study.order_by(jobs.c.version.desc()))
        of_known = deliveries.c.job_id.in_([job.id for job in known])
        withdrawn = set(connection.execute(withdrawn_jobs().where(of_known)).scalars())
        wanted = (self.device_uid, digest)
        standing, replaced = standing_of([job for job in known if job.id not in withdrawn], wanted)
        gone = update(jobs).where(jobs.c.id.in_([job.id for job in replaced]))
        connection.execute(gone.values(state=JobState.SUPERSEDED, ended_at=now))
        if standing is not None and (standing.device_uid, standing.input_digest) == wanted:
            log.info("study.unchanged", study_instance_uid=study.study_instance_uid, job=standing.id)
            return None
        version = known[0].version + 1 if known else 1
        row = {
            "study_instance_uid": study.study_instance_uid,
            "series_instance_uid": choice.series_instance_uid,
            "sop_instance_uids": tuple(uids),
            "input_digest": digest,
            "device_uid": self.device_uid,
            "version": version,
            "reason": choice.reason,
            "detail": choice.detail,
            "verdicts": choice.verdicts,
            "state": JobState.QUEUED,
            "created_at": now,
            "due_at": now,
        }
        job_id = int(connection.execute(insert(jobs).values(row).returning(jobs.c.id)).scalar_one())
        log.info("job.created", job=job_id, version=version, reason=choice.reason, **_uids(study, choice))
        return job_id


def standing_of(newest_first: Sequence[Job], wanted: tuple[str, str]) -> tuple[Job | None, list[Job]]:
    """The job that says what the PACS holds of a study, or will hold; and the newer ones that a new job replaces.

    It is the newest that runs or has run, so that a study which goes back to an earlier choice gets a new version, or
    a waiting or failed one that is ``wanted`` all the same.

    Parameters
    ----------
    wanted : model's Device UID and input digest
    """
    replaced = []
    for job in newest_first:
        if job.state in REPLACEABLE and (job.device_uid, job.input_digest) != wanted:
            replaced.append(job)
        elif job.state is not JobState.SUPERSEDED:
            return job, replaced
    return None, replaced


def obstacle_of(study: Study, found: Sequence[Instance]) -> StudyState | None:
    """Why a study must not be judged, whatever its images show; None if it may be."""
    if study.patient_conflict:
        return StudyState.PATIENT_CONFLICT
    if any(instance.state is InstanceState.DELETED for instance in found):
        return StudyState.PARTLY_DELETED
    return None


def _header_of(path: Path) -> Dataset | None:
    """The data set without its pixels; None if it cannot be read."""
    try:
        return read_headers([path])[0]
    except Exception:  # noqa: BLE001  pydicom raises what it likes at bytes that are no data set
        return None


def _settle(connection: Connection, study: Study, state: StudyState, error: str) -> bool:
    """Take a study off the clock, unless it changed since it was read."""
    unchanged = (
        studies.c.study_instance_uid == study.study_instance_uid,
        studies.c.revision == study.revision,
        studies.c.due_at == study.due_at,
    )
    settled = update(studies).where(*unchanged).values(state=state, due_at=None, error=error)
    return connection.execute(settled).rowcount == 1


def _uids(study: Study, choice: SeriesChoice) -> dict[str, str]:
    return {"study_instance_uid": study.study_instance_uid, "series_instance_uid": choice.series_instance_uid}
