import multiprocessing
import os
import signal
from collections.abc import Iterator

import pytest

from survnode.node.errors import StartRefused
from survnode.node.service.lifetime import is_orphan, refuse_to_start, stop_on_signals


@pytest.fixture
def handlers() -> Iterator[None]:
    """The test's own process gets its signals back."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_sigterm_asks_to_stop_and_ctrl_c_is_left_to_the_parent() -> None:
    stop = stop_on_signals()
    os.kill(os.getpid(), signal.SIGINT)
    assert not stop.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(5)


def test_a_refusal_to_start_is_handed_to_who_started_it() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    refuse_to_start(theirs, StartRefused("The port is taken."))
    assert ours.poll(5)
    assert ours.recv() == "The port is taken."


def test_a_process_is_an_orphan_once_it_has_another_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    orphaned = is_orphan()
    assert not orphaned()
    monkeypatch.setattr("os.getppid", lambda: 1)
    assert orphaned()
