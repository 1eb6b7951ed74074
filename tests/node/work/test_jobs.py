from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from survnode.model.errors import Reason
from survnode.node import errors
from survnode.node.retry import GiveUp, TryAgain
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Delivery, DeliveryState, Job, JobState, PlannedDelivery, StoredObject
from survnode.node.state.tables import deliveries, results
from survnode.node.work import jobs

AddJob = Callable[..., int]
REPORT = StoredObject(ResultRole.REPORT, 0, "1.2.840.10008.5.1.4.1.1.88.34", "9.1", "9.2", "1/report.dcm")


def claim(database: Database, now: float = 10.0, worker: str = "w1") -> Job | None:
    return jobs.claim(database, worker, now=now, lease_s=60, uptime=lambda: now)


def claimed(database: Database, now: float = 10.0, worker: str = "w1") -> Job:
    job = claim(database, now, worker)
    assert job is not None
    return job


def test_the_oldest_job_is_claimed_once(database: Database, add_job: AddJob) -> None:
    first, second = add_job("1.1"), add_job("1.2")
    assert [claimed(database).id, claimed(database).id, claim(database)] == [first, second, None]


def test_a_claim_has_lease_token_and_attempt(database: Database, add_job: AddJob) -> None:
    add_job()
    job = claimed(database)
    assert (job.state, job.worker, job.lease_until, job.token, job.attempts) == (JobState.RUNNING, "w1", 70.0, 1, 1)


def test_a_job_is_not_claimed_before_it_is_due(database: Database, add_job: AddJob) -> None:
    add_job(due_at=11.0)
    assert claim(database, now=10.0) is None
    assert claim(database, now=11.0) is not None


def test_jobs_of_one_study_run_one_after_the_other(database: Database, add_job: AddJob) -> None:
    add_job("1.1", 1)
    first = claimed(database)
    newer, other = add_job("1.1", 2), add_job("1.2", 1)
    assert [claimed(database).id, claim(database)] == [other, None]
    jobs.finish(database, first, [], [], now=20.0)
    assert claimed(database).id == newer


def test_an_older_version_never_runs_after_a_newer_one(database: Database, add_job: AddJob) -> None:
    add_job("1.1", 1)
    first = claimed(database)
    newer = add_job("1.1", 2)  # made while the first was running
    jobs.fail(database, first, "x", TryAgain(1.0), now=20.0)
    assert claimed(database, now=20.0).id == newer
    assert jobs.get(database, first.id).state is JobState.SUPERSEDED


def test_a_finished_job_leaves_its_objects_and_deliveries(database: Database, add_job: AddJob) -> None:
    add_job()
    job = claimed(database)
    planned = [PlannedDelivery("9.1", "pacs"), PlannedDelivery("9.1", "archive")]
    jobs.finish(database, job, [REPORT], planned, now=20.0, reason=Reason.NO_LUNGS, detail="0 ml")
    ended = jobs.get(database, job.id)
    assert (ended.state, ended.ended_at, ended.reason, ended.detail) == (JobState.FINISHED, 20.0, "NO_LUNGS", "0 ml")
    with database.reading() as connection:
        sent = fetch(connection, Delivery, select(deliveries))
    assert [(item.destination, item.state, item.due_at) for item in sent] == [
        ("pacs", DeliveryState.WAITING, 20.0),
        ("archive", DeliveryState.WAITING, 20.0),
    ]


def test_an_end_is_recorded_whole_or_not_at_all(database: Database, add_job: AddJob) -> None:
    add_job()
    job = claimed(database)
    with pytest.raises(KeyError):
        jobs.finish(database, job, [REPORT], [PlannedDelivery("no such object", "pacs")], now=20.0)
    assert jobs.get(database, job.id).state is JobState.RUNNING
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(results)).scalar() == 0


def test_a_reason_known_before_the_work_is_kept(database: Database, add_job: AddJob) -> None:
    add_job(reason=Reason.LOCALIZER, detail="2 images")
    jobs.finish(database, claimed(database), [REPORT], [], now=20.0)
    assert (jobs.get(database, 1).reason, jobs.get(database, 1).detail) == (Reason.LOCALIZER, "2 images")


def test_a_heartbeat_keeps_the_lease(database: Database, add_job: AddJob) -> None:
    add_job()
    job = claimed(database)
    jobs.heartbeat(database, job, lease_s=60, uptime=lambda: 60.0)
    assert jobs.expire_leases(database, now=0.0, uptime_s=110.0) == []
    assert [lost.id for lost in jobs.expire_leases(database, now=0.0, uptime_s=121.0)] == [job.id]


def test_who_lost_the_lease_can_report_nothing(database: Database, add_job: AddJob) -> None:
    add_job()
    old = claimed(database)
    jobs.expire_leases(database, now=100.0, uptime_s=100.0)
    new = claimed(database, now=100.0, worker="w2")
    assert new.token == old.token + 1
    for report in (
        lambda: jobs.heartbeat(database, old, lease_s=60),
        lambda: jobs.finish(database, old, [REPORT], [], now=101.0),
        lambda: jobs.fail(database, old, "x", TryAgain(1.0), now=101.0),
    ):
        with pytest.raises(errors.LeaseLost):
            report()
    jobs.finish(database, new, [REPORT], [], now=102.0)
    with pytest.raises(errors.LeaseLost):
        jobs.finish(database, new, [REPORT], [], now=103.0)


def test_a_failed_try_waits_for_its_delay(database: Database, add_job: AddJob) -> None:
    add_job()
    assert jobs.fail(database, claimed(database), "The GPU is full.", TryAgain(30.0), now=20.0) is JobState.QUEUED
    assert claim(database, now=49.0) is None
    again = claimed(database, now=50.0)
    assert (again.attempts, again.error) == (2, "The GPU is full.")


def test_what_cannot_be_retried_fails_in_the_open_and_is_retried_by_hand(database: Database, add_job: AddJob) -> None:
    add_job()
    assert jobs.fail(database, claimed(database), "No weights.", GiveUp("It failed."), now=20.0) is JobState.FAILED
    assert claim(database, now=1e9) is None
    assert jobs.counts(database)[JobState.FAILED] == 1
    assert jobs.get(database, 1).error == "No weights. It failed."
    again = jobs.retry(database, 1, now=30.0)
    assert (again.state, again.attempts, again.kills) == (JobState.QUEUED, 0, 0)
    assert claimed(database, now=30.0).token == 2


def test_a_job_that_killed_its_worker_twice_is_quarantined(database: Database, add_job: AddJob) -> None:
    add_job("1.1")
    claimed(database, worker="w1")
    (job,) = jobs.release_worker(database, "w1", now=20.0)
    assert (job.state, job.kills) == (JobState.QUEUED, 1)
    claimed(database, now=20.0, worker="w2")
    (job,) = jobs.release_worker(database, "w2", now=30.0)
    assert (job.state, job.kills) == (JobState.QUARANTINED, 2)
    assert claim(database, now=1e9) is None
    assert jobs.retry(database, job.id, now=40.0).kills == 0


def test_a_job_whose_worker_lacked_memory_says_so(database: Database, add_job: AddJob) -> None:
    add_job("1.1")
    for worker, ends_as in (("w1", "No memory."), ("w2", "Its worker died or fell silent 2 times. No memory.")):
        claimed(database, now=20.0, worker=worker)
        (job,) = jobs.release_worker(database, worker, now=20.0, why="No memory.")
        assert job.error == ends_as


def test_a_silent_worker_counts_as_a_dead_one(database: Database, add_job: AddJob) -> None:
    add_job()
    claimed(database, now=0.0)
    assert [job.kills for job in jobs.expire_leases(database, now=0.0, uptime_s=61.0)] == [1]


def test_the_end_of_one_worker_does_not_touch_anothers_job(database: Database, add_job: AddJob) -> None:
    add_job("1.1"), add_job("1.2")
    claimed(database, worker="w1"), claimed(database, worker="w2")
    assert [job.id for job in jobs.release_worker(database, "w1", now=20.0)] == [1]
    assert jobs.get(database, 2).worker == "w2"


def test_a_restart_of_the_node_is_not_held_against_a_job(database: Database, add_job: AddJob) -> None:
    add_job()
    claimed(database)
    (job,) = jobs.recover(database, now=20.0)
    assert (job.state, job.kills, job.attempts) == (JobState.QUEUED, 0, 1)


def test_a_job_that_ran_whenever_others_ended_its_worker_or_node_is_set_aside_late(
    database: Database, add_job: AddJob
) -> None:
    add_job()
    states = []
    for _ in range(jobs.MAX_ATTEMPTS // 2):
        claimed(database)
        states.append(jobs.recover(database, now=10.0)[0].state)
        claimed(database)
        (job,) = jobs.release_worker(database, "w1", now=10.0, by_others=True)
        states.append(job.state)
        assert job.kills == 0
    assert states == [JobState.QUEUED] * 9 + [JobState.QUARANTINED]


def test_a_worker_that_lives_keeps_a_job_whose_lease_is_over(database: Database, add_job: AddJob) -> None:
    add_job()
    claimed(database, now=0.0)
    assert jobs.expire_leases(database, now=0.0, uptime_s=61.0, living={"w1"}) == []


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.FINISHED, JobState.SUPERSEDED])
def test_only_what_failed_is_retried(database: Database, add_job: AddJob, state: JobState) -> None:
    add_job(state=state)
    with pytest.raises(errors.NotRetryable, match=state.value):
        jobs.retry(database, 1, now=0.0)


def test_a_job_that_is_not_there_is_named(database: Database) -> None:
    with pytest.raises(errors.RecordNotFound, match="job 7"):
        jobs.retry(database, 7, now=0.0)
