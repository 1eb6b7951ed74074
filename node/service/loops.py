"""Something that is done again and again, in a thread of its own, by the clock that never steps."""

import threading
from collections.abc import Callable

from survnode.node.retry import Guard


class Loop:
    """Acts every ``every_s`` seconds; a turn that fails is said once and followed by longer waits."""

    def __init__(self, name: str, every_s: float, act: Callable[[], object]) -> None:
        self.name, self._every_s, self._act = name, every_s, act
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, after the first wait."""
        self._thread.start()

    def request_stop(self) -> None:
        """Let the turn that runs be the last."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the last turn."""
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        guard = Guard(self.name)
        delay_s = 0.0
        while not self._stop.wait(self._every_s + delay_s):  # measured by the monotonic clock
            delay_s = guard.run(self._act)
