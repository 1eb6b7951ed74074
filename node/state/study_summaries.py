"""The queries for what a person is shown of studies and jobs; each reads the rows that it shows and no more."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, true, type_coerce

from survnode.node.errors import RecordNotFound
from survnode.node.state import check_rows
from survnode.node.state.column_types import MemberColumn
from survnode.node.state.database import Database, Transaction, fetch, fetch_one, row_of
from survnode.node.state.delivery_rows import withdrawn_jobs
from survnode.node.state.delivery_summaries import of_job, of_study
from survnode.node.state.paging import listing
from survnode.node.state.quarantine_rows import list_quarantined
from survnode.node.state.readable_columns import moment
from survnode.node.state.records import Job, JobState, OtherSeries, StudyState
from survnode.node.state.summaries import (
    ComparedSeries,
    JobDetail,
    JobSummary,
    Listing,
    Page,
    ResultSummary,
    Search,
    Standing,
    StudyCounts,
    StudyDetail,
    StudySummary,
)
from survnode.node.state.tables import (
    deliveries,
    instances,
    jobs,
    other_series,
    results,
    studies,
)

_IN_WORK = (JobState.QUEUED, JobState.RUNNING)
_NEED_HELP = (StudyState.PATIENT_CONFLICT, StudyState.UNASSEMBLED, StudyState.PARTLY_DELETED)

_newest = (
    select(func.max(jobs.c.version))
    .where(jobs.c.study_instance_uid == studies.c.study_instance_uid, jobs.c.state != JobState.SUPERSEDED)
    .correlate(studies)
    .scalar_subquery()
)
# + 0: looked up by study and version, SQLite would take the index of their uniqueness and then read each job's row,
# whose UIDs fill pages; so it takes `jobs_by_standing`, which holds all that is needed (100,000: 1.3 s, not 4.2 s).
_with_newest_job = studies.outerjoin(
    jobs, and_(jobs.c.study_instance_uid == studies.c.study_instance_uid, jobs.c.version + 0 == _newest)
)
_withdrawn = withdrawn_jobs().where(deliveries.c.job_id == jobs.c.id).correlate(jobs).exists()
_standing_code: ColumnElement[str] = case(
    (studies.c.state.in_(_NEED_HELP), Standing.FAILED.value),
    (studies.c.state == StudyState.IGNORED, Standing.IGNORED.value),
    (studies.c.state == StudyState.RECEIVING, Standing.RECEIVING.value),
    (jobs.c.state.in_(_IN_WORK), Standing.WAITING.value),
    (and_(jobs.c.state == JobState.FINISHED, _withdrawn), Standing.WITHDRAWN.value),
    (and_(jobs.c.state == JobState.FINISHED, jobs.c.reason.is_(None)), Standing.ANALYSED.value),
    (jobs.c.state == JobState.FINISHED, Standing.NOT_ANALYSED.value),
    else_=Standing.FAILED.value,
)
_standing = type_coerce(_standing_code, MemberColumn(Standing))
_images = (
    select(func.count())
    .where(instances.c.study_instance_uid == studies.c.study_instance_uid)
    .correlate(studies)
    .scalar_subquery()
)
_others = (
    select(func.coalesce(func.sum(other_series.c.instances), 0))
    .where(other_series.c.study_instance_uid == studies.c.study_instance_uid)
    .correlate(studies)
    .scalar_subquery()
)
_study_columns = select(
    studies.c.study_instance_uid,
    studies.c.accession_number,
    studies.c.patient_id,
    studies.c.study_date,
    _standing.label("standing"),
    studies.c.state,
    _images.label("images"),
    _others.label("others"),
    moment(studies.c.first_received_at, "first_received"),
    moment(studies.c.last_received_at, "last_received"),
    moment(studies.c.due_at, "due"),
    studies.c.rule,
    jobs.c.id.label("job"),
    jobs.c.state.label("job_state"),
    jobs.c.reason,
    func.coalesce(func.nullif(studies.c.detail, ""), jobs.c.detail, "").label("detail"),
    func.coalesce(func.nullif(studies.c.error, ""), jobs.c.error, "").label("error"),
).select_from(_with_newest_job)
_job_columns = select(
    jobs.c.id.label("job"),
    jobs.c.study_instance_uid,
    studies.c.accession_number,
    studies.c.patient_id,
    jobs.c.version,
    jobs.c.state,
    jobs.c.reason,
    jobs.c.detail,
    jobs.c.attempts,
    jobs.c.kills,
    moment(jobs.c.created_at, "created"),
    moment(jobs.c.ended_at, "ended"),
    jobs.c.error,
).join(studies, studies.c.study_instance_uid == jobs.c.study_instance_uid)


@dataclass(frozen=True)
class _Study:
    study_instance_uid: str


def list_studies(
    database: Database,
    search: Search = Search(),  # noqa: B008  frozen
    standing: Standing | None = None,
    page: Page = Page(),  # noqa: B008  frozen
) -> Listing[StudySummary]:
    """The studies that are meant, the one that received last first."""
    where = _meant(search)
    if standing is not None:
        where += [_standing == standing, _may_be(standing)]
    table = _with_newest_job if standing else studies
    newest_first = (studies.c.last_received_at.desc(), studies.c.study_instance_uid.desc())
    wanted = select(studies.c.study_instance_uid).select_from(table).where(*where).order_by(*newest_first)
    with database.reading() as connection:
        uids = listing(connection, _Study, wanted, select(func.count()).select_from(table).where(*where), page)
        # First which, then their rows: what is skipped costs nothing more.
        place = {row.study_instance_uid: number for number, row in enumerate(uids.rows)}
        rows = fetch(connection, StudySummary, _study_columns.where(studies.c.study_instance_uid.in_(place)))
    return Listing(tuple(sorted(rows, key=lambda row: place[row.study_instance_uid])), uids.more)


def list_jobs(
    database: Database,
    search: Search = Search(),  # noqa: B008  frozen
    state: JobState | None = None,
    page: Page = Page(),  # noqa: B008  frozen
) -> Listing[JobSummary]:
    """The jobs of the studies that are meant, newest first."""
    where = _meant(search)
    counted = select(func.count()).select_from(jobs)
    if where:
        counted = counted.join(studies, studies.c.study_instance_uid == jobs.c.study_instance_uid)
    if state is not None:
        where.append(jobs.c.state == state)
    with database.reading() as connection:
        rows = _job_columns.where(*where).order_by(jobs.c.id.desc())
        return listing(connection, JobSummary, rows, counted.where(*where), page)


def read_study(database: Database, study_instance_uid: str) -> StudyDetail:
    """One study with its series, jobs and deliveries; only its rows are read.

    Raises
    ------
    RecordNotFound
    """
    this_study = studies.c.study_instance_uid == study_instance_uid
    with database.reading() as connection:
        summary = fetch_one(connection, StudySummary, _study_columns.where(this_study))
        if summary is None:
            raise RecordNotFound(f"There is no study {study_instance_uid}.")
        judged = select(jobs).where(jobs.c.study_instance_uid == study_instance_uid).order_by(jobs.c.version.desc())
        last = fetch_one(connection, Job, judged.limit(1))
        others = select(other_series).where(other_series.c.study_instance_uid == study_instance_uid)
        return StudyDetail(
            **row_of(summary),
            sentence=summary.state.sentence,
            **_check_of(connection, study_instance_uid),
            series=last.verdicts if last else (),
            other_series=tuple(fetch(connection, OtherSeries, others)),
            quarantined=list_quarantined(connection, study_instance_uid),
            jobs=tuple(fetch(connection, JobSummary, _job_columns.where(this_study).order_by(jobs.c.id))),
            deliveries=of_study(connection, study_instance_uid),
        )


def _check_of(connection: Transaction, study_instance_uid: str) -> dict[str, Any]:
    """The fields of a study that tell of its last check."""
    check = check_rows.find_check(connection, study_instance_uid)
    if check is None:
        return {}
    here = check_rows.received_by_series(connection, study_instance_uid)
    compared = [
        ComparedSeries(it.series_instance_uid, here.get(it.series_instance_uid, 0), it.instances) for it in check.series
    ]
    return {
        "check": check.state,
        "checked_with": check.source,
        "check_error": check.error,
        "expected_series": tuple(compared),
    }


def read_job(database: Database, number: int) -> JobDetail:
    """One job with its results and deliveries.

    Raises
    ------
    RecordNotFound
    """
    this_job = jobs.c.id == number
    with database.reading() as connection:
        summary = fetch_one(connection, JobSummary, _job_columns.where(this_job))
        job = fetch_one(connection, Job, select(jobs).where(this_job))
        if summary is None or job is None:
            raise RecordNotFound(f"There is no job {number}.")
        made = select(results).where(results.c.job_id == number).order_by(results.c.id)
        return JobDetail(
            **row_of(summary),
            sentence=job.state.sentence,
            series_instance_uid=job.series_instance_uid,
            images=len(job.sop_instance_uids),
            device_uid=job.device_uid,
            results=tuple(fetch(connection, ResultSummary, made)),
            deliveries=of_job(connection, number),
        )


def count_studies(database: Database, *, received_since: float) -> StudyCounts:
    """How many of the studies whose last image came since then stand where."""
    counted = (
        select(_standing.label("standing"), func.count())
        .select_from(_with_newest_job)
        .where(studies.c.last_received_at >= received_since)
        .group_by(_standing)
    )
    with database.reading() as connection:
        numbers = {standing.value.lower(): number for standing, number in connection.execute(counted)}
    return StudyCounts(received=sum(numbers.values()), **numbers)


def oldest_waiting(database: Database) -> StudySummary | None:
    """Of the studies that are not yet judged or analysed, the one that received its last image first."""
    waits = or_(_may_be(Standing.RECEIVING), _may_be(Standing.WAITING))
    # + 0: ordered by the column itself, SQLite would walk all studies by time until it meets one that waits.
    oldest = (
        _study_columns.where(waits, _standing.in_((Standing.RECEIVING, Standing.WAITING)))
        .order_by(studies.c.last_received_at + 0)
        .limit(1)
    )
    with database.reading() as connection:
        return fetch_one(connection, StudySummary, oldest)


def count_standing(database: Database, standing: Standing) -> int:
    """How many of all studies stand there."""
    where = (_standing == standing, _may_be(standing))
    with database.reading() as connection:
        counted = select(func.count()).select_from(_with_newest_job).where(*where)
        return int(connection.execute(counted).scalar_one())


def _may_be(standing: Standing) -> ColumnElement[bool]:
    """What a study that stands there fulfils and an index finds: the few of them need not be looked for among all."""
    of_job = {Standing.WAITING: _IN_WORK, Standing.FAILED: (JobState.FAILED, JobState.QUARANTINED)}.get(standing, ())
    of_study = {
        Standing.RECEIVING: (StudyState.RECEIVING,),
        Standing.IGNORED: (StudyState.IGNORED,),
        Standing.FAILED: _NEED_HELP,
    }.get(standing, ())
    if not of_job and not of_study:
        return true()
    with_job = select(jobs.c.study_instance_uid).where(jobs.c.state.in_(of_job))
    return or_(studies.c.state.in_(of_study), studies.c.study_instance_uid.in_(with_job))


def _meant(search: Search) -> list[ColumnElement[bool]]:
    received = studies.c.last_received_at
    wanted = (
        (search.accession_number, studies.c.accession_number == search.accession_number),
        (search.patient_id, studies.c.patient_id == search.patient_id),
        (search.since, received >= search.since if search.since is not None else None),
        (search.until, received < search.until if search.until is not None else None),
    )
    return [condition for value, condition in wanted if value is not None and condition is not None]
