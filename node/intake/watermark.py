"""The free space below which nothing is taken."""

from collections.abc import Callable

import structlog

from survnode.node import errors

log = structlog.get_logger()


class DiskWatermark:
    """Refuses before the disk is full, and until there is room again.

    Parameters
    ----------
    refuse_below_bytes : of free space
    accept_above_bytes : of free space; more than ``refuse_below_bytes``, so that it does not flap
    free_bytes : measures the free space
    """

    def __init__(self, refuse_below_bytes: int, accept_above_bytes: int, free_bytes: Callable[[], int]) -> None:
        self._low, self._high, self._free_bytes = refuse_below_bytes, accept_above_bytes, free_bytes
        self.refusing = False

    def check(self) -> None:
        """Do nothing while there is room.

        Raises
        ------
        StorageFull
        """
        free = self._free_bytes()
        refusing = free < (self._high if self.refusing else self._low)
        if refusing != self.refusing:
            log.error("disk.low", free_bytes=free) if refusing else log.info("disk.ok", free_bytes=free)
        self.refusing = refusing
        if refusing:
            raise errors.StorageFull("The disk is nearly full.")
