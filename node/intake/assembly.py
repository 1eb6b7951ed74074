"""When a study is complete, which of its series is analysed, and why not the others.

A study is judged when no image came for its quiet period. Exactly one job comes of it: to analyse one series, or to
report why none can be. Judging it again makes a new job, as the next version, if the newest one that stands is of other
images or another model, or was withdrawn: so the newest version in a PACS always tells of the study as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import structlog
from pydicom import Dataset
from sqlalchemy import Connection, insert, select, update

from survnode.model.ct.volume import MIN_SLICES, Arrangement, arrange, read_headers
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.node import errors
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Instance, InstanceState, Job, JobState, SeriesVerdict, Study, StudyState
from survnode.node.state.tables import deliveries, instances, jobs, studies, withdrawn_jobs

log = structlog.get_logger()

CHEST_MM = 150.0  # a series that covers less of the body is a part of a chest
MODEL_SPACING_MM = 3.0  # what the model sees

REPLACEABLE = (JobState.QUEUED, JobState.FAILED, JobState.QUARANTINED)  # that a newer version takes the place of


@dataclass(frozen=True)
class Choice:
    """What becomes of a study.

    Parameters
    ----------
    series_instance_uid : the series to analyse; with a ``reason``, the one that the reason is about
    reason, detail : why no series can be analysed; None if one can
    verdicts : on each series, by UID
    """

    series_instance_uid: str
    reason: Reason | None
    detail: str
    verdicts: tuple[SeriesVerdict, ...]


@dataclass(frozen=True)
class _Eligible:
    uid: str
    arrangement: Arrangement
    series_number: int

    @property
    def rank(self) -> tuple[bool, float, int, int, str]:
        """Least is best; each place is explained by the same place of `PREFERENCES`."""
        slices, spacing = len(self.arrangement.frames), self.arrangement.spacing_mm[0]
        short = self.arrangement.extent_mm < CHEST_MM
        return short, round(abs(spacing - MODEL_SPACING_MM), 2), -slices, self.series_number, self.uid


PREFERENCES = (
    f"covers at least {CHEST_MM:.0f} mm",
    f"has slices nearer to {MODEL_SPACING_MM:.0f} mm apart",
    "has more slices",
    "has the lower series number",
    "has the lower series UID",
)


def choose(series: Mapping[str, Sequence[Dataset]], *, min_slices: int = MIN_SLICES, lossy: bool = False) -> Choice:
    """The one series of a study to analyse, or the most telling reason why there is none.

    Of several that can be analysed, the one that covers at least 150 mm along its normal, has its slices nearest to
    3 mm apart, has the most slices, the lowest series number, the lowest UID: the first of these rules that tells two
    apart decides. Of several that cannot, the reason of the largest is told.

    Parameters
    ----------
    series : the headers of each series by its UID
    min_slices, lossy : see `survnode.model.ct.volume.arrange`
    """
    if not series:
        return Choice("", Reason.NO_ELIGIBLE_SERIES, "None of its files can be read.", ())
    judged = {uid: _judge(uid, series[uid], min_slices, lossy) for uid in sorted(series)}
    eligible = [found for found in judged.values() if isinstance(found, _Eligible)]
    if eligible:
        best = min(eligible, key=lambda candidate: candidate.rank)
        verdicts = [found if isinstance(found, SeriesVerdict) else _compared(found, best) for found in judged.values()]
        return Choice(best.uid, None, "", tuple(verdicts))
    refused = [found for found in judged.values() if isinstance(found, SeriesVerdict)]
    telling = max(refused, key=lambda verdict: (verdict.images, verdict.series_instance_uid))
    return Choice(telling.series_instance_uid, telling.reason, telling.detail, tuple(refused))


def input_digest(choice: Choice, sop_instance_uids: Sequence[str]) -> str:
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
    min_slices, lossy : see `survnode.model.ct.volume.arrange`
    """

    database: Database
    folder: Path
    device_uid: str
    min_slices: int = MIN_SLICES
    lossy: bool = False

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
        choice = choose(series, min_slices=self.min_slices, lossy=self.lossy)
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
        self, connection: Connection, study: Study, choice: Choice, uids: Sequence[str], now: float
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


def _judge(uid: str, datasets: Sequence[Dataset], min_slices: int, lossy: bool) -> _Eligible | SeriesVerdict:
    try:
        arrangement = arrange(datasets, min_slices=min_slices, allow_lossy=lossy)
        return _Eligible(uid, arrangement, int(datasets[0].get("SeriesNumber") or 0))
    except SeriesUnsuitable as error:
        return SeriesVerdict(uid, len(datasets), chosen=False, reason=error.reason, detail=error.detail)
    except Exception as error:  # noqa: BLE001  a header may hold anything: this series is refused, the others judged
        detail = f"Its headers cannot be used ({type(error).__name__})."
        return SeriesVerdict(uid, len(datasets), chosen=False, reason=Reason.NO_ELIGIBLE_SERIES, detail=detail)


def _compared(candidate: _Eligible, best: _Eligible) -> SeriesVerdict:
    """The verdict on a series that can be analysed."""
    images = len(candidate.arrangement.frames)
    if candidate.uid == best.uid:
        return SeriesVerdict(candidate.uid, images, chosen=True, reason=None)
    ranks = zip(candidate.rank, best.rank, PREFERENCES, strict=True)
    preference = next(text for mine, other, text in ranks if mine != other)
    return SeriesVerdict(candidate.uid, images, chosen=False, reason=None, detail=f"The chosen series {preference}.")


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


def _uids(study: Study, choice: Choice) -> dict[str, str]:
    return {"study_instance_uid": study.study_instance_uid, "series_instance_uid": choice.series_instance_uid}
