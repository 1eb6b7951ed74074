from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from survnode.node.errors import DatabaseBusy, DatabaseFailed
from survnode.node.retry import GiveUp, Guard, RetryPolicy, TryAgain, decide, outlast

POLICY = RetryPolicy(first_delay_s=10, factor=2, max_delay_s=60, jitter=0.5, max_tries=5, max_elapsed_s=300)


@pytest.mark.parametrize(("tries", "delay_s"), [(1, 10), (2, 20), (3, 40), (4, 60)])
def test_delay_doubles_up_to_its_ceiling(tries: int, delay_s: float) -> None:
    assert decide(POLICY, tries=tries, elapsed_s=0) == TryAgain(delay_s)


def test_jitter_lengthens_a_delay_by_its_share_at_most() -> None:
    assert decide(POLICY, tries=1, elapsed_s=0, random=1.0) == TryAgain(15)


def test_no_delay_overflows() -> None:
    assert RetryPolicy(max_delay_s=600, jitter=0).delay_s(1_000_000) == 600


def test_gives_up_after_its_tries() -> None:
    assert isinstance(decide(POLICY, tries=5, elapsed_s=0), GiveUp)


def test_gives_up_when_the_next_try_would_come_too_late() -> None:
    assert isinstance(decide(POLICY, tries=2, elapsed_s=280), TryAgain)
    assert isinstance(decide(POLICY, tries=2, elapsed_s=281), GiveUp)


def test_gives_up_at_once_where_a_retry_cannot_help() -> None:
    assert isinstance(decide(POLICY, tries=1, elapsed_s=0, can_retry=False), GiveUp)


def test_tries_for_ever_without_limits() -> None:
    assert decide(RetryPolicy(jitter=0), tries=10_000, elapsed_s=1e9) == TryAgain(600)


def failing(error: Exception) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


def test_a_failure_is_said_once_and_waited_out_longer_each_time() -> None:
    guard = Guard("sweep", random=lambda: 0.0)
    with capture_logs() as said:
        delays = [guard.run(failing(DatabaseBusy("busy"))) for _ in range(6)]
        assert guard.is_failing
        delays.append(guard.run(lambda: None))
    assert delays == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 0.0]
    assert [(it["event"], it["log_level"]) for it in said] == [("loop.failed", "warning"), ("loop.recovered", "info")]
    assert not guard.is_failing


def test_what_a_person_must_see_to_is_an_error_without_values() -> None:
    with capture_logs() as said:
        Guard("sweep").run(failing(ValueError("Doe^Jane")))
        Guard("sweep").run(failing(DatabaseFailed("no such table")))
    assert [it["log_level"] for it in said] == ["error", "error"]
    assert "Doe" not in str(said)


def test_what_passes_is_outlasted_and_what_does_not_is_raised() -> None:
    failures = [DatabaseBusy("busy"), DatabaseBusy("busy")]
    waits: list[float] = []

    def act() -> str:
        if failures:
            raise failures.pop()
        return "done"

    def wait(delay_s: float) -> bool:
        waits.append(delay_s)
        return False

    assert outlast(act, "start", wait) == "done"
    assert len(waits) == 2
    with pytest.raises(DatabaseFailed):
        outlast(failing(DatabaseFailed("gone")), "start", wait)
    with pytest.raises(DatabaseBusy):
        outlast(failing(DatabaseBusy("busy")), "start", lambda _: True)


@pytest.mark.parametrize("policy", [RetryPolicy(), RetryPolicy(max_tries=3), RetryPolicy(max_elapsed_s=100.0)])
@pytest.mark.parametrize("tries", [1, 3, 9])
@pytest.mark.parametrize("elapsed_s", [0.0, 60.0, 89.9, 90.1, 1000.0])
def test_what_is_decided_of_many_is_what_is_decided_of_one(policy: RetryPolicy, tries: int, elapsed_s: float) -> None:
    now = 5000.0
    given_up = now - elapsed_s < policy.gives_up_before(tries, now)
    assert given_up is isinstance(decide(policy, tries=tries, elapsed_s=elapsed_s), GiveUp)
