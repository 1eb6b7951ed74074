"""Who may have an association while there are only so many."""

import threading
from collections import Counter
from collections.abc import Sequence


class AssociationLimit:
    """Counts associations, so that no sender takes all of them.

    One address has as many as are still free at most, so that there is a place for the next: one address has half of
    all, two have a third each. Each sender that is listed finds a place besides, whatever the others do.

    Parameters
    ----------
    number : of associations at once
    listed : calling AE titles that have a place of their own, if there are more places than titles
    """

    def __init__(self, number: int, listed: Sequence[str] = ()) -> None:
        self._number = number
        self.keep_for(listed)
        self._of_title: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self._lock = threading.Lock()

    def keep_for(self, listed: Sequence[str]) -> None:
        """Keep places for these senders from now on."""
        self._listed = tuple(listed) if len(listed) < self._number else ()

    def take(self, calling_ae_title: str, address: str) -> bool:
        """Take a place; False if there is none."""
        with self._lock:
            if not self._has_own(calling_ae_title) and self._free(calling_ae_title) <= self._of_address[address]:
                return False
            self._of_title[calling_ae_title] += 1
            self._of_address[address] += 1
            return True

    def give_back(self, calling_ae_title: str, address: str) -> None:
        """Give a place back."""
        with self._lock:
            for taken, key in ((self._of_title, calling_ae_title), (self._of_address, address)):
                taken[key] -= 1
                if not taken[key]:
                    del taken[key]

    def _has_own(self, title: str) -> bool:
        """Whether the place that is kept for a title is still there."""
        return title in self._listed and not self._of_title[title]

    def _free(self, title: str) -> int:
        """How many places there are that are not kept for others."""
        kept = sum(1 for other in self._listed if other != title and not self._of_title[other])
        return self._number - self._of_title.total() - kept
