"""Work on many patients or folds in processes of one thread each."""

import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, TypeVar, TypeVarTuple

import SimpleITK as sitk
import torch
from threadpoolctl import threadpool_limits

from survnode.train.errors import WorkerLost

Result = TypeVar("Result")
Task = TypeVarTuple("Task")
Report = Callable[[Any], None]


class _Kind(Enum):
    REPORT = auto()  # while at work
    DONE = auto()  # with the result
    FAILED = auto()  # with the error


def compute(
    work: Callable[[*Task], None], tasks: Sequence[tuple[*Task]], workers: int, done: Callable[[], None] = lambda: None
) -> None:
    """Call ``work`` with each task, in ``workers`` processes if there are several; ``done`` after each.

    Raises
    ------
    WorkerLost
    """
    with one_thread_here():
        for _ in each(_without_reports, [(work, task) for task in tasks], workers):
            done()


def each(
    work: Callable[[Report, *Task], Result],
    tasks: Sequence[tuple[*Task]],
    workers: int,
    listener: Report = lambda _: None,
) -> Iterator[Result]:
    """What ``work`` makes of each task, in the order in which they are finished.

    The processes end when all is done, when one fails, when this generator is closed, and when this process is killed.
    An interruption from the keyboard is this process's alone.

    Parameters
    ----------
    work : gets a function to report by, and the task; a function of a module
    workers : processes; with 1, or one task, everything is done in this one
    listener : called in this process with what ``work`` reports

    Raises
    ------
    WorkerLost
        A process was killed from outside.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        for task in tasks:
            yield work(listener, *task)
        return
    waiting = list(reversed(tasks))
    with ExitStack() as stack:
        at_work = [stack.enter_context(_worker()) for _ in range(workers)]
        for worker in at_work:
            worker.give(work, waiting.pop())
        while at_work:
            worker = _first_to_speak(at_work)
            kind, content = worker.receive()
            if kind is _Kind.REPORT:
                listener(content)
                continue
            if kind is _Kind.FAILED:
                raise content
            if waiting:
                worker.give(work, waiting.pop())
            else:
                at_work.remove(worker)
            yield content


def one_thread() -> None:
    """Two processes of one thread are twice as fast as one of two: most stages use one anyway."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    threadpool_limits(1, "blas")


@contextmanager
def one_thread_here() -> Iterator[None]:
    """As `one_thread` for a while: the last digits of a sum depend on the number of threads."""
    threads, of_itk = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    with threadpool_limits(1, "blas"):
        one_thread()
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(of_itk)


def _without_reports(report: Report, work: Callable[..., None], task: Sequence[object]) -> None:
    del report
    work(*task)


@dataclass(frozen=True, eq=False)
class _Worker:
    """A process that serves, and the line to it."""

    process: BaseProcess
    line: Connection

    def give(self, work: Callable[..., object], task: Sequence[object]) -> None:
        """A task to do."""
        with self._lost():
            self.line.send((work, task))

    def receive(self) -> tuple[_Kind, Any]:
        """What it says next."""
        with self._lost():
            kind, content = self.line.recv()
        return kind, content

    @contextmanager
    def _lost(self) -> Iterator[None]:
        """Say what became of the process when its line breaks."""
        try:
            yield
        except (EOFError, ConnectionError) as error:
            self.process.join()
            raise WorkerLost(self.process.exitcode) from error


@contextmanager
def _worker() -> Iterator[_Worker]:
    """A new process; it is ended with the block."""
    # Spawned, not forked: torch and ITK hold threads that a fork would leave in a deadlock.
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    # The process inherits the mask: Ctrl-C at a terminal reaches every process of the group.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    theirs.close()
    try:
        yield _Worker(process, ours)
    finally:
        process.terminate()
        process.join()
        ours.close()


def _first_to_speak(workers: Sequence[_Worker]) -> _Worker:
    ready = wait([worker.line for worker in workers])
    return next(worker for worker in workers if worker.line in ready)


def _serve(line: Connection) -> None:
    """Work until the other end is closed, or its process is gone."""
    Thread(target=_end_with_parent, daemon=True).start()
    one_thread()
    with suppress(EOFError, OSError):
        while True:
            work, task = line.recv()
            line.send(_answer(work, task, line))


def _end_with_parent() -> None:
    """Nobody would take the result: end at once, also in the middle of a task. Files are there whole or not at all."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _answer(work: Callable[..., Result], task: Sequence[object], line: Connection) -> tuple[_Kind, Result | Exception]:
    try:
        return _Kind.DONE, work(lambda content: line.send((_Kind.REPORT, content)), *task)
    except Exception as error:  # noqa: BLE001  the edge of a process: the one that asked decides
        error.add_note(traceback.format_exc())  # the error itself travels without its traceback
        return _Kind.FAILED, error
