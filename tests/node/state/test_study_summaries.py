"""What is shown of studies and jobs, and that no more is read for it."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, update

from survnode.model.errors import Reason
from survnode.node.errors import RecordNotFound
from survnode.node.roles import ResultRole
from survnode.node.state import study_summaries
from survnode.node.state.database import Database, row_of
from survnode.node.state.records import Instance, Job, JobState, StoredObject, Study, StudyState
from survnode.node.state.reissuing import hold_back, queue_note
from survnode.node.state.summaries import Page, Search, Standing
from survnode.node.state.tables import instances, jobs, studies

from .conftest import plans

AddJob = Callable[..., int]
MANY = 3000


def study(uid: str, received: float = 0.0, state: StudyState = StudyState.ASSEMBLED, **values: object) -> Study:
    due = received + 60 if state is StudyState.RECEIVING else None
    return Study(**{**row_of(Study(uid, "P1", False, received, received, due, 1, state)), **values})


def put(database: Database, *found: Study) -> None:
    with database.transaction() as connection:
        connection.execute(insert(studies), [row_of(item) for item in found])


@pytest.fixture
def many(database: Database) -> Database:
    """Studies 1.2.0 to 1.2.2999, received one a second, each with one image and one finished job."""
    put(database, *(study(f"1.2.{n}", float(n), accession_number=f"A{n % 1000}") for n in range(MANY)))
    image = row_of(Instance("", "1", "", "1.9", "1.2", "P1", "CT", "0", 1, "", 0.0))
    job = {"series_instance_uid": "1", "sop_instance_uids": (), "input_digest": "d", "device_uid": "2", "version": 1}
    rest = {"verdicts": (), "state": JobState.FINISHED, "created_at": 0.0, "due_at": 0.0}
    with database.transaction() as connection:
        images = [{"sop_instance_uid": f"9.{n}", "study_instance_uid": f"1.2.{n}", "path": str(n)} for n in range(MANY)]
        connection.execute(insert(instances), [image | row for row in images])
        connection.execute(insert(jobs), [job | rest | {"study_instance_uid": f"1.2.{n}"} for n in range(MANY)])
    return database


def test_a_page_holds_the_newest_and_says_how_many_come_after(many: Database) -> None:
    found = study_summaries.list_studies(many, page=Page(limit=10, number=3))
    assert [row.study_instance_uid for row in found.rows] == [f"1.2.{n}" for n in range(MANY - 21, MANY - 31, -1)]
    assert found.more == MANY - 30
    assert [row.images for row in found.rows] == [1] * 10
    assert study_summaries.list_studies(many, page=Page(limit=10, number=1000)).more == 0


def test_a_list_walks_an_index_and_sorts_nothing(many: Database) -> None:
    with plans(many) as steps:
        study_summaries.list_studies(many)
        study_summaries.list_studies(many, Search(since=100.0, until=200.0))
        study_summaries.list_jobs(many)
    assert any("studies_by_time" in step for step in steps)
    assert not [step for step in steps if "TEMP B-TREE" in step]
    counted = [step for step in steps if step.startswith("SCAN") and "INDEX" not in step]
    assert counted == ["SCAN jobs"]  # from its newest row, as far as the page goes


@pytest.mark.parametrize(
    "search", [Search(accession_number="A7"), Search(patient_id="P9"), Search(since=10.0, until=20.0)]
)
def test_a_search_looks_up_an_index(many: Database, search: Search) -> None:
    with plans(many) as steps:
        study_summaries.list_studies(many, search)
        study_summaries.list_jobs(many, search)
    assert steps
    assert not [step for step in steps if step.startswith(("SCAN studies", "SCAN jobs"))]


def test_one_study_and_one_job_touch_their_own_rows(many: Database) -> None:
    with plans(many) as steps:
        study_summaries.read_study(many, "1.2.77")
        study_summaries.read_job(many, 77)
    assert steps
    assert not [step for step in steps if step.startswith("SCAN")]


def test_the_few_that_wait_or_failed_are_found_without_looking_at_all(many: Database) -> None:
    with plans(many) as steps:
        for standing in (Standing.RECEIVING, Standing.WAITING, Standing.FAILED, Standing.IGNORED):
            assert study_summaries.list_studies(many, standing=standing).rows == ()
        study_summaries.oldest_waiting(many)
    assert not [step for step in steps if step.startswith("SCAN studies")]


def test_a_search_means_what_fulfils_all_of_it(many: Database) -> None:
    found = study_summaries.list_studies(many, Search(accession_number="A7", since=1000.0, until=2007.0))
    assert [row.study_instance_uid for row in found.rows] == ["1.2.1007"]
    assert study_summaries.list_jobs(many, Search(accession_number="A7", patient_id="P1")).more == 0
    assert len(study_summaries.list_jobs(many, Search(accession_number="A7")).rows) == 3
    assert study_summaries.list_studies(many, Search(patient_id="P2")).rows == ()


STANDINGS = {
    "RECEIVING": (StudyState.RECEIVING, None, None),
    "WAITING": (StudyState.ASSEMBLED, JobState.QUEUED, None),
    "ANALYSED": (StudyState.ASSEMBLED, JobState.FINISHED, None),
    "NOT_ANALYSED": (StudyState.ASSEMBLED, JobState.FINISHED, Reason.NO_LUNGS),
    "WITHDRAWN": (StudyState.ASSEMBLED, JobState.FINISHED, None),
    "FAILED": (StudyState.ASSEMBLED, JobState.FAILED, None),
    "IGNORED": (StudyState.IGNORED, None, None),
}


@pytest.fixture
def one_of_each(database: Database, add_job: AddJob) -> Database:
    """A study in each standing, named 1.<standing>; they were received at 0, 1, 2, ... s."""
    for number, (name, (state, job_state, reason)) in enumerate(STANDINGS.items()):
        put(database, study(f"1.{name}", float(number), state))
        if job_state is not None:
            number_of_job = add_job(f"1.{name}", state=job_state, reason=reason)
            if name == Standing.WITHDRAWN:
                note = StoredObject(ResultRole.WITHDRAWAL, 0, "1", "2.25.9", "2.25.8", "withdrawal.dcm")
                with database.transaction() as connection:
                    queue_note(connection, note, number_of_job, "pacs", 0.0)
    return database


@pytest.mark.parametrize("standing", Standing)
def test_study_and_job_together_say_where_a_study_stands(one_of_each: Database, standing: Standing) -> None:
    (found,) = study_summaries.list_studies(one_of_each, standing=standing).rows
    assert (found.study_instance_uid, found.standing) == (f"1.{standing.value}", standing)
    assert study_summaries.count_standing(one_of_each, standing) == 1


@pytest.mark.parametrize("state", [StudyState.PATIENT_CONFLICT, StudyState.UNASSEMBLED, StudyState.PARTLY_DELETED])
def test_a_study_that_needs_a_person_has_failed_whatever_became_of_its_job(
    database: Database, add_job: AddJob, state: StudyState
) -> None:
    put(database, study("1.2.3", state=state))
    add_job(state=JobState.FINISHED)
    assert [row.state for row in study_summaries.list_studies(database, standing=Standing.FAILED).rows] == [state]


def test_a_study_is_withdrawn_until_it_has_newer_results(database: Database, finish_job: Callable[..., Job]) -> None:
    first = finish_job("1.1", "pacs")
    with database.transaction() as connection:
        hold_back(connection, first.id, "pacs", 20.0)
    assert study_summaries.read_study(database, "1.1").standing is Standing.WITHDRAWN
    finish_job("1.1", "pacs", version=2)
    assert study_summaries.read_study(database, "1.1").standing is Standing.ANALYSED


def test_studies_are_counted_from_a_time_on(one_of_each: Database) -> None:
    counts = study_summaries.count_studies(one_of_each, received_since=0.0)
    each = dict.fromkeys(("receiving", "waiting", "analysed", "not_analysed", "withdrawn", "failed", "ignored"), 1)
    assert row_of(counts) == {"received": 7, **each}
    assert study_summaries.count_studies(one_of_each, received_since=2.0).received == 5


def test_the_oldest_that_waits_may_wait_for_images_or_for_a_worker(one_of_each: Database) -> None:
    oldest = study_summaries.oldest_waiting(one_of_each)
    assert oldest is not None
    assert (oldest.study_instance_uid, oldest.due) == ("1.RECEIVING", datetime.fromtimestamp(60, UTC))
    with one_of_each.transaction() as connection:
        connection.execute(update(studies).values(state=StudyState.ASSEMBLED))
    oldest = study_summaries.oldest_waiting(one_of_each)
    assert oldest is not None
    assert oldest.study_instance_uid == "1.WAITING"


def test_a_job_that_was_superseded_hides_none_that_stands(database: Database, add_job: AddJob) -> None:
    first = add_job(version=1, state=JobState.FINISHED)
    add_job(version=2, state=JobState.SUPERSEDED)
    (found,) = study_summaries.list_studies(database).rows
    assert (found.job, found.standing) == (first, Standing.ANALYSED)


def test_a_study_is_shown_with_its_jobs_and_deliveries(database: Database, finish_job: Callable[..., Job]) -> None:
    finish_job("1.1", "pacs"), finish_job("1.2", "pacs", "archive"), finish_job("1.2", version=2)
    found = study_summaries.read_study(database, "1.2")
    assert [job.version for job in found.jobs] == [1, 2]
    assert {row.study_instance_uid for row in found.deliveries} == {"1.2"}
    assert {row.destination for row in found.deliveries} == {"pacs", "archive"}
    assert len(found.deliveries) == 10
    job = study_summaries.read_job(database, found.jobs[0].job)
    assert (len(job.results), len(job.deliveries), job.images) == (5, 10, 1)


def test_what_is_not_there_is_named(database: Database) -> None:
    with pytest.raises(RecordNotFound, match=r"study 7\.7"):
        study_summaries.read_study(database, "7.7")
    with pytest.raises(RecordNotFound, match="job 7"):
        study_summaries.read_job(database, 7)
