"""When to try again, and when to stop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import random
from typing import TypeVar

import structlog

from survnode.node.errors import NodeError, trace_of

log = structlog.get_logger()

T = TypeVar("T")


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

    def gives_up_before(self, tries: int, now: float, random: float = 0.0) -> float:
        """Whatever was first tried before that time is given up if it fails at ``now`` for the ``tries``-th time.

        See `decide`, which says so of one thing. Infinity: all of it; minus infinity: nothing.
        """
        if self.max_tries is not None and tries >= self.max_tries:
            return math.inf
        if self.max_elapsed_s is None:
            return -math.inf
        return now + self.delay_s(tries, random) - self.max_elapsed_s


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


BACKOFF = RetryPolicy(first_delay_s=1.0, max_delay_s=15.0)


class Guard:
    """Lets a loop outlive what fails in it: a failure is said once, not at each turn, and waited out.

    Parameters
    ----------
    name : of the loop, for the log
    random : in [0, 1), spreads the delays
    """

    def __init__(self, name: str, policy: RetryPolicy = BACKOFF, random: Callable[[], float] = random) -> None:
        self._name, self._policy, self._random = name, policy, random
        self._failures = 0
        self._said = ""

    @property
    def is_failing(self) -> bool:
        """Whether the last turn failed."""
        return self._failures > 0

    def run(self, act: Callable[[], object]) -> float:
        """Act; the seconds to wait before the next turn, beyond what the loop waits anyway: 0 if it succeeded."""
        try:
            act()
        except Exception as error:  # noqa: BLE001  the edge of a loop: it must outlive whatever fails in it
            return self.failed(error)
        self.succeeded()
        return 0.0

    def succeeded(self) -> None:
        """Note a turn that did not fail."""
        if self._failures:
            log.info("loop.recovered", loop=self._name, failures=self._failures)
        self._failures, self._said = 0, ""

    def failed(self, error: Exception) -> float:
        """Note a turn that failed; the seconds to wait."""
        self._failures += 1
        words = str(error) if isinstance(error, NodeError) else trace_of(error)
        if words != self._said:
            say = log.warning if isinstance(error, NodeError) and error.can_retry else log.error
            say("loop.failed", loop=self._name, error=words)
        self._said = words
        return self._policy.delay_s(self._failures, self._random())


def outlast(act: Callable[[], T], name: str, wait: Callable[[float], bool]) -> T:
    """What ``act`` returns, once the failures that pass by themselves have passed.

    Parameters
    ----------
    name : of what is done, for the log
    wait : for so many seconds; True if that is not to be awaited any more, and the failure is raised

    Raises
    ------
    NodeError
        It does not pass by itself, or ``wait`` said so.
    """
    guard = Guard(name)
    while True:
        try:
            value = act()
        except NodeError as error:
            if not error.can_retry or wait(guard.failed(error)):
                raise
        else:
            guard.succeeded()
            return value
