"""When to try again, and when to stop: pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait between tries and when to give up.

    Parameters
    ----------
    first_delay_s : after the first failure
    factor : by which each further delay grows
    max_delay_s : the ceiling of a delay, before jitter
    jitter : share of a delay by which it is lengthened at most, so that many do not come back together
    max_tries : give up when so many have failed; None: never
    max_elapsed_s : give up when a next try would come later than this after the first; None: never
    """

    first_delay_s: float = 10.0
    factor: float = 2.0
    max_delay_s: float = 600.0
    jitter: float = 0.2
    max_tries: int | None = None
    max_elapsed_s: float | None = None

    def delay_s(self, tries: int, random: float = 0.0) -> float:
        """Seconds to wait after ``tries`` failures, ``random`` in [0, 1)."""
        exponent = min(tries - 1, 64)  # beyond it any factor has met the ceiling, and a float would overflow
        base = min(self.first_delay_s * self.factor**exponent, self.max_delay_s)
        return base * (1.0 + self.jitter * random)


@dataclass(frozen=True)
class TryAgain:
    """It may succeed later."""

    delay_s: float


@dataclass(frozen=True)
class GiveUp:
    """A person must act."""

    why: str


Decision = TryAgain | GiveUp


def decide(
    policy: RetryPolicy, *, tries: int, elapsed_s: float, can_retry: bool = True, random: float = 0.0
) -> Decision:
    """What to do after the ``tries``-th failure, ``elapsed_s`` after the first try."""
    if not can_retry:
        return GiveUp("A retry cannot help.")
    if policy.max_tries is not None and tries >= policy.max_tries:
        return GiveUp(f"It failed {tries} times.")
    delay = policy.delay_s(tries, random)
    if policy.max_elapsed_s is not None and elapsed_s + delay > policy.max_elapsed_s:
        return GiveUp(f"It failed for {elapsed_s:.0f} s.")
    return TryAgain(delay)
