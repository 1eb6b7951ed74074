"""What is written of a study by those who work on it."""

from sqlalchemy import update

from survnode.node.state.database import Transaction
from survnode.node.state.records import StudyState
from survnode.node.state.tables import studies


def ignore_study(connection: Transaction, study_instance_uid: str, why: str) -> None:
    """Show a judged study as ignored, unless images came meanwhile, of which it will be judged again."""
    judged = (studies.c.study_instance_uid == study_instance_uid, studies.c.state == StudyState.ASSEMBLED)
    connection.execute(update(studies).where(*judged).values(state=StudyState.IGNORED, detail=why))
