"""Who may have an association while there are only so many."""

import threading
from collections import Counter
from collections.abc import Sequence


class AssociationLimit:
    """Counts associations; of the senders that are listed each finds a place, whatever the others do.

    Parameters
    ----------
    number : of associations at once
    listed : calling AE titles that have a place of their own, if there are more places than titles
    """

    def __init__(self, number: int, listed: Sequence[str] = ()) -> None:
        self._number, self._listed = number, tuple(listed) if len(listed) < number else ()
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, calling_ae_title: str) -> bool:
        """Take a place; False if there is none."""
        with self._lock:
            kept = sum(1 for title in self._listed if title != calling_ae_title and not self._taken[title])
            if self._taken.total() + kept >= self._number:
                return False
            self._taken[calling_ae_title] += 1
            return True

    def give_back(self, calling_ae_title: str) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[calling_ae_title] -= 1
            if not self._taken[calling_ae_title]:
                del self._taken[calling_ae_title]
