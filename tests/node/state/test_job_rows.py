from collections.abc import Callable
from dataclasses import replace

from survnode.node.state import job_rows
from survnode.node.state.database import Database
from survnode.node.state.records import Job, JobState

from .conftest import plans

AddJob = Callable[..., int]


def run(database: Database, number: int) -> Job:
    with database.transaction() as connection:
        job = job_rows.find_job(connection, number)
        assert job is not None
        running = replace(job, state=JobState.RUNNING, token=job.token + 1, worker="w1")
        job_rows.update_job(connection, job, running)
    return running


def test_a_job_is_not_due_while_another_of_its_study_runs(database: Database, add_job: AddJob) -> None:
    run(database, add_job("1.1", 1))
    add_job("1.1", 2)
    other = add_job("1.2", 1)
    with database.reading() as connection:
        due = job_rows.oldest_due_job(connection, 10.0)
    assert due is not None
    assert due.id == other


def test_what_is_asked_at_each_turn_is_found_by_an_index(database: Database) -> None:
    """However many jobs there were: the queue is asked twice a second, and each start asks for what ran."""
    with plans(database) as steps, database.reading() as connection:
        job_rows.oldest_due_job(connection, 10.0)
        job_rows.running_jobs(connection)
        job_rows.jobs_of_study(connection, "1.1")
    assert steps
    assert [step for step in steps if step.startswith("SCAN")] == []


def test_only_the_newest_claim_is_written(database: Database, add_job: AddJob) -> None:
    claimed = run(database, add_job())
    old = replace(claimed, token=0)
    with database.transaction() as connection:
        assert not job_rows.update_claimed(connection, old, replace(old, lease_until=9.0))
        assert job_rows.update_claimed(connection, claimed, replace(claimed, lease_until=8.0))
        assert job_rows.update_claimed(connection, claimed, claimed)  # nothing to write, and the claim still holds
    with database.reading() as connection:
        assert [job.lease_until for job in job_rows.running_jobs(connection)] == [8.0]


def test_what_waits_behind_a_newer_version_is_dropped(database: Database, add_job: AddJob) -> None:
    add_job("1.1", 1), add_job("1.1", 2), add_job("1.2", 1)
    with database.transaction() as connection:
        job_rows.supersede_older(connection, 5.0)
        numbers = job_rows.count_jobs(connection)
    assert {state: number for state, number in numbers.items() if number} == {
        JobState.SUPERSEDED: 1,
        JobState.QUEUED: 2,
    }


def test_a_new_job_gets_a_number_of_its_own_and_stands_before_older_versions(
    database: Database, add_job: AddJob
) -> None:
    first = add_job("1.1", 1)
    with database.transaction() as connection:
        job = job_rows.find_job(connection, first)
        assert job is not None
        number = job_rows.add_job(connection, replace(job, id=0, version=2))
        assert job_rows.jobs_of_study(connection, "1.1") == [replace(job, id=number, version=2), job]
    assert number > first


def test_a_superseded_job_waits_no_longer_and_says_when_it_ended(database: Database, add_job: AddJob) -> None:
    first, second = add_job("1.1", 1), add_job("1.1", 2)
    with database.transaction() as connection:
        job_rows.supersede(connection, [first], 7.0)
        ends = {job.id: (job.state, job.ended_at) for job in job_rows.jobs_of_study(connection, "1.1")}
    assert ends == {first: (JobState.SUPERSEDED, 7.0), second: (JobState.QUEUED, None)}


def test_a_job_whose_results_stand_is_not_among_the_withdrawn(
    database: Database, finish_job: Callable[..., Job]
) -> None:
    job = finish_job("1.1", "pacs")
    with database.reading() as connection:
        assert job_rows.withdrawn_among(connection, [job.id]) == set()
