import pytest

from survnode.node.retry import GiveUp, RetryPolicy, TryAgain, decide

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
