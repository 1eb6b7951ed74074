from collections.abc import Callable
from dataclasses import replace

from survnode.node.state import claims
from survnode.node.state.database import Database
from survnode.node.state.records import Job, JobState

AddJob = Callable[..., int]


def run(database: Database, number: int) -> Job:
    with database.transaction() as connection:
        job = claims.find_job(connection, number)
        assert job is not None
        running = replace(job, state=JobState.RUNNING, token=job.token + 1, worker="w1")
        claims.update_job(connection, job, running)
    return running


def test_a_job_is_not_due_while_another_of_its_study_runs(database: Database, add_job: AddJob) -> None:
    run(database, add_job("1.1", 1))
    add_job("1.1", 2)
    other = add_job("1.2", 1)
    with database.reading() as connection:
        due = claims.oldest_due_job(connection, 10.0)
    assert due is not None
    assert due.id == other


def test_only_the_newest_claim_is_written(database: Database, add_job: AddJob) -> None:
    claimed = run(database, add_job())
    old = replace(claimed, token=0)
    with database.transaction() as connection:
        assert not claims.update_claimed(connection, old, replace(old, lease_until=9.0))
        assert claims.update_claimed(connection, claimed, replace(claimed, lease_until=8.0))
        assert claims.update_claimed(connection, claimed, claimed)  # nothing to write, and the claim still holds
    with database.reading() as connection:
        assert [job.lease_until for job in claims.running_jobs(connection)] == [8.0]


def test_what_waits_behind_a_newer_version_is_dropped(database: Database, add_job: AddJob) -> None:
    add_job("1.1", 1), add_job("1.1", 2), add_job("1.2", 1)
    with database.transaction() as connection:
        claims.supersede_older(connection, 5.0)
        numbers = claims.count_jobs(connection)
    assert {state: number for state, number in numbers.items() if number} == {
        JobState.SUPERSEDED: 1,
        JobState.QUEUED: 2,
    }
