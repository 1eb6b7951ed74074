"""The node as processes: starts, watches and stops them.

::

    service (this process)      sweeps: assembly, leases, outbox, retention
    ├── fork server             has imported what a receiver needs
    │   └── receiver            associations -> files and rows
    ├── worker, one a device    jobs -> result objects
    └── querier, if asked for   whether studies came whole, and what is missing

What a process holds in memory is never the only copy: any of them can be killed at any moment.
"""

import os
import pickle
import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

import structlog

from survnode.node.config import NodeConfig
from survnode.node.errors import NodeError, StartRefused
from survnode.node.logs import configure_logging, end_unquoted
from survnode.node.retry import outlast
from survnode.node.service import light_receiver
from survnode.node.service.child_process import FORK_SERVER, SPAWN, Child, OutOfMemory
from survnode.node.service.leases import Leases
from survnode.node.service.lock import lock_data_dir
from survnode.node.service.reload import Reloading
from survnode.node.state.audit import newest_entry
from survnode.node.state.database import Database
from survnode.node.state.due_times import wait_for_senders
from survnode.node.work import jobs

log = structlog.get_logger()

POLL_S = 0.5
RECEIVER_DELAYS_S = (0.0, 0.2, 0.5, 1.0)  # senders wait for it, and it needs little to start
WORKER_DELAYS_S = (0.0, 1.0, 5.0, 15.0, 60.0)  # one that dies again and again must not take the machine with it
SILENT_S = 60.0  # a worker beats twice a second, but waits up to 40 s for a database that is busy
MAX_DEATHS_AT_START = 4
RECEIVER_DRAIN_S = 15.0
RECEIVER_PRELOAD = (
    "survnode.node.service.receiver_preload"  # by name: it lets this process import nothing heavy any more
)


class Service:
    """One node; one data folder has one of them at a time.

    Parameters
    ----------
    path : of the configuration's file, which is read again at SIGHUP
    """

    def __init__(self, config: NodeConfig, path: Path) -> None:
        self.config, self._path = config, path
        self._reload = threading.Event()
        self.stopping = threading.Event()
        self._out_of_memory = OutOfMemory()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        The receiver is started first, since senders wait for it: what the rest needs is imported afterwards. What comes
        before a model is warm waits in the queue.

        Raises
        ------
        StartRefused, ModelError, NodeError
            It cannot start; what was received meanwhile is judged when it can.
        """
        os.umask(0o077)  # also of the children: what the node writes of patients is nobody else's
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # and a process that dies writes none of them
        configure_logging(self.config.log_level)
        end_unquoted()
        lock = lock_data_dir(self.config.data_dir, (self.config.received_dir, self.config.results_dir))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: self._reload.set())
        database = outlast(self._open_database, "start", self.stopping.wait)
        self._forget_port()
        receiver = self._receiver()
        try:
            receiver.start()
            self._serve(database, receiver)
        finally:
            receiver.stop(RECEIVER_DRAIN_S)
            _tell_audit_head(database)
            database.close()
            os.close(lock)
            log.info("node.stopped")

    def _serve(self, database: Database, receiver: Child) -> None:
        """Start all that is behind the receiver, and watch it."""
        from survnode.model.checkpoint import checkpoint_folder, read_card
        from survnode.node.service.sweeps import Sweeps
        from survnode.node.service.watchdog import ReceiverWatchdog, answers

        card = read_card(checkpoint_folder(self.config.model.checkpoint))
        workers = self._workers()
        leases = Leases(database, self.config.work.job_timeout_s, _killer(workers), lambda: _living(workers))
        watchdog = ReceiverWatchdog(self.config, receiver.kill, answers)
        sweeps = Sweeps(self.config, database, card, leases, watchdog)
        try:
            self._start([receiver, *workers], leases)
            wait_for_senders(database, until=time.time() + self.config.assembly.quiet_period_s)
            sweeps.start()
            log.info("node.started", model=card.name, model_version=card.version, device_uid=card.device_uid)
            _tell_audit_head(database)
            while not self.stopping.is_set():
                self._watch([receiver, *workers], leases)
                if self._reload.is_set():
                    self._reload.clear()
                    self._reread(receiver)
        finally:
            log.info("node.stopping")
            receiver.stop(RECEIVER_DRAIN_S)
            _stop_together(workers, self.config.work.drain_s)
            sweeps.stop()

    def _open_database(self) -> Database:
        """The database, with every job that ran at an end of the node back in its queue."""
        database = Database(self.config.database_path)
        try:
            for job in jobs.recover(database, now=time.time()):
                log.warning("job.recovered", job=job.id, state=str(job.state.value))
        except NodeError:
            database.close()
            raise
        return database

    def _receiver(self) -> Child:
        FORK_SERVER.set_forkserver_preload([RECEIVER_PRELOAD])
        return Child(
            "receiver",
            light_receiver.receive,
            (pickle.dumps(self.config), self._path),
            RECEIVER_DELAYS_S,
            context=FORK_SERVER,
            on_death=self._forget_port,
        )

    def _workers(self) -> list[Child]:
        from survnode.node.service import child_bodies

        devices = _devices(self.config.work.device)
        names = [f"worker-{device.replace(':', '-')}" for device in devices]
        workers = [
            Child(
                name,
                child_bodies.worker,
                (self.config, device, name),
                WORKER_DELAYS_S,
                silent_s=max(SILENT_S, self.config.work.lease_s),
            )
            for name, device in zip(names, devices, strict=True)
        ]
        if any(source.reconcile for source in self.config.sources):
            workers.append(Child("querier", child_bodies.ask_sources, (self.config,), WORKER_DELAYS_S))
        return workers

    def _reread(self, receiver: Child) -> None:
        """Have the receiver know who may send now, and each that is started later."""
        self.config = Reloading(self.config, self._path).reread()
        receiver.arguments = (pickle.dumps(self.config), self._path)
        if receiver.process is not None and receiver.process.pid is not None:
            os.kill(receiver.process.pid, signal.SIGHUP)

    def _forget_port(self) -> None:
        """Let nobody believe that a receiver listens which is dead."""
        self.config.port_file.unlink(missing_ok=True)

    def _start(self, children: Sequence[Child], leases: Leases) -> None:
        """Start all, and wait until each is ready.

        One that dies while it starts is started again: somebody may have killed it.

        Raises
        ------
        StartRefused
            One said why it cannot start, or died too often.
        """
        while not self.stopping.is_set() and not all(child.is_ready for child in children):
            self._watch(children, leases)
            for child in children:
                if child.refusal:
                    raise StartRefused(f"The {child.name} cannot start: {child.refusal}")
                if child.deaths >= MAX_DEATHS_AT_START and not child.is_ready:
                    raise StartRefused(f"The {child.name} died {child.deaths} times; see its last log lines.")

    def _watch(self, children: Sequence[Child], leases: Leases) -> None:
        """Wait a moment for something to happen, and start again whoever died and is due."""
        wait([sentinel for child in children for sentinel in child.sentinels], POLL_S)
        if self.stopping.is_set():
            return
        now = time.monotonic()
        oom_kill_at = self._out_of_memory.last_at(now)
        for child in children:
            death = child.look(now, oom_kill_at)
            if death is not None:
                leases.note(death)


def _devices(wanted: str) -> tuple[str, ...]:
    """The devices to work on; torch, which knows them, stays out of this process."""
    if wanted == "cpu":
        return ("cpu",)
    from survnode.node.service import child_bodies

    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        return pool.submit(child_bodies.find_devices, wanted).result()


def _killer(workers: Sequence[Child]) -> Callable[[str], None]:
    def kill(holder: str) -> None:
        for child in workers:
            if child.holder == holder:
                child.kill()

    return kill


def _living(workers: Sequence[Child]) -> set[str]:
    return {child.holder for child in workers if child.process is not None}


def _stop_together(children: Sequence[Child], drain_s: float) -> None:
    """Ask all to end before waiting for any."""
    for child in children:
        if child.process is not None:
            child.process.terminate()
    deadline = time.monotonic() + drain_s
    for child in children:
        child.stop(max(0.0, deadline - time.monotonic()))


def _tell_audit_head(database: Database) -> None:
    """Log the head of the audit trail: whoever makes the trail anew has to make the log anew, too."""
    with suppress(NodeError):  # the node starts and ends without it
        newest = newest_entry(database)
        log.info("audit.head", entries=newest.id if newest else 0, head=newest.hash if newest else None)
