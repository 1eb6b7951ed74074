import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from survnode.node.config import NodeConfig, ReceiverConfig
from survnode.node.contexts import WATCHDOG_AE_TITLE, result_contexts
from survnode.node.delivery.destination import Destination
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.service.watchdog import MAX_UNANSWERED, ReceiverWatchdog, answers

SERVE = """
import sys
from survnode.node.contexts import result_contexts
from survnode.node.intake.receiver import Listening, Receiver
receiver = Receiver(Listening("SURVNODE", port=0), result_contexts(), lambda _: None)
receiver.start()
print("port", receiver.port, flush=True)
sys.stdin.read()
"""


def at(port: int, title: str = "SURVNODE", timeout_s: float = 10.0) -> Destination:
    return Destination("receiver", title, "127.0.0.1", port, WATCHDOG_AE_TITLE, timeout_s, timeout_s, timeout_s)


@pytest.fixture
def asked() -> list[bool]:
    """What the receiver answers, the last for ever."""
    return [True]


@pytest.fixture
def killed() -> list[str]:
    return []


@pytest.fixture
def watchdog(tmp_path: Path, asked: list[bool], killed: list[str]) -> ReceiverWatchdog:
    config = NodeConfig(data_dir=tmp_path, receiver=ReceiverConfig(host="127.0.0.1"))
    config.port_file.write_text("11112")
    watchdog = ReceiverWatchdog(config, lambda: killed.append("receiver"), lambda _: asked[-1])
    watchdog.watch()
    return watchdog


def test_a_receiver_that_hangs_is_ended(watchdog: ReceiverWatchdog, asked: list[bool], killed: list[str]) -> None:
    asked.append(False)
    for _ in range(MAX_UNANSWERED - 1):
        watchdog.watch()
    assert killed == []
    watchdog.watch()
    assert killed == ["receiver"]
    watchdog.watch()
    assert killed == ["receiver"]  # the next begins with a clean slate


def test_one_that_is_late_once_is_left_alone(watchdog: ReceiverWatchdog, asked: list[bool], killed: list[str]) -> None:
    for _ in range(3):
        asked.extend([False])
        watchdog.watch()
        asked.extend([True])
        watchdog.watch()
    assert killed == []


def test_one_that_does_not_listen_yet_is_left_to_who_starts_it(
    watchdog: ReceiverWatchdog, asked: list[bool], killed: list[str]
) -> None:
    asked.append(False)
    watchdog.config.port_file.unlink()
    for _ in range(5):
        watchdog.watch()
    assert killed == []


def test_a_receiver_that_says_no_is_alive() -> None:
    listening = Listening("SURVNODE", port=0, calling_ae_titles=("SCANNER",))
    receiver = Receiver(listening, result_contexts(), lambda _: None)
    receiver.start()
    port = receiver.port
    try:
        assert answers(at(port))
        assert answers(at(port, title="OTHER"))
    finally:
        receiver.stop(drain_s=1)
    assert not answers(at(port))


def test_a_receiver_that_was_stopped_does_not_answer() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            port = next(int(line.split()[1]) for line in process.stdout if line.startswith(b"port "))  # after its log
            assert answers(at(port))
            os.kill(process.pid, signal.SIGSTOP)
            assert not answers(at(port, timeout_s=1.0))
            os.kill(process.pid, signal.SIGCONT)
            assert answers(at(port))
        finally:
            process.kill()
