"""A running node whose source hangs or whose asking process is killed: no study is lost, none waits for long."""

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from survnode.model.phantom.phantom import make_phantom, write_dicom

from .nodes import RunningNode, until


class SilentArchive:
    """It takes every connection and says nothing."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.called = threading.Event()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                self._connections.append(self._listening.accept()[0])
                self.called.set()
        except OSError:
            pass

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        for connection in (self._listening, *self._connections):
            connection.close()


@pytest.fixture
def archive() -> Iterator[SilentArchive]:
    archive = SilentArchive()
    yield archive
    archive.close()


def test_a_source_that_hangs_for_ever_keeps_no_study_from_its_end_nor_the_node_from_its(
    tmp_path: Path, archive: SilentArchive
) -> None:
    node = RunningNode(tmp_path, {}, quiet_period_s=2.0)
    source = f'[[sources]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {archive.port}\n'
    node.config.write_text(node.config.read_text() + source + "reconcile = true\ntimeout_s = 3600\n")
    paths = write_dicom(make_phantom(31, shape=(80, 128, 128), spacing_mm=(4.0, 3.2, 3.2)), tmp_path / "ct")
    uid = str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)
    node.start()
    try:
        assert set(node.send(paths)) == {0}
        assert archive.called.wait(60)
        (querier,) = re.findall(r'"child": "querier", "pid": (\d+)', node.log.read_text())
        job = node.await_job(uid)
        assert node.prediction(job["job"])["completeness"] == {
            "state": "UNANSWERED", "received": 80, "expected": None, "others_lacking": 0,
        }  # fmt: skip
        os.kill(int(querier), signal.SIGKILL)
        until(
            "another process that asks",
            lambda: len(re.findall(r'"child": "querier", "pid": (\d+)', node.log.read_text())) > 1 or None,
        )
        assert len(node.jobs_of(uid)) == 1
    finally:
        code = node.stop()
    assert code == 0
    assert '"event": "child.killed"' not in node.log.read_text()
