"""The clock on the wall may step: an hour at a correction by hand, a minute when the network's time is found.

What is due stands in rows as the wall's time. A step would let every study be complete at once, or none for an hour;
so when the clock steps, what is due steps with it.
"""

import time
from collections.abc import Callable

import structlog

from survnode.node.state.database import Database
from survnode.node.state.due_times import shift_due_times

log = structlog.get_logger()

STEP_S = 1.0  # less is the slow correction that time services make: at most 0.5 ms in a second


class WallClock:
    """Watches the wall's clock for steps.

    Parameters
    ----------
    wall, uptime : seconds since the epoch, and by the clock that never steps
    """

    def __init__(
        self,
        database: Database,
        wall: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._wall, self._uptime = database, wall, uptime
        self._wall_at, self._uptime_at = wall(), uptime()

    def watch(self) -> None:
        """Move what is due if the clock stepped since this was called last.

        Raises
        ------
        DatabaseFailed, StorageFailed
            Nothing was moved; the next call moves it.
        """
        wall_at, uptime_at = self._wall(), self._uptime()
        elapsed_s = uptime_at - self._uptime_at
        step_s = wall_at - self._wall_at - elapsed_s
        if abs(step_s) >= STEP_S:
            number = shift_due_times(self._database, step_s, stepped_after=wall_at - elapsed_s, now=wall_at)
            log.warning("clock.stepped", step_s=round(step_s, 1), rows=number)
        self._wall_at, self._uptime_at = wall_at, uptime_at
