"""Real processes with small bodies."""

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from types import ModuleType

import pytest

from survnode.node.service import child_process as child_module
from survnode.node.service.child_process import FORK_SERVER, SPAWN, Child, Death, OutOfMemory

WAIT_S = 60.0
NEVER = float("-inf")


BODIES = """
import os, signal, time

def idle(ready):
    ready.send("")
    signal.pause()

def refuse(ready):
    ready.send("No weights.")

def tell_main(ready):
    import sys
    ready.send(getattr(sys.modules["__main__"], "WORDS", "nothing"))
    signal.pause()

def crash(ready):
    os.abort()

def beat_once(beat, ready):
    beat.value = time.monotonic()
    ready.send("")
    signal.pause()
"""


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """What the processes do, in a module that they find."""
    folder = tmp_path_factory.mktemp("bodies")
    (folder / "bodies_of_children.py").write_text(BODIES)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("bodies_of_children")
    sys.path.remove(str(folder))


@pytest.fixture
def made() -> Iterator[list[Child]]:
    children: list[Child] = []
    yield children
    for child in children:
        child.stop(0.0)


def look_until(child: Child, done: Callable[[], bool], oom_kill_at: float = NEVER) -> list[Death]:
    """The deaths that were seen until then."""
    deaths = []
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline
        death = child.look(time.monotonic(), oom_kill_at)
        if death is not None:
            deaths.append(death)
        if child.process is not None:
            child.process.join(0.01)
    return deaths


@pytest.mark.parametrize("context", [SPAWN, FORK_SERVER])
def test_a_child_that_dies_is_started_again_at_once_under_another_name(
    made: list[Child], bodies: ModuleType, context: SpawnContext | ForkServerContext
) -> None:
    names: list[str] = []
    child = Child("receiver", bodies.idle, (), (0.0, 0.0), context=context)
    child.on_death = lambda: names.append(child.holder)
    made.append(child)
    look_until(child, lambda: child.is_ready)
    first = child.holder
    assert child.process is not None
    os.kill(child.process.pid or 0, signal.SIGKILL)
    deaths = look_until(child, lambda: child.is_ready and child.holder != first)
    assert deaths == [Death(first, -signal.SIGKILL, by_others=True)]
    assert names == ["receiver/None"]  # noted before another was started


def test_a_child_starts_without_the_fork_server_whose_socket_was_cleaned_away(
    made: list[Child], bodies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forkserver.ensure_running()
    monkeypatch.setattr(forkserver._forkserver, "_forkserver_address", str(tmp_path / "gone"))
    child = Child("receiver", bodies.idle, (), (0.0,), context=FORK_SERVER)
    made.append(child)
    look_until(child, lambda: child.is_ready)
    assert child.process is not None
    assert Path(f"/proc/{child.process.pid}/stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid())


def test_a_crash_is_its_own_and_so_is_a_kill_for_want_of_memory(made: list[Child], bodies: ModuleType) -> None:
    child = Child("worker", bodies.crash, (), (1e9,))
    made.append(child)
    (death,) = look_until(child, lambda: child.deaths == 1)
    assert (death.exit_code, death.by_others) == (-signal.SIGABRT, False)
    hungry = Child("worker", bodies.idle, (), (1e9,))
    made.append(hungry)
    look_until(hungry, lambda: hungry.is_ready)
    assert hungry.process is not None
    os.kill(hungry.process.pid or 0, signal.SIGKILL)
    (death,) = look_until(hungry, lambda: hungry.deaths == 1, oom_kill_at=time.monotonic())
    assert (death.by_others, death.out_of_memory) == (False, True)


def test_a_child_imports_nothing_of_the_command_line(
    made: list[Child], bodies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "program.py").write_text('WORDS = "the command line"')
    program = ModuleType("__main__")
    program.__file__ = str(tmp_path / "program.py")
    monkeypatch.setitem(sys.modules, "__main__", program)
    child = Child("child", bodies.tell_main, (), (0.0,))
    made.append(child)
    look_until(child, lambda: bool(child.refusal))
    assert child.refusal == "nothing"
    assert sys.modules["__main__"] is program


def test_why_a_child_cannot_start_is_heard(made: list[Child], bodies: ModuleType) -> None:
    child = Child("worker", bodies.refuse, (), (1e9,))
    made.append(child)
    look_until(child, lambda: bool(child.refusal))
    assert child.refusal == "No weights."
    assert not child.is_ready


def test_a_child_that_does_not_beat_is_ended_and_that_is_its_own_fault(made: list[Child], bodies: ModuleType) -> None:
    child = Child("worker", bodies.beat_once, (), (1e9,), silent_s=0.1)
    made.append(child)
    child.start()
    assert child.process is not None
    (death,) = look_until(child, lambda: child.deaths == 1)
    assert (death.exit_code, death.by_others) == (-signal.SIGKILL, False)


def test_a_stopped_child_that_beats_no_more_is_ended(made: list[Child], bodies: ModuleType) -> None:
    child = Child("worker", bodies.beat_once, (), (1e9,), silent_s=3600.0)
    made.append(child)
    look_until(child, lambda: child.is_ready)
    assert child.process is not None
    os.kill(child.process.pid or 0, signal.SIGSTOP)
    assert child.look(time.monotonic() + 3601.0, NEVER) is None
    assert len(look_until(child, lambda: child.deaths == 1)) == 1


def test_a_child_that_does_not_come_to_its_start_is_ended(
    made: list[Child], bodies: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "START_S", 0.0)
    child = Child("worker", bodies.idle, (), (1e9,))
    made.append(child)
    look_until(child, lambda: child.deaths == 1)


def test_the_delay_of_a_restart_grows_to_its_last_and_no_further(made: list[Child], bodies: ModuleType) -> None:
    child = Child("receiver", bodies.idle, (), (0.0, 1.0))
    made.append(child)
    for expected in (0.0, 1.0, 1.0):
        child.start()
        assert child.process is not None
        child.process.kill()
        child.process.join()
        now = time.monotonic()
        child._bury(now, NEVER)
        assert child._due_at == now + expected


def test_a_kill_for_want_of_memory_is_seen_in_the_kernels_counters(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    counters.write_text("pgfault 7\noom_kill 3\n")
    memory = OutOfMemory(counters)
    assert memory.last_at(10.0) == NEVER
    counters.write_text("pgfault 9\noom_kill 4\n")
    assert memory.last_at(11.0) == 11.0
    assert memory.last_at(12.0) == 11.0
    counters.unlink()
    assert OutOfMemory(tmp_path / "absent").last_at(1.0) == NEVER
