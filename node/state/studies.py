"""What is written of a study by those who work on it."""

from sqlalchemy import update

from survnode.model.errors import Reason
from survnode.node.state.database import Transaction
from survnode.node.state.records import StudyState
from survnode.node.state.tables import studies

NO_REPORT = "No report is made: its headers name no chest, or the configuration asks for none."


def ignore_study(connection: Transaction, study_instance_uid: str, reason: Reason, detail: str) -> None:
    """Show a study as ignored whose images were of no use; not if more came meanwhile, since it is judged again."""
    judged = (studies.c.study_instance_uid == study_instance_uid, studies.c.state == StudyState.ASSEMBLED)
    why = f"{NO_REPORT} {reason.sentence} {detail}".strip()
    connection.execute(update(studies).where(*judged).values(state=StudyState.IGNORED, detail=why))
