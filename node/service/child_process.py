"""One process of the node that is kept alive: started, watched, ended, and started again when it dies."""

import ctypes
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

import structlog

from survnode.node.service.light_receiver import run_unquoted

log = structlog.get_logger()

START_S = 180.0  # a worker loads torch, the model and its weights
SETTLED_S = 120.0  # whoever lived so long starts with a clean slate
OOM_BEFORE_DEATH_S = 10.0  # how long a large process may take to die of the kernel's kill
BY_OTHERS = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)

SPAWN = multiprocessing.get_context("spawn")
FORK_SERVER = multiprocessing.get_context("forkserver")  # forks from a process that has imported what is needed


@dataclass(frozen=True)
class Death:
    """How a process ended.

    Parameters
    ----------
    holder : under which name it claimed jobs
    by_others : whether somebody outside the node ended it
    out_of_memory : whether the kernel did, since the machine had no memory left
    """

    holder: str
    exit_code: int | None
    by_others: bool
    out_of_memory: bool = False


@dataclass
class Child:
    """A process that is kept alive.

    Parameters
    ----------
    restart_delays_s : after the first, second, ... death in a row
    silent_s : it is ended when it did not beat for so long; None: it does not beat
    context : how it comes into being
    on_death : called when its end is noted, before it is started again
    """

    name: str
    body: Callable[..., None]
    arguments: tuple[object, ...]
    restart_delays_s: Sequence[float]
    silent_s: float | None = None
    context: SpawnContext | ForkServerContext = SPAWN
    on_death: Callable[[], object] = lambda: None
    process: BaseProcess | None = None
    is_ready: bool = False
    refusal: str = ""  # why it said that it cannot start
    deaths: int = 0
    _ready: Connection | None = None
    _beat: ctypes.c_double | None = None
    _started_at: float = 0.0
    _due_at: float = 0.0
    _ended_by_us: bool = field(default=False)

    def start(self) -> None:
        """Start the process."""
        self._ready, theirs = SPAWN.Pipe(duplex=False)
        arguments: tuple[object, ...] = (*self.arguments, theirs)
        if self.silent_s is not None:
            self._beat = SPAWN.Value("d", 0.0, lock=False)
            arguments = (*self.arguments, self._beat, theirs)
        with _without_main():
            self.process = self._begin((self.body, *arguments))
        theirs.close()
        self.is_ready, self.refusal, self._ended_by_us = False, "", False
        self._started_at = time.monotonic()
        log.info("child.started", child=self.name, pid=self.process.pid)

    def _begin(self, arguments: tuple[object, ...]) -> BaseProcess:
        """The process, started; anew and slowly if the fork server cannot: it dies, or its socket was cleaned away."""
        if self.context is not SPAWN:
            process: BaseProcess = self.context.Process(target=run_unquoted, args=arguments, name=self.name)
            try:
                process.start()
            except (OSError, EOFError) as error:
                log.warning("child.not_forked", child=self.name, error=type(error).__name__)
            else:
                return process
        process = SPAWN.Process(target=run_unquoted, args=arguments, name=self.name)
        process.start()
        return process

    @property
    def holder(self) -> str:
        """The name under which the process claims jobs: each has its own."""
        return holder_name(self.name, self.process.pid if self.process else None)

    @property
    def sentinels(self) -> list[int | Connection]:
        """What becomes ready when there is something to see."""
        if self.process is None:
            return []
        waiting: list[int | Connection] = [self.process.sentinel]
        return waiting if self.is_ready or self._ready is None else [*waiting, self._ready]

    def look(self, now: float, oom_kill_at: float) -> Death | None:
        """Note whether it is ready, silent or dead, and start it if it is due.

        Parameters
        ----------
        oom_kill_at : when the kernel last killed a process for want of memory
        """
        self._hear()
        death = None
        if self.process is not None and not self.process.is_alive():
            death = self._bury(now, oom_kill_at)
        elif self.process is not None and self._is_silent(now):
            log.error("child.silent", child=self.name, pid=self.process.pid)
            self.kill()
        if self.process is None and now >= self._due_at:
            self.start()
        return death

    def kill(self) -> None:
        """End it at once; what it works on is then held to be the reason."""
        if self.process is not None:
            self._ended_by_us = True
            self.process.kill()

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

    def _hear(self) -> None:
        """Read whether it has started, or why it cannot."""
        if self.is_ready or self._ready is None or not self._ready.poll():
            return
        try:
            self.refusal = str(self._ready.recv())
        except (EOFError, OSError):  # it died
            self._ready = None
            return
        self.is_ready = not self.refusal

    def _is_silent(self, now: float) -> bool:
        if not self.is_ready:
            return now - self._started_at > START_S
        return self.silent_s is not None and self._beat is not None and now - self._beat.value > self.silent_s

    def _bury(self, now: float, oom_kill_at: float) -> Death:
        exit_code = self.process.exitcode if self.process else None
        killed = exit_code == -signal.SIGKILL and not self._ended_by_us
        out_of_memory = killed and now - oom_kill_at < OOM_BEFORE_DEATH_S
        by_others = exit_code in BY_OTHERS and not out_of_memory and not self._ended_by_us
        death = Death(self.holder, exit_code, by_others, out_of_memory)
        self.deaths = 1 if now - self._started_at > SETTLED_S else self.deaths + 1
        self._due_at = now + self.restart_delays_s[min(self.deaths, len(self.restart_delays_s)) - 1]
        self.process = None
        fields = {"by_others": by_others, "out_of_memory": out_of_memory}
        log.error("child.died", child=self.name, exit_code=exit_code, **fields)
        self.on_death()
        return death


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the command line from a process that is started: it would import all of it anew, and needs nothing of it."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def holder_name(name: str, pid: int | None) -> str:
    """Under which name the process of a worker claims jobs."""
    return f"{name}/{pid}"


class OutOfMemory:
    """When the kernel last killed a process for want of memory, as far as this was looked at."""

    def __init__(self, counters: Path = Path("/proc/vmstat")) -> None:
        self._counters = counters
        self._kills = self._count()
        self._at = float("-inf")

    def last_at(self, now: float) -> float:
        """When, by the clock that never steps; minus infinity: never."""
        kills = self._count()
        if kills != self._kills:
            self._kills, self._at = kills, now
        return self._at

    def _count(self) -> str:
        try:
            lines = self._counters.read_text().splitlines()
        except OSError:
            return ""
        return next((line for line in lines if line.startswith("oom_kill ")), "")
