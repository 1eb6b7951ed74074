"""The process that receives: the receiver and the store behind it, from the store's lock to SIGTERM.

It is a process of its own, since one busy Python thread beside the receiver would cut its rate to a third.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from pydicom import Dataset

from survnode.node import errors
from survnode.node.contexts import EventStatus, accepted_contexts
from survnode.node.intake.associations import AssociationLog
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, OnStore, Receiver
from survnode.node.intake.rules import Routes
from survnode.node.intake.store import DiskWatermark, Store
from survnode.node.state.database import Database

log = structlog.get_logger()

WATCH_INTERVAL_S = 0.5
LOCK_WAIT_S = 30.0  # a receiver of the node before this one may still be draining


@dataclass(frozen=True)
class Storage:
    """Where the node's receiver puts what it gets; see `Store` and `DiskWatermark`."""

    folder: Path
    database: Path
    routes: Routes
    keep_other: bool
    refuse_below_bytes: int
    accept_above_bytes: int


def run_receiver(
    listening: Listening,
    storage: Storage,
    on_ready: Callable[[int], object],
    *,
    on_commitment: Callable[[Database, int, Dataset], EventStatus] | None = None,
    drain_s: float = 10.0,
) -> None:
    """Receive into the store until SIGTERM or SIGINT, or until the parent process is gone: the body of a process.

    Parameters
    ----------
    on_ready : gets the port when associations are taken
    on_commitment : records an answer to a request for storage commitment, see `Receiver`; None: none is expected

    Raises
    ------
    StoreInUse, ReceiverFailed, DatabaseFailed
    """
    parent = os.getppid()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(storage.database)
    store = Store(storage.folder, database, routes=storage.routes, keep_other=storage.keep_other)
    watermark = DiskWatermark(
        storage.refuse_below_bytes, storage.accept_above_bytes, lambda: _free_bytes(storage.folder)
    )
    _sweep_when_free(store, stop)
    answer = partial(on_commitment, database) if on_commitment else None
    associations = AssociationLog(database)
    associations.start()
    receiver = Receiver(listening, accepted_contexts(), storing(store, watermark), answer, associations.add)
    receiver.start()
    on_ready(receiver.port)
    while not stop.wait(WATCH_INTERVAL_S) and os.getppid() == parent:
        pass
    receiver.stop(drain_s)
    associations.close()
    store.close()
    database.close()


def storing(store: Store, watermark: DiskWatermark) -> OnStore:
    """What puts instances into the store while there is room."""

    def on_store(received: Received) -> object:
        watermark.check()
        return store.add(received)

    return on_store


def _sweep_when_free(store: Store, stop: threading.Event) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            removed = store.sweep()
        except errors.StoreInUse:
            if time.monotonic() > deadline or stop.wait(WATCH_INTERVAL_S):
                raise
        else:
            log.info("store.swept", removed=removed)
            return


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
