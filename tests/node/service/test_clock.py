"""Steps of the clock, in every state between the first image and the last delivery, against the real rules."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from survnode.node.contexts import Answer
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.sender import Outgoing, SendOutcome
from survnode.node.retry import RetryPolicy, TryAgain
from survnode.node.service.clock import WallClock
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Job, Study
from survnode.node.state.tables import studies
from survnode.node.work import jobs

HOUR_S = 3600.0
STEPS = pytest.mark.parametrize("step_s", [-HOUR_S, -60.0, 60.0, HOUR_S])
PACS = Destination("pacs", "PACS", "127.0.0.1", 104, retry=RetryPolicy(first_delay_s=100, jitter=0))


class Clocks:
    """Both clocks, and who watches them four times a second."""

    def __init__(self, database: Database) -> None:
        self.wall, self.uptime = 1e6, 50.0
        self.watcher = WallClock(database, lambda: self.wall, lambda: self.uptime)

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.uptime += seconds
        self.watcher.watch()

    def step(self, seconds: float) -> None:
        self.wall += seconds
        self.pass_by(0.25)


@pytest.fixture
def clocks(database: Database) -> Clocks:
    return Clocks(database)


@STEPS
def test_a_study_is_complete_after_its_quiet_period_and_not_before(
    clocks: Clocks, database: Database, add_job: Callable[..., int], step_s: float
) -> None:
    add_job("1.1")
    with database.transaction() as connection:
        connection.execute(studies.update().values(last_received_at=clocks.wall, due_at=clocks.wall + 60.0))

    def is_due() -> bool:
        with database.reading() as connection:
            return bool(fetch(connection, Study, select(studies).where(studies.c.due_at <= clocks.wall)))

    clocks.pass_by(30.0)
    clocks.step(step_s)
    clocks.pass_by(29.5)
    assert not is_due()
    clocks.pass_by(0.5)
    assert is_due()


@STEPS
def test_a_failed_job_is_tried_again_after_its_delay(
    clocks: Clocks, database: Database, add_job: Callable[..., int], step_s: float
) -> None:
    add_job()
    job = jobs.claim(database, "w", now=clocks.wall, lease_s=60)
    assert job is not None
    jobs.fail(database, job, "x", TryAgain(100.0), now=clocks.wall)
    clocks.pass_by(50.0)
    clocks.step(step_s)
    clocks.pass_by(49.0)
    assert jobs.claim(database, "w", now=clocks.wall, lease_s=60) is None
    clocks.pass_by(1.0)
    assert jobs.claim(database, "w", now=clocks.wall, lease_s=60) is not None


@STEPS
def test_a_delivery_is_tried_again_after_its_delay_and_is_not_given_up_early(
    clocks: Clocks, database: Database, tmp_path: Path, finish_job: Callable[..., Job], step_s: float
) -> None:
    def full(_: Destination, _objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        yield SendOutcome(Answer.TRY_AGAIN, 0xA700)

    def takes(_: Destination, objects: Sequence[Outgoing]) -> list[SendOutcome]:
        return [SendOutcome(Answer.STORED, 0) for _ in objects]

    finish_job("1.1", "pacs", now=clocks.wall)
    outbox = Outbox(database, tmp_path, clock=lambda: clocks.wall, random=lambda: 0.0)
    outbox.deliver_due(PACS, full)
    clocks.pass_by(50.0)
    clocks.step(step_s)
    clocks.pass_by(49.0)
    assert outbox.deliver_due(PACS, takes) == 0
    clocks.pass_by(1.0)
    assert outbox.deliver_due(PACS, takes) == 5


def test_the_slow_correction_of_a_time_service_is_no_step(clocks: Clocks, database: Database) -> None:
    clocks.watcher = WallClock(database, lambda: clocks.wall, lambda: clocks.uptime)
    database.close()
    for _ in range(10_000):
        clocks.uptime += 0.25
        clocks.wall += 0.25 * 1.0005
        clocks.watcher.watch()  # would need the database, and log
