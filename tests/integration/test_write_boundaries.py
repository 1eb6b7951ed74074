"""A receiver that ends, or whose disk fails, at each single step with which an image is brought to disk.

Then another one starts in the same folder. The steps are the calls of the operating system that Python makes; those of
SQLite are its own, and its promise (synchronous=FULL) is tested by those who write it.
"""

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .scu import ct

SCRIPT = """
import json, os, sys, threading
from itertools import count
from pathlib import Path
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from survnode.node.errors import StorageFailed
from survnode.node.intake.adoption import adopt_files
from survnode.node.intake.instance import Received
from survnode.node.intake.store import Store
from survnode.node.state.database import Database
from survnode.node.state.files import is_as_received
from survnode.node.state.image_rows import images_of_study

STEPS = ("open", "write", "writev", "fsync", "replace", "rename", "link", "mkdir", "unlink", "ftruncate")
root, encoded = Path(sys.argv[1]), bytes.fromhex(sys.argv[2])
fault = int(sys.argv[3])  # an error number; 0: the process ends
image = Received(CTImageStorage, "1.2.3.1.1", ExplicitVRLittleEndian, "SENDER", encoded=encoded)

failed = []

def fail_at(number):
    steps = count()
    def counted(name, act):
        def step(*arguments, **options):
            if next(steps) == number:
                failed.append(name)
                if not fault:
                    os._exit(9)
                raise OSError(fault, "the disk fails")
            return act(*arguments, **options)
        setattr(os, name, step)
    for name in STEPS:
        counted(name, getattr(os, name))

def receive(folder, number):
    folder.mkdir(parents=True)
    store = Store(folder / "store", Database(folder / "node.sqlite"), quiet_period_s=0.0)
    fail_at(number)
    try:
        store.add(image)
    except StorageFailed:
        os._exit(7)

    (folder / "acknowledged").write_text("yes")
    os._exit(5 if failed else 0)

def find(folder):
    database = Database(folder / "node.sqlite")
    store = Store(folder / "store", database, quiet_period_s=0.0)
    store.sweep()
    adopt_files(store, threading.Event())
    def stored():
        with database.reading() as connection:
            rows = images_of_study(connection, "1.2.3")
        return len(rows), all(is_as_received(store.folder / it.path, it.sha256) for it in rows)
    before = stored()
    outcome = str(store.add(image))
    return {"acknowledged": (folder / "acknowledged").exists(), "before": before, "outcome": outcome,
            "after": stored(), "partial": len(list((store.folder / "incoming").iterdir()))}

for number in count():
    folder = root / str(number)
    pid = os.fork()
    if pid == 0:
        receive(folder, number)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps({"code": code, **find(folder)}), flush=True)
    if code == 0:
        break
"""


def outcomes(folder: Path, fault: int) -> list[dict[str, Any]]:
    """What another receiver found after a fault at the first, second, ... step; the last one met no fault."""
    command = [sys.executable, "-c", SCRIPT, str(folder), ct(size=100).hex(), str(fault)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(found) > 5  # opened, written, synced, moved, its folders made and synced
    assert found[-1]["code"] == 0
    for it in found:
        assert it["before"] == [1, True] if it["acknowledged"] else it["before"][1]
        assert it["outcome"] == ("DUPLICATE" if it["before"][0] else "NEW")
        assert (it["after"], it["partial"]) == ([1, True], 0)
    return found


def test_receiver_that_ends_at_any_step_of_storing_has_the_image_whole_or_not_at_all(tmp_path: Path) -> None:
    found = outcomes(tmp_path, 0)
    assert {it["code"] for it in found[:-1]} == {9}


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_disk_that_fails_at_any_step_of_storing_is_never_told_as_success(tmp_path: Path, fault: int) -> None:
    found = outcomes(tmp_path, fault)
    refused, taken_all_the_same = 7, 5  # the latter where a step was not needed, as the removal of a name that has gone
    assert {it["code"] for it in found[:-1]} <= {refused, taken_all_the_same}
    assert refused in {it["code"] for it in found}
