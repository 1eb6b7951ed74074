"""Work in processes: whatever becomes of them, it ends, and it says how."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.train.errors import WorkerLost
from survnode.train.workers import Report, compute, each

TASKS = [(number,) for number in range(5)]


def doubled(report: Report, number: int) -> tuple[int, int, int]:
    report(number)
    return 2 * number, os.getpid(), torch.get_num_threads()


def refusing(report: Report, number: int) -> None:
    del report
    if number == 3:
        raise SeriesUnsuitable(Reason.NO_LUNGS, "nowhere")


def killed(report: Report, number: int) -> None:
    del report
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)


def for_ever(folder: Path, number: int) -> None:
    (folder / f"{number}.pid").write_text(str(os.getpid()))
    time.sleep(600)


def wait_for(true: Callable[[], Any], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "timed out"
        time.sleep(0.02)


def pids(folder: Path) -> list[int]:
    return [int(text) for path in folder.glob("*.pid") if (text := path.read_text())]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_each_task_is_done_once_and_what_is_told_is_heard(workers: int) -> None:
    heard: list[int] = []
    found = list(each(doubled, TASKS, workers, heard.append))
    assert sorted(result for result, _, _ in found) == [0, 2, 4, 6, 8]
    assert sorted(heard) == [0, 1, 2, 3, 4]
    assert (os.getpid() in {pid for _, pid, _ in found}) == (workers == 1)
    if workers == 2:
        assert {threads for _, _, threads in found} == {1}


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_task_is_raised_as_it_was(workers: int) -> None:
    with pytest.raises(SeriesUnsuitable) as caught:
        list(each(refusing, TASKS, workers))
    assert (caught.value.reason, caught.value.detail) == (Reason.NO_LUNGS, "nowhere")


def test_killed_process_ends_the_work_with_its_signal() -> None:
    with pytest.raises(WorkerLost, match=r"SIGKILL.*goes on where it was"):
        list(each(killed, TASKS, 2))


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_no_process_outlives_the_one_that_asked(ended_by: signal.Signals, tmp_path: Path) -> None:
    code = (
        "import signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        "from test_workers import for_ever; from survnode.train.workers import compute\n"
        "if __name__ == '__main__': compute(for_ever, [(Path(sys.argv[2]), n) for n in range(2)], 2)"
    )
    program = tmp_path / "program.py"
    program.write_text(code)
    command: list[str | Path] = [sys.executable, program, Path(__file__).parent, tmp_path]
    asking = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(pids(tmp_path)) == 2)
    children = pids(tmp_path)
    asking.send_signal(ended_by)
    assert asking.wait(60) != 0
    wait_for(lambda: not any(map(is_alive, children)))


def test_nothing_to_do_starts_nothing() -> None:
    compute(for_ever, [], 2)
