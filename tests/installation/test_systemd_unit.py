import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "survnode.service"
COMMAND = "/opt/survnode/bin/survnode"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is on this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is absent")
    unit = tmp_path / UNIT.name
    content = UNIT.read_text()
    assert COMMAND in content
    unit.write_text(content.replace(COMMAND, sys.executable))
    return unit


def test_unit_has_no_fault_that_systemd_knows(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_unit_starts_the_service_again_whatever_ended_it_and_however_often() -> None:
    lines = UNIT.read_text().splitlines()
    assert {"Restart=always", "StartLimitIntervalSec=0", "KillMode=mixed"} <= set(lines)
