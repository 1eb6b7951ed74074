"""The receiving process as the service starts it."""

import multiprocessing
import pickle
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from survnode.node.config import NodeConfig
from survnode.node.service import light_receiver

from ...integration.scu import associated

START_S = 60.0
MAX_MB = 150

IMPORT = """
import sys
from survnode.node.service.light_receiver import HEAVY, import_nothing_heavy
import_nothing_heavy()
import survnode.node.service.receiving
print([name for name in HEAVY if sys.modules.get(name)])
"""


def test_what_the_receiver_imports_is_not_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, timeout=START_S)
    assert done.stdout.strip() == "[]"


def test_the_receiving_process_loads_no_numerical_package_and_stays_small(tmp_path: Path) -> None:
    config = NodeConfig.model_validate({"data_dir": tmp_path, "receiver": {"host": "127.0.0.1", "port": 0}})
    config.received_dir.mkdir()
    spawn = multiprocessing.get_context("spawn")
    ready, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=light_receiver.receive, args=(pickle.dumps(config), Path("absent.toml"), theirs))
    process.start()
    try:
        assert ready.poll(START_S)
        assert ready.recv() == ""
        with associated(int(config.port_file.read_text())) as scu:
            assert scu.store() == 0
            scu.release()
        loaded = Path(f"/proc/{process.pid}/maps").read_text()
        assert not re.search(r"/(numpy|scipy|SimpleITK|PIL|torch)/", loaded)
        peak_kb = int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[0])
        assert peak_kb < MAX_MB * 1024
        stored = list(config.received_dir.rglob("*.dcm"))
        assert [stat.S_IMODE(path.stat().st_mode) for path in stored] == [0o600]
        folders = [path for path in config.received_dir.rglob("*") if path.is_dir()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    finally:
        process.terminate()
        process.join(START_S)
    assert process.exitcode == 0


@pytest.mark.parametrize("heavy", light_receiver.HEAVY)
def test_a_heavy_import_by_oversight_is_told_at_once(heavy: str) -> None:
    code = f"from survnode.node.service import light_receiver; light_receiver.import_nothing_heavy(); import {heavy}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=START_S)
    assert f"import of {heavy} halted" in done.stderr
