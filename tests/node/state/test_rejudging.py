import pytest
from sqlalchemy import insert, select

from survnode.node.state.database import Database, fetch_one, row_of
from survnode.node.state.records import Study, StudyState
from survnode.node.state.rejudging import judge_again
from survnode.node.state.tables import studies


def put(database: Database, state: StudyState) -> None:
    row = row_of(Study("1.2.3", "P1", False, 1.0, 2.0, None, 1, state, "why"))
    with database.transaction() as connection:
        connection.execute(insert(studies).values(row))


def read(database: Database) -> Study:
    with database.reading() as connection:
        study = fetch_one(connection, Study, select(studies))
    assert study is not None
    return study


@pytest.mark.parametrize("state", [StudyState.ASSEMBLED, StudyState.UNASSEMBLED, StudyState.IGNORED])
def test_a_study_that_was_judged_is_due_at_once(database: Database, state: StudyState) -> None:
    put(database, state)
    assert judge_again(database, "1.2.3", now=50.0)
    study = read(database)
    assert (study.state, study.due_at, study.error) == (StudyState.RECEIVING, 50.0, "")


@pytest.mark.parametrize(
    "state", [StudyState.RECEIVING, StudyState.PATIENT_CONFLICT, StudyState.PARTLY_DELETED, StudyState.DELETED]
)
def test_a_study_that_waits_or_is_not_whole_is_left_alone(database: Database, state: StudyState) -> None:
    put(database, state)
    before = read(database)
    assert not judge_again(database, "1.2.3", now=50.0)
    assert read(database) == before


def test_a_study_that_is_not_there_is_not_judged(database: Database) -> None:
    assert not judge_again(database, "7.7", now=0.0)
