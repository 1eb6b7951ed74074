from collections.abc import Callable
from pathlib import Path

import pytest

from survnode.model.checkpoint import checkpoint_folder, read_card
from survnode.node.config import NodeConfig, WorkConfig
from survnode.node.service.sweeps import Sweeps
from survnode.node.state.database import Database
from survnode.node.state.records import JobState
from survnode.node.work import jobs

HOUR_S = 3600.0


@pytest.fixture
def killed() -> list[str]:
    return []


@pytest.fixture
def sweeps(tmp_path: Path, database: Database, killed: list[str]) -> Sweeps:
    config = NodeConfig(data_dir=tmp_path, work=WorkConfig(job_timeout_s=HOUR_S))
    return Sweeps(config, database, read_card(checkpoint_folder("demo")), killed.append)


def test_a_worker_that_speaks_in_time_is_left_alone(
    sweeps: Sweeps, database: Database, add_job: Callable[..., int], killed: list[str]
) -> None:
    add_job()
    jobs.claim(database, "worker-cpu", now=100.0, lease_s=60.0)
    sweeps.return_leases(150.0)
    assert killed == []


def test_a_silent_worker_is_ended_and_its_job_taken_back(
    sweeps: Sweeps, database: Database, add_job: Callable[..., int], killed: list[str]
) -> None:
    number = add_job()
    jobs.claim(database, "worker-cpu", now=100.0, lease_s=60.0)
    sweeps.return_leases(161.0)
    assert killed == ["worker-cpu"]
    job = jobs.get(database, number)
    assert (job.state, job.kills) == (JobState.QUEUED, 1)


def test_a_worker_whose_job_takes_too_long_is_ended_though_it_speaks(
    sweeps: Sweeps, database: Database, add_job: Callable[..., int], killed: list[str]
) -> None:
    number = add_job()
    job = jobs.claim(database, "worker-cpu", now=100.0, lease_s=60.0)
    assert job is not None
    late = 100.0 + HOUR_S + 1
    jobs.heartbeat(database, job, now=late, lease_s=60.0)
    sweeps.return_leases(late)
    assert killed == ["worker-cpu"]
    assert jobs.get(database, number).state is JobState.RUNNING  # the service takes it back when the worker is dead
