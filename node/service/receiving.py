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
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
from pydicom import Dataset

from survnode.node import errors
from survnode.node.config import NodeConfig, OtherInstances, ReceiverConfig, ReceiverTLSConfig
from survnode.node.contexts import EventStatus, accepted_contexts
from survnode.node.delivery.commitment import record_answer
from survnode.node.errors import NodeError
from survnode.node.intake.adoption import adopt_files
from survnode.node.intake.association.log import AssociationLog
from survnode.node.intake.association.request_server import Sink
from survnode.node.intake.instance import StoreRequest
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.intake.rules import Routes
from survnode.node.intake.store import Store
from survnode.node.intake.watermark import DiskWatermark
from survnode.node.logs import configure_logging, end_unquoted
from survnode.node.service.lifetime import is_orphan, refuse_to_start
from survnode.node.service.reload import Reloading
from survnode.node.state.database import Database
from survnode.node.state.files import replace_durably
from survnode.node.tls import ServerTLS

log = structlog.get_logger()

GIB = 1 << 30
ACCEPT_AGAIN = 1.2  # times the free space under which images are refused, so that it does not flap
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


def receive(config: NodeConfig, path: Path, ready: Connection) -> None:
    """Take associations until SIGTERM: the body of the process, from the configuration alone.

    Parameters
    ----------
    path : of its file, which is read again at SIGHUP for who may send
    """
    configure_logging(config.log_level)
    end_unquoted()
    settings = config.receiver
    storage = Storage(
        folder=config.received_dir,
        database=config.database_path,
        routes=Routes.of(config),
        keep_other=config.assembly.other_instances is OtherInstances.KEEP,
        refuse_below_bytes=int(settings.min_free_gib * GIB),
        accept_above_bytes=int(settings.min_free_gib * GIB * ACCEPT_AGAIN),
    )

    def on_ready(port: int) -> None:
        replace_durably(config.port_file, str(port).encode())
        ready.send("")

    try:
        expects_answers = any(destination.commitment for destination in config.destinations)
        run_receiver(
            listening_of(settings),
            storage,
            on_ready,
            on_commitment=record_answer if expects_answers else None,
            reread=lambda: listening_of(Reloading(config, path).reread().receiver),
        )
    except NodeError as refusal:
        refuse_to_start(ready, refusal)
    finally:
        config.port_file.unlink(missing_ok=True)


def listening_of(settings: ReceiverConfig) -> Listening:
    """Where to listen and to whom, as ``settings`` say."""
    return Listening(
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.port,
        calling_ae_titles=settings.calling_ae_titles,
        networks=tuple(str(network) for network in settings.networks),
        max_associations=settings.max_associations,
        also_called=settings.also_called,
        tls=server_tls(settings.tls) if settings.tls else None,
    )


def server_tls(settings: ReceiverTLSConfig) -> ServerTLS:
    """The receiver's side of TLS that ``settings`` describe."""
    return ServerTLS(settings.certificate, settings.key, settings.client_ca)


def run_receiver(
    listening: Listening,
    storage: Storage,
    on_ready: Callable[[int], object],
    *,
    on_commitment: Callable[[Database, int, Dataset], EventStatus] | None = None,
    reread: Callable[[], Listening] | None = None,
    drain_s: float = 10.0,
) -> None:
    """Receive into the store until SIGTERM or SIGINT, or until the parent process is gone: the body of a process.

    Parameters
    ----------
    on_ready : gets the port when associations are taken
    on_commitment : records an answer to a request for storage commitment, see `Receiver`; None: none is expected
    reread : says at each SIGHUP who may send from now on

    Raises
    ------
    StoreInUse, ReceiverFailed, DatabaseFailed, TLSUnusable
    """
    is_abandoned = is_orphan()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    reload = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    database = Database(storage.database)
    store = Store(storage.folder, database, routes=storage.routes, keep_other=storage.keep_other)
    watermark = DiskWatermark(
        storage.refuse_below_bytes, storage.accept_above_bytes, lambda: _free_bytes(storage.folder)
    )
    _sweep_when_free(store, stop)
    answer = partial(on_commitment, database) if on_commitment else None
    associations = AssociationLog(database)
    associations.start()
    receiver = Receiver(listening, accepted_contexts(), StoreWithRoom(store, watermark), answer, associations.add)
    receiver.start()
    on_ready(receiver.port)
    adopting = threading.Thread(target=_adopt, args=(store, stop), name="adoption")
    adopting.start()
    while not stop.wait(WATCH_INTERVAL_S) and not is_abandoned():
        if reload.is_set() and reread is not None:
            reload.clear()
            receiver.admit(reread())
    stop.set()
    receiver.stop(drain_s)
    adopting.join()
    associations.close()
    store.close()
    database.close()


class StoreWithRoom:
    """The spool of the node: the store, while there is room on its disk."""

    def __init__(self, store: Store, watermark: DiskWatermark) -> None:
        self._store, self._watermark = store, watermark

    def has_room(self) -> bool:
        """Whether images are stored now."""
        try:
            self._watermark.check()
        except errors.StorageFull:
            return False
        return True

    def begin(self, request: StoreRequest) -> Sink:
        """Take the data set of one instance as it comes.

        Raises
        ------
        UIDInvalid, StorageFailed
        """
        self._watermark.check()
        return self._store.begin(request)


def _adopt(store: Store, stop: threading.Event) -> None:
    """See to files without a row while associations are taken already; in a thread of its own."""
    try:
        adopt_files(store, stop)
    except (errors.NodeError, OSError) as error:  # what was not adopted is at the next start
        log.error("store.not_adopted", error=type(error).__name__)


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
    file_system = os.statvfs(folder)
    return file_system.f_bavail * file_system.f_frsize
