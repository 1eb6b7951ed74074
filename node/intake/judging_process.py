"""Studies are judged in a process of their own: what a sender wrote can end it, but never the node.

::

    Assembly (service)  --Evidence-->  this process: headers, rules  --Verdict-->  Assembly, which writes it down

Its memory and the time for a study are limited, and it is started again when it has died. It holds nothing and writes
nothing: it ends when its pipe is closed, at the latest after the study that it reads.
"""

import multiprocessing
import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import structlog

from survnode.node import errors
from survnode.node.intake.evidence import Evidence, Judge, Verdict
from survnode.node.logs import configure_logging

log = structlog.get_logger()

START_S = 180.0  # it imports NumPy and SimpleITK, beside workers that load torch
STOPPING = "The node is stopping."
OUT_OF_MEMORY = 77  # its exit code; any that Python itself does not use

_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class JudgingLimits:
    """What judging one study may take.

    The defaults are some fifty times what CT needs: a header takes 1-2 ms and, as a data set, 50-100 kB.

    Parameters
    ----------
    memory_bytes : beyond what the process takes when it has started
    seconds, seconds_an_image : from the question to the answer
    """

    memory_bytes: int = 1 << 30
    seconds: float = 60.0
    seconds_an_image: float = 0.1


@dataclass(frozen=True)
class _Failure:
    """An exception without its message, which may quote what a header says."""

    kind: str
    trace: str


class JudgingProcess:
    """Has ``judge`` work in a process of its own; for one thread, but for `close`."""

    def __init__(self, judge: Judge, log_level: str = "info", limits: JudgingLimits | None = None) -> None:
        self._judge, self._log_level, self._limits = judge, log_level, limits or JudgingLimits()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._closed = False

    def judge(self, evidence: Evidence) -> Verdict:
        """What comes of a study.

        Raises
        ------
        JudgingDied
            The process died over it, or was ended since it took too long.
        JudgingFailed
            It raised what nobody expected.
        StartRefused
            The process did not start, or was closed.
        """
        connection = self._connection or self._start()
        limit_s = self._limits.seconds + self._limits.seconds_an_image * len(evidence.instances)
        try:
            connection.send(evidence)
            answer = connection.recv() if connection.poll(limit_s) else None
        except (EOFError, OSError) as error:
            death = self._end()
            raise errors.StartRefused(STOPPING) if self._closed else errors.JudgingDied(death) from error
        if answer is None:
            self._end()
            raise errors.JudgingDied(f"it took more than {limit_s:.0f} s")
        if isinstance(answer, _Failure):
            raise errors.JudgingFailed(answer.kind, answer.trace)
        assert isinstance(answer, Verdict)  # noqa: S101  the pipe is our own
        return answer

    def close(self) -> None:
        """End the process, whatever it does, for good."""
        self._closed = True
        process = self._process
        if process is not None:
            with suppress(ValueError):  # it was forgotten meanwhile
                process.kill()

    def _start(self) -> Connection:
        if self._closed:
            raise errors.StartRefused(STOPPING)
        ours, theirs = _spawn.Pipe()
        body = (self._judge, self._log_level, self._limits.memory_bytes, theirs)
        self._process = _spawn.Process(target=_work, args=body, name="judge", daemon=True)
        self._process.start()
        theirs.close()
        try:
            started = ours.poll(START_S) and ours.recv()
        except EOFError:
            started = False
        if not started:
            ours.close()
            raise errors.StartRefused(f"The process that judges studies did not start: {self._end()}.")
        log.info("child.started", child="judge", pid=self._process.pid)
        self._connection = ours
        return ours

    def _end(self) -> str:
        """End the process and forget it; what it died of, if it had died."""
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is None:
            return "it had not started"
        process.join(1.0)  # it closed its pipe, or is about to be killed
        process.kill()
        process.join()
        code = process.exitcode or 0
        process.close()
        if code == OUT_OF_MEMORY:
            return f"it took more than {self._limits.memory_bytes >> 20} MiB of memory"
        return f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}"


def _work(judge: Judge, log_level: str, memory_bytes: int, connection: Connection) -> None:
    """The body of the process: answer until the pipe is closed."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # sent to all of the node's processes: this one ends with the service
    configure_logging(log_level)
    _limit_memory(memory_bytes)
    connection.send(True)
    while True:
        try:
            evidence = connection.recv()
        except EOFError:
            return
        try:
            answer: Verdict | _Failure = judge.judge(evidence)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001  the edge of a study: the next one must be judged
            answer = _Failure(type(error).__name__, errors.trace_of(error))
        connection.send(answer)


def _limit_memory(more_bytes: int) -> None:
    """Let this process take so much address space more than it has: libraries reserve a lot of it at import."""
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere than on Linux such a limit is not kept anyway
        taken = int(statm.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = taken + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
