"""Answers reach who asked, however busy the machine is."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom.association import Association

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.contexts import CT_SOP_CLASSES, accepted_contexts
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import Outgoing, send
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver


@pytest.fixture
def peer() -> Iterator[Destination]:
    got: list[Received] = []
    receiver = Receiver(Listening("PEER"), accepted_contexts(), got.append)
    receiver.start()
    yield Destination("peer", "PEER", "127.0.0.1", receiver.port, dimse_timeout_s=2.0)
    receiver.stop()


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """pynetdicom's thread is late between its pause and its look into the queue: just until the answer lies there."""
    run = Association._run_reactor

    def run_late(assoc: Association) -> None:
        pause = assoc._reactor_checkpoint.wait

        def wait(timeout: float | None = None) -> bool:
            passed = pause(timeout)
            late_until = time.monotonic() + 0.1
            while assoc.dimse.msg_queue.empty() and time.monotonic() < late_until:
                pass
            return passed

        monkeypatch.setattr(assoc._reactor_checkpoint, "wait", wait)
        run(assoc)

    monkeypatch.setattr(Association, "_run_reactor", run_late)


@pytest.mark.usefixtures("busy")
def test_no_answer_is_lost_to_pynetdicom_s_own_thread(peer: Destination, tmp_path: Path) -> None:
    paths = write_dicom(make_phantom(1, shape=(10, 16, 16), spacing_mm=(3.0, 16.0, 16.0)), tmp_path)
    objects = [Outgoing(CT_SOP_CLASSES[0], f"1.2.3.{number}", path) for number, path in enumerate(paths)]
    assert [outcome.status for outcome in send(peer, objects)] == [0] * len(paths)
