"""How the node's processes end: on SIGTERM in good order, and never later than their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

import structlog

log = structlog.get_logger()


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM sets; SIGINT and SIGHUP are left to the parent, who gets them from the same terminal."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return stop


def end_with_parent() -> None:
    """End this process at once when its parent is gone: what is durable is durable, the rest must not go on alone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True, name="parent-watch").start()


def is_orphan() -> Callable[[], bool]:
    """Says whether the process that had this one started has ended since, or the fork server that did so for it.

    A process outlives neither: who started it sees it end with the fork server, and starts another.
    """
    starter, parent = multiprocessing.parent_process(), os.getppid()
    return lambda: os.getppid() != parent or not (starter is None or starter.is_alive())


def refuse_to_start(ready: Connection, refusal: Exception) -> None:
    """Say why this process cannot start."""
    log.error("child.refused", error=str(refusal))
    ready.send(str(refusal))


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
