"""When a study is complete, and what is then done with it.

A study is judged when no image came for its quiet period. Either one job comes of it, to analyse one series or to
report why none can be; or it is ignored, for a reason that is recorded: a rule says so, it holds no CT, or nothing of
it can be analysed and its headers name no chest, so that nobody waits for a report.

Judging it again makes a new job, as the next version, if the newest one that stands is of other images or another
model, or was withdrawn: so the newest version in a PACS always tells of the study as it is.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import structlog

from survnode.model.ct.selection import SeriesChoice
from survnode.node import errors
from survnode.node.intake.evidence import Evidence, FileJudge, Judge
from survnode.node.intake.judgement import JudgedStudy
from survnode.node.intake.rules import Route, Routes
from survnode.node.state import check_rows, image_rows, job_rows, study_rows
from survnode.node.state.database import Database, Transaction
from survnode.node.state.records import Completeness, Instance, InstanceState, Job, JobState, Study, StudyState

log = structlog.get_logger()

JUDGING_DEATHS = 2  # of a study: once may be the machine's fault
REPLACEABLE = (JobState.QUEUED, JobState.FAILED, JobState.QUARANTINED)  # that a newer version takes the place of


def input_digest(choice: SeriesChoice, images: Mapping[str, str]) -> str:
    """What a job depends on, beside the model, as one sha256.

    Parameters
    ----------
    images : the sha256 of each by its SOP Instance UID
    """
    parts = [choice.series_instance_uid, choice.reason or "", *(" ".join(it) for it in sorted(images.items()))]
    return sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Assembly:
    """Judges the studies in ``database``.

    Parameters
    ----------
    folder : of the store
    device_uid : of the model that is to analyse them
    spacing_mm : between the slices that this model sees
    routes : the site's rules
    judge : reads the files of a study; by default in this process
    patience_s : how long a due study waits until a source has said whether it came whole; None: none is asked
    uptime_s : since the node started; before, nobody was asked
    """

    database: Database
    folder: Path
    device_uid: str
    spacing_mm: float
    routes: Routes = field(default_factory=Routes)
    judge: Judge | None = None
    _deaths: Counter[tuple[str, int]] = field(default_factory=Counter, init=False)  # by study and revision
    patience_s: float | None = None
    uptime_s: Callable[[], float] = lambda: math.inf

    def assemble_due(self, now: float) -> list[int]:
        """Judge every study whose quiet period is over; the ids of the new jobs."""
        with self.database.reading() as connection:
            due = check_rows.due_studies(connection, now, self._unchecked_before(now))
        created = [self._assemble_or_explain(study, now) for study in due]
        return [job for job in created if job is not None]

    def _unchecked_before(self, now: float) -> float | None:
        if self.patience_s is None:
            return None
        return now - self.patience_s if self.uptime_s() >= self.patience_s else -math.inf

    def _assemble_or_explain(self, study: Study, now: float) -> int | None:
        try:
            return self._assemble(study, now)
        except errors.JudgingDied as death:
            self._set_aside_if_repeated(study, death)
            return None
        except errors.JudgingFailed as failure:
            log.error("study.unassembled", study_instance_uid=study.study_instance_uid, trace=failure.trace)
            self._end(study, StudyState.UNASSEMBLED, str(failure))
            return None
        except errors.NodeError:
            raise  # the database or the disk failed, not this study: it stays due
        except Exception as error:  # noqa: BLE001  the edge of a study: the next one must be judged
            log.error("study.unassembled", study_instance_uid=study.study_instance_uid, trace=errors.trace_of(error))
            self._end(study, StudyState.UNASSEMBLED, f"Judging it failed: {type(error).__name__}.")
            return None

    def _set_aside_if_repeated(self, study: Study, death: errors.JudgingDied) -> None:
        """Leave a study due whose judging died; at the second time, which no accident explains, set it aside."""
        key = (study.study_instance_uid, study.revision)
        self._deaths[key] += 1
        log.warning("study.judging_died", study_instance_uid=study.study_instance_uid, error=str(death))
        if self._deaths[key] >= JUDGING_DEATHS:
            del self._deaths[key]
            log.error("study.unassembled", study_instance_uid=study.study_instance_uid, error=str(death))
            self._end(study, StudyState.UNASSEMBLED, f"Judging it failed {JUDGING_DEATHS} times: {death}.")

    def _assemble(self, study: Study, now: float) -> int | None:
        with self.database.reading() as connection:
            received = image_rows.images_of_study(connection, study.study_instance_uid)
            others = study_rows.other_series_of_study(connection, study.study_instance_uid)
        obstacle = obstacle_of(study, received)
        if obstacle is not None:
            log.error("study.not_judged", study_instance_uid=study.study_instance_uid, state=obstacle)
            self._end(study, obstacle)
            return None
        judge = self.judge or FileJudge(self.folder, self.routes, self.spacing_mm)
        verdict = judge.judge(Evidence(study, received, others))
        judged = verdict.judged
        if self._is_still_quiet(study, judged.route, now):
            return None
        with self.database.transaction() as connection:
            replaces = study_rows.has_results(connection, study.study_instance_uid)
            ignored = judged.ignored(replaces=replaces) if received else judged.without_ct(others)
            state = StudyState.IGNORED if ignored else StudyState.ASSEMBLED
            if not study_rows.settle_study(connection, study, state, detail=ignored, rule=judged.route.rule):
                return None  # an image came while the headers were read: its quiet period has begun
            for uid in verdict.unreadable:
                log.error("instance.unreadable", sop_instance_uid=uid)
            image_rows.mark_unreadable(connection, verdict.unreadable)
            if ignored:
                log.info("study.ignored", study_instance_uid=study.study_instance_uid, rule=judged.route.rule)
                return None
            chosen = set(verdict.sop_instance_uids)
            images = {it.sop_instance_uid: it.sha256 for it in received if it.sop_instance_uid in chosen}
            return self._add_job(connection, study, judged, images, now)

    def _is_still_quiet(self, study: Study, route: Route, now: float) -> bool:
        """Let a study wait whose rule, which only the whole of it shows, gives it a longer quiet period."""
        due_at = study.last_received_at + route.quiet_period_s
        if due_at <= now or route.quiet_period_s <= self.routes.quiet_period_s:
            return False
        with self.database.transaction() as connection:
            study_rows.postpone_study(connection, study, due_at)
        return True

    def _end(self, study: Study, state: StudyState, error: str = "") -> None:
        with self.database.transaction() as connection:
            study_rows.settle_study(connection, study, state, error=error)

    def _add_job(
        self, connection: Transaction, study: Study, judged: JudgedStudy, images: Mapping[str, str], now: float
    ) -> int | None:
        """The id of the job that the choice calls for; None if there is one already."""
        choice = judged.choice
        digest = input_digest(choice, images)
        known = job_rows.jobs_of_study(connection, study.study_instance_uid)
        withdrawn = job_rows.withdrawn_among(connection, [job.id for job in known])
        wanted = (self.device_uid, digest)
        standing, replaced = standing_of([job for job in known if job.id not in withdrawn], wanted)
        job_rows.supersede(connection, [job.id for job in replaced], now)
        reports = judged.reports(replaces=study_rows.has_results(connection, study.study_instance_uid))
        if standing is not None and (standing.device_uid, standing.input_digest) == wanted:
            unsaid = standing.reason if standing.state is JobState.FINISHED and not standing.reports_refusal else None
            if unsaid is not None and not reports:
                study_rows.ignore_study(connection, study.study_instance_uid, unsaid, standing.detail)
            standing = None if unsaid is not None and reports else standing
        if standing is not None and (standing.device_uid, standing.input_digest) == wanted:
            log.info("study.unchanged", study_instance_uid=study.study_instance_uid, job=standing.id)
            job_rows.requeue_failed(connection, standing, now)
            return None
        version = known[0].version + 1 if known else 1
        job = Job(
            id=0,
            study_instance_uid=study.study_instance_uid,
            series_instance_uid=choice.series_instance_uid,
            sop_instance_uids=tuple(sorted(images)),
            input_digest=digest,
            device_uid=self.device_uid,
            version=version,
            reason=choice.reason,
            detail=choice.detail,
            verdicts=choice.verdicts,
            state=JobState.QUEUED,
            created_at=now,
            due_at=now,
            destinations=judged.route.destinations,
            reports_refusal=reports,
            completeness=self._completeness(connection, study, choice),
        )
        job_id = job_rows.add_job(connection, job)
        log.info("job.created", job=job_id, version=version, reason=choice.reason, **_uids(study, choice))
        return job_id

    def _completeness(self, connection: Transaction, study: Study, choice: SeriesChoice) -> Completeness | None:
        if self.patience_s is None:
            return None
        return check_rows.completeness_of(connection, study, choice.series_instance_uid)


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


def _uids(study: Study, choice: SeriesChoice) -> dict[str, str]:
    return {"study_instance_uid": study.study_instance_uid, "series_instance_uid": choice.series_instance_uid}
