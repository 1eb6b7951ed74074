"""What is due, when the clock on the wall has stepped or was wrong when it was written."""

from sqlalchemy import update

from survnode.node.state.database import Database
from survnode.node.state.records import DeliveryState, JobState, StudyState
from survnode.node.state.tables import deliveries, jobs, studies


def shift_due_times(database: Database, step_s: float, *, stepped_after: float, now: float) -> int:
    """Let what is due be due as long after now as before the clock stepped; how many rows.

    Parameters
    ----------
    step_s : forward if it is positive
    stepped_after, now : the step came between these times of the new clock: a study that was written to since, by its
        last image, is due by the new clock already
    """
    written_since = studies.c.last_received_at.between(stepped_after, now)
    of_studies = update(studies).where(studies.c.due_at.is_not(None), ~written_since)
    waiting = update(deliveries).where(deliveries.c.state == DeliveryState.WAITING)
    unanswered = update(deliveries).where(deliveries.c.commitment_due_at.is_not(None))
    statements = (
        of_studies.values(due_at=studies.c.due_at + step_s, last_received_at=studies.c.last_received_at + step_s),
        update(jobs).where(jobs.c.state == JobState.QUEUED).values(due_at=jobs.c.due_at + step_s),
        waiting.values(
            due_at=deliveries.c.due_at + step_s,
            first_tried_at=deliveries.c.first_tried_at + step_s,  # since when it fails, which has an end
        ),
        unanswered.values(commitment_due_at=deliveries.c.commitment_due_at + step_s),
    )
    with database.transaction() as connection:
        return sum(connection.execute(statement).rowcount for statement in statements)


def wait_for_senders(database: Database, *, until: float) -> int:
    """Let no study that was still coming be judged before ``until``: its sender could not go on; how many wait longer.

    The quiet of a node that did not listen says nothing of whether a study is complete.
    """
    coming = (studies.c.state == StudyState.RECEIVING, studies.c.due_at < until)
    with database.transaction() as connection:
        return connection.execute(update(studies).where(*coming).values(due_at=until)).rowcount
