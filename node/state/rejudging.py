"""To have a study judged again: the one rule of when that may be."""

from sqlalchemy import update

from survnode.node.state.database import Database
from survnode.node.state.records import StudyState
from survnode.node.state.tables import studies

JUDGED = (StudyState.ASSEMBLED, StudyState.UNASSEMBLED, StudyState.IGNORED)  # else it waits, or is not whole


def judge_again(database: Database, study_instance_uid: str, *, now: float) -> bool:
    """Have a study that was judged, whatever came of it, judged at the next sweep; False if it is not to be.

    A study that still receives is judged anyway; one that names several patients, or whose images were deleted, must
    come again first.
    """
    judged = (studies.c.study_instance_uid == study_instance_uid, studies.c.state.in_(JUDGED))
    again = {"due_at": now, "state": StudyState.RECEIVING, "error": "", "detail": ""}
    with database.transaction() as connection:
        return connection.execute(update(studies).where(*judged).values(again)).rowcount == 1
