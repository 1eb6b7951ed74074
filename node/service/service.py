"""The node as processes: starts, watches and stops them.

::

    service (this process)      sweeps: assembly, leases, outbox, retention
    ├── receiver                associations -> files and rows
    └── worker, one a device    jobs -> result objects

What a process holds in memory is never the only copy: any of them can be killed at any moment.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import structlog

from survnode.model.checkpoint import checkpoint_folder, read_card
from survnode.node.config import NodeConfig
from survnode.node.errors import StartRefused
from survnode.node.logs import configure_logging
from survnode.node.service import children, light
from survnode.node.service.lock import lock_data_dir
from survnode.node.service.sweeps import Sweeps
from survnode.node.state.database import Database
from survnode.node.work import jobs

log = structlog.get_logger()

POLL_S = 0.5
START_S = 180.0  # a worker loads torch, the model and its weights
RESTART_DELAYS_S = (0.0, 1.0, 5.0, 15.0, 60.0)  # after the first, second, ... death in a row
SETTLED_S = 120.0  # whoever lived so long starts with a clean slate
RECEIVER_DRAIN_S = 15.0

_spawn = multiprocessing.get_context("spawn")


@dataclass
class Child:
    """A process that is kept alive; ``ready`` becomes readable when it has started, or says why it cannot."""

    name: str
    body: Callable[..., None]
    arguments: tuple[object, ...]
    process: SpawnProcess | None = None
    ready: Connection | None = None
    started_at: float = 0.0
    deaths: int = 0
    due_at: float = 0.0

    def start(self) -> None:
        """Start the process."""
        self.ready, theirs = _spawn.Pipe(duplex=False)
        self.process = _spawn.Process(target=self.body, args=(*self.arguments, theirs), name=self.name)
        self.process.start()
        theirs.close()
        self.started_at = time.monotonic()
        log.info("child.started", child=self.name, pid=self.process.pid)

    def await_ready(self, timeout_s: float) -> None:
        """Wait until it has started.

        Raises
        ------
        StartRefused
            It said why it cannot, died, or was too slow.
        """
        if self.ready is None or not self.ready.poll(timeout_s):
            raise StartRefused(f"The {self.name} did not start within {timeout_s:.0f} s.")
        try:
            refusal = self.ready.recv()
        except EOFError:
            refusal = "it died; see its last log lines"
        if refusal:
            raise StartRefused(f"The {self.name} cannot start: {refusal}")

    def is_dead(self) -> bool:
        """Whether it was started and has ended."""
        return self.process is not None and not self.process.is_alive()

    def stop(self, drain_s: float) -> None:
        """Ask it to end, and end it after ``drain_s``."""
        if self.process is None:
            return
        self.process.terminate()
        self.process.join(drain_s)
        if self.process.is_alive():
            log.error("child.killed", child=self.name, after_s=drain_s)
            self.process.kill()
            self.process.join()


class Service:
    """One node; one data folder has one of them at a time."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.stopping = threading.Event()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises
        ------
        StartRefused, ModelError, NodeError
            It cannot start; nothing was received.
        """
        os.umask(0o077)  # also of the children: what the node writes of patients is nobody else's
        configure_logging(self.config.log_level)
        lock = lock_data_dir(self.config.data_dir, (self.config.received_dir, self.config.results_dir))
        card = read_card(checkpoint_folder(self.config.model.checkpoint))
        database = Database(self.config.database_path)
        for job in jobs.recover(database, now=time.time()):
            log.warning("job.recovered", job=job.id, state=str(job.state.value))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        receiver, workers = self._children()
        sweeps = Sweeps(self.config, database, card, kill_worker=_killer(workers))
        try:
            self._start([*workers, receiver])
            sweeps.start()
            log.info("node.started", model=card.name, model_version=card.version, device_uid=card.device_uid)
            while not self.stopping.is_set():
                self._watch([receiver, *workers], database)
        finally:
            log.info("node.stopping")
            receiver.stop(RECEIVER_DRAIN_S)
            _stop_together(workers, self.config.work.drain_s)
            sweeps.stop()
            database.close()
            os.close(lock)
            log.info("node.stopped")

    def _children(self) -> tuple[Child, list[Child]]:
        found = _devices(self.config.work.device)
        receiver = Child("receiver", light.receive, (pickle.dumps(self.config),))
        names = [f"worker-{device.replace(':', '-')}" for device in found]
        workers = [
            Child(name, children.worker, (self.config, device, name)) for name, device in zip(names, found, strict=True)
        ]
        return receiver, workers

    def _start(self, children: list[Child]) -> None:
        """Start all; the receiver, which comes last, listens only once every model is warm."""
        for child in children[:-1]:
            child.start()
        for child in children[:-1]:
            child.await_ready(START_S)
        children[-1].start()
        children[-1].await_ready(START_S)

    def _watch(self, children: list[Child], database: Database) -> None:
        """Wait a moment for a death, and start again whoever is due."""
        wait([child.process.sentinel for child in children if child.process and child.process.is_alive()], POLL_S)
        now = time.monotonic()
        for child in children:
            if child.process is not None and child.is_dead() and not self.stopping.is_set():
                log.error("child.died", child=child.name, exit_code=child.process.exitcode)
                for job in jobs.release_worker(database, child.name, now=time.time()):
                    log.warning("job.taken_back", job=job.id, kills=job.kills, state=str(job.state.value))
                child.deaths = 1 if now - child.started_at > SETTLED_S else child.deaths + 1
                child.due_at = now + RESTART_DELAYS_S[min(child.deaths, len(RESTART_DELAYS_S)) - 1]
                child.process = None
            if child.process is None and now >= child.due_at:
                child.start()


def _devices(wanted: str) -> tuple[str, ...]:
    """The devices to work on; torch, which knows them, stays out of this process."""
    if wanted == "cpu":
        return ("cpu",)
    with ProcessPoolExecutor(1, mp_context=_spawn) as pool:
        return pool.submit(children.find_devices, wanted).result()


def _killer(workers: list[Child]) -> Callable[[str], None]:
    def kill(name: str) -> None:
        for child in workers:
            if child.name == name and child.process is not None:
                child.process.kill()

    return kill


def _stop_together(children: list[Child], drain_s: float) -> None:
    """Ask all to end before waiting for any."""
    for child in children:
        if child.process is not None:
            child.process.terminate()
    deadline = time.monotonic() + drain_s
    for child in children:
        child.stop(max(0.0, deadline - time.monotonic()))
