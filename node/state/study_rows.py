"""Reads and writes of studies; the rules stand with those who judge them."""

from sqlalchemy import delete, exists, select, update

from survnode.model.errors import Reason
from survnode.node.state.database import Transaction, fetch, fetch_one
from survnode.node.state.image_rows import forget_images
from survnode.node.state.records import OtherSeries, Study, StudyState
from survnode.node.state.tables import checks, jobs, other_series, results, studies

NO_REPORT = "No report is made: its headers name no chest, or the configuration asks for none."


def find_study(connection: Transaction, study_instance_uid: str) -> Study | None:
    """One study; None if there is none of that UID."""
    return fetch_one(connection, Study, select(studies).where(studies.c.study_instance_uid == study_instance_uid))


def other_series_of_study(connection: Transaction, study_instance_uid: str) -> list[OtherSeries]:
    """What was received of a study that is not CT."""
    of_study = other_series.c.study_instance_uid == study_instance_uid
    return fetch(connection, OtherSeries, select(other_series).where(of_study))


def has_results(connection: Transaction, study_instance_uid: str) -> bool:
    """Whether the PACS may hold results of a study."""
    made = select(results.c.id).join(jobs, jobs.c.id == results.c.job_id)
    return connection.execute(made.where(jobs.c.study_instance_uid == study_instance_uid).limit(1)).first() is not None


def settle_study(
    connection: Transaction, study: Study, state: StudyState, *, error: str = "", detail: str = "", rule: str = ""
) -> bool:
    """Take a study off the clock and write what was decided; False if an image came since it was read."""
    unchanged = (
        studies.c.study_instance_uid == study.study_instance_uid,
        studies.c.revision == study.revision,
        studies.c.due_at == study.due_at,
    )
    settled = {"state": state, "due_at": None, "error": error, "detail": detail, "rule": rule}
    return connection.execute(update(studies).where(*unchanged).values(settled)).rowcount == 1


def postpone_study(connection: Transaction, study: Study, due_at: float) -> None:
    """Let a study be judged later, unless an image came since it was read."""
    unchanged = (studies.c.study_instance_uid == study.study_instance_uid, studies.c.revision == study.revision)
    connection.execute(update(studies).where(*unchanged).values(due_at=due_at))


def ignore_study(connection: Transaction, study_instance_uid: str, reason: Reason, detail: str) -> None:
    """Show a study as ignored whose images were of no use; not if more came meanwhile, since it is judged again."""
    judged = (studies.c.study_instance_uid == study_instance_uid, studies.c.state == StudyState.ASSEMBLED)
    why = f"{f'{reason.sentence} {detail}'.strip()} {NO_REPORT}"
    connection.execute(update(studies).where(*judged).values(state=StudyState.IGNORED, detail=why))


def forget_study(connection: Transaction, study_instance_uid: str) -> None:
    """Delete what was received of a study, as if it had never come; its row remains if it ever had a job."""
    forget_images(connection, study_instance_uid)
    connection.execute(delete(checks).where(checks.c.study_instance_uid == study_instance_uid))
    connection.execute(delete(other_series).where(other_series.c.study_instance_uid == study_instance_uid))
    of_study = studies.c.study_instance_uid == study_instance_uid
    has_jobs = exists().where(jobs.c.study_instance_uid == studies.c.study_instance_uid)
    reset = {"state": StudyState.DELETED, "patient_conflict": False, "due_at": None}
    connection.execute(update(studies).where(of_study, has_jobs).values(reset))
    connection.execute(delete(studies).where(of_study, ~has_jobs))
