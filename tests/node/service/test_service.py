"""The service with its real receiver, and a worker that takes as long to start as a test wants."""

import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from survnode.node.config import NodeConfig
from survnode.node.service import child_bodies
from survnode.node.service.service import Service

from ...integration.scu import associated

WAIT_S = 60.0

BODIES = """
import time

def load_until_told(config, device, name, beat, ready):
    while not (config.data_dir / "loaded").exists():
        time.sleep(0.02)
    beat.value = time.monotonic()
    ready.send("No weights.")
"""


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """What the worker does, in a module that its process finds."""
    folder = tmp_path_factory.mktemp("bodies")
    (folder / "bodies_of_workers.py").write_text(BODIES)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("bodies_of_workers")
    sys.path.remove(str(folder))


def test_the_service_may_import_what_its_receiver_may_not() -> None:
    code = "import survnode.node.service.service, sys; assert 'numpy' not in sys.modules; import numpy"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=WAIT_S)


def test_images_are_taken_while_the_model_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bodies: ModuleType
) -> None:
    monkeypatch.setattr(child_bodies, "worker", bodies.load_until_told)
    receiver, work = {"host": "127.0.0.1", "port": 0}, {"device": "cpu"}
    config = NodeConfig.model_validate({"data_dir": tmp_path / "data", "receiver": receiver, "work": work})
    service, statuses = Service(config, Path("absent.toml")), []

    def send() -> None:
        deadline = time.monotonic() + WAIT_S
        while not config.port_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        with associated(int(config.port_file.read_text())) as scu:
            statuses.append(scu.store())
            scu.release()

    def send_then_let_load() -> None:
        try:
            send()
        finally:
            (config.data_dir / "loaded").touch()

    sender = Thread(target=send_then_let_load)
    sender.start()
    with pytest.raises(Exception, match="No weights"):
        service.run()
    sender.join()
    assert statuses == [0]
    assert len(list(config.received_dir.rglob("*.dcm"))) == 1
    assert not config.port_file.exists()
