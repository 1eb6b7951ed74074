"""Connections that asked for no association: one is worth a record; thousands of a port scan are not."""

from collections.abc import Callable
from time import monotonic

from survnode.node.state.records import AssociationEnd

QUIET_S = 60.0  # between two records of one address that ended in one way
MAX_ADDRESSES = 1024  # that are remembered for that

OnNoRequest = Callable[[str, AssociationEnd, str], object]  # address, how it ended, why


class NoRequestReports:
    """Hands on what became of such connections; of an address that ends in one way again and again, once in `QUIET_S`.

    Parameters
    ----------
    on_no_request : gets what is handed on
    clock : seconds, never stepping
    """

    def __init__(self, on_no_request: OnNoRequest, clock: Callable[[], float] = monotonic) -> None:
        self._on_no_request, self._clock = on_no_request, clock
        self._reported_at: dict[tuple[str, AssociationEnd], float] = {}

    def report(self, address: str, end: AssociationEnd, detail: str = "") -> None:
        """Hand it on unless the same was just said."""
        now = self._clock()
        if now - self._reported_at.get((address, end), -QUIET_S) < QUIET_S:
            return
        if len(self._reported_at) >= MAX_ADDRESSES:
            self._reported_at.clear()
        self._reported_at[address, end] = now
        self._on_no_request(address, end, detail)
