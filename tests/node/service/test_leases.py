from collections.abc import Callable

import pytest

from survnode.node.service.child_process import Death
from survnode.node.service.leases import Leases
from survnode.node.state.database import Database
from survnode.node.state.records import Job, JobState
from survnode.node.work import jobs

HOUR_S = 3600.0
AddJob = Callable[..., int]


@pytest.fixture
def killed() -> list[str]:
    return []


@pytest.fixture
def living() -> set[str]:
    return {"worker-cpu/7"}


@pytest.fixture
def clocks() -> dict[str, float]:
    return {"wall": 1000.0, "uptime": 100.0}


@pytest.fixture
def leases(database: Database, killed: list[str], living: set[str], clocks: dict[str, float]) -> Leases:
    return Leases(database, HOUR_S, killed.append, lambda: living, lambda: clocks["wall"], lambda: clocks["uptime"])


@pytest.fixture
def claim(database: Database, add_job: AddJob, clocks: dict[str, float]) -> Callable[[], Job]:
    def claim() -> Job:
        add_job()
        job = jobs.claim(database, "worker-cpu/7", now=clocks["wall"], lease_s=60.0, uptime=lambda: clocks["uptime"])
        assert job is not None
        return job

    return claim


@pytest.mark.parametrize("step_s", [-HOUR_S, -60.0, 60.0, HOUR_S])
def test_a_step_of_the_clock_ends_no_lease_and_no_job(
    leases: Leases, claim: Callable[[], Job], database: Database, killed: list[str], clocks: dict[str, float],
    living: set[str], step_s: float,
) -> None:  # fmt: skip
    job = claim()
    living.clear()
    leases.sweep()
    clocks["wall"] += step_s
    clocks["uptime"] += 50.0
    leases.sweep()
    assert jobs.get(database, job.id).state is JobState.RUNNING
    assert killed == []


def test_the_job_of_a_silent_worker_that_is_nobodys_is_taken_back(
    leases: Leases, claim: Callable[[], Job], database: Database, clocks: dict[str, float], living: set[str]
) -> None:
    job = claim()
    living.clear()
    clocks["uptime"] += 61.0
    leases.sweep()
    after = jobs.get(database, job.id)
    assert (after.state, after.kills) == (JobState.QUEUED, 1)


def test_a_worker_that_lives_keeps_its_job_though_the_database_did_not_take_its_heartbeat(
    leases: Leases, claim: Callable[[], Job], database: Database, clocks: dict[str, float]
) -> None:
    job = claim()
    clocks["uptime"] += 61.0
    leases.sweep()
    assert jobs.get(database, job.id).state is JobState.RUNNING


def test_a_worker_whose_job_takes_too_long_is_ended_though_it_lives(
    leases: Leases, claim: Callable[[], Job], database: Database, clocks: dict[str, float], killed: list[str]
) -> None:
    job = claim()
    leases.sweep()
    clocks["uptime"] += HOUR_S
    leases.sweep()
    assert killed == []
    clocks["uptime"] += 1.0
    leases.sweep()
    assert killed == ["worker-cpu/7"]
    assert jobs.get(database, job.id).state is JobState.RUNNING  # until its death is noted


@pytest.mark.parametrize("by_others", [True, False])
def test_a_death_that_was_noted_gives_the_job_back(
    leases: Leases, claim: Callable[[], Job], database: Database, by_others: bool
) -> None:
    job = claim()
    leases.note(Death("worker-cpu/6", -9, by_others))
    leases.note(Death("worker-cpu/7", -9, by_others))
    leases.sweep()
    after = jobs.get(database, job.id)
    assert (after.state, after.kills) == (JobState.QUEUED, 0 if by_others else 1)
    leases.sweep()
    assert jobs.get(database, job.id) == after
