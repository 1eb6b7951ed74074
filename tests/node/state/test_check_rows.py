from dataclasses import replace

import pytest
from sqlalchemy import insert

from survnode.node.state import check_rows
from survnode.node.state.database import Database, row_of
from survnode.node.state.records import (
    Check,
    CheckState,
    Completeness,
    ExpectedSeries,
    Instance,
    InstanceState,
    Keeping,
    OtherSeries,
    Study,
    StudyState,
)
from survnode.node.state.study_rows import forget_study
from survnode.node.state.study_summaries import read_study
from survnode.node.state.summaries import ComparedSeries
from survnode.node.state.tables import instances, other_series, studies

from .conftest import plans

STUDY = Study("1.1", "P1", False, 1.0, 2.0, 60.0, 7, StudyState.RECEIVING)
CHECK = Check("1.1", "pacs", 7, CheckState.WHOLE, 60.0, received=2, series=(ExpectedSeries("1.1.1", 2),))


@pytest.fixture(autouse=True)
def _study_of_two_images(database: Database) -> None:
    image = Instance("1.1.1.1", "ct", "1.1", "1.1.1", "le", "P1", "SENDER", "0" * 64, 10, "studies/1", 1.0)
    other = replace(image, sop_instance_uid="1.1.1.2", path="studies/2")
    gone = replace(image, sop_instance_uid="1.1.1.3", path="studies/3", state=InstanceState.DELETED)
    with database.transaction() as connection:
        connection.execute(insert(studies).values(row_of(STUDY)))
        connection.execute(insert(instances), [row_of(it) for it in (image, other, gone)])


def test_the_studies_that_are_due_are_found_by_an_index(database: Database) -> None:
    with plans(database) as steps, database.reading() as connection:
        assert check_rows.due_studies(connection, 60.0) == [STUDY]
        assert check_rows.unchecked_studies(connection, 60.0) == [STUDY]
    assert [step for step in steps if step.startswith("SCAN")] == []


def record(database: Database, check: Check) -> None:
    with database.transaction() as connection:
        check_rows.record_check(connection, check)


def waits(database: Database) -> bool:
    with database.reading() as connection:
        unchecked = check_rows.unchecked_studies(connection, 60.0)
        due = check_rows.due_studies(connection, 60.0, 0.0)
    assert len(unchecked) + len(due) == 1  # it is either checked or judged
    return bool(unchecked)


def test_a_study_waits_for_the_check_of_its_revision(database: Database) -> None:
    assert waits(database)
    record(database, replace(CHECK, revision=6))
    assert waits(database)
    record(database, CHECK)
    assert not waits(database)


@pytest.mark.parametrize("state", list(CheckState))
def test_only_a_check_that_is_settled_ends_the_wait(database: Database, state: CheckState) -> None:
    record(database, replace(CHECK, state=state))
    assert waits(database) is (state in {CheckState.WAITING, CheckState.FETCHING})


def test_what_was_deleted_is_not_here(database: Database) -> None:
    with database.reading() as connection:
        assert check_rows.received_by_series(connection, "1.1") == {"1.1.1": 2}


def test_a_screenshot_in_a_ct_series_is_counted_as_an_archive_counts_it(database: Database) -> None:
    screenshot = OtherSeries("1.1", "1.1.1", "sc", Keeping.DROPPED, "CT", "", "", "", 1, 10, 1.0)
    own = replace(screenshot, series_instance_uid="1.1.9", keeping=Keeping.OWN)
    with database.transaction() as connection:
        connection.execute(insert(other_series), [row_of(it) for it in (screenshot, own)])
    with database.reading() as connection:
        assert check_rows.received_by_series(connection, "1.1") == {"1.1.1": 3}


def test_a_study_waits_only_if_it_is_as_it_was_read(database: Database) -> None:
    with database.transaction() as connection:
        assert not check_rows.wait_on(connection, replace(STUDY, revision=6), 99.0)
        assert check_rows.wait_on(connection, STUDY, 99.0)
        assert not check_rows.wait_on(connection, STUDY, 99.0)


def test_a_report_on_no_series_tells_of_the_whole_study(database: Database) -> None:
    record(database, replace(CHECK, series=(ExpectedSeries("1.1.1", 3), ExpectedSeries("1.1.2", 4))))
    with database.reading() as connection:
        assert check_rows.completeness_of(connection, STUDY, "") == Completeness(CheckState.WHOLE, 2, 7)
        assert check_rows.completeness_of(connection, STUDY, "1.1.1") == Completeness(CheckState.WHOLE, 2, 3, 1)


def test_a_settled_check_says_nothing_of_what_came_later(database: Database) -> None:
    record(database, CHECK)
    with database.reading() as connection:
        later = check_rows.completeness_of(connection, replace(STUDY, revision=8), "1.1.1")
    assert later == Completeness(CheckState.UNANSWERED, 2, None)


def test_a_study_shows_its_last_check_and_can_be_forgotten_with_it(database: Database) -> None:
    record(database, replace(CHECK, state=CheckState.INCOMPLETE, series=(ExpectedSeries("1.1.1", 3),), error="why"))
    shown = read_study(database, "1.1")
    assert (shown.check, shown.checked_with, shown.check_error) == (CheckState.INCOMPLETE, "pacs", "why")
    assert shown.expected_series == (ComparedSeries("1.1.1", 2, 3),)
    with database.transaction() as connection:
        forget_study(connection, "1.1")
        assert check_rows.find_check(connection, "1.1") is None
