import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SAY = """
import sys, warnings
from pydicom import Dataset
from survnode.node.logs import configure_logging
import structlog

configure_logging("info")
ds = Dataset()
ds.PatientID = "IDENTITY" * 20
ds.StudyDate = "IDENTITY"
warnings.warn("IDENTITY")
structlog.get_logger().info("instance.stored", sop_instance_uid="1.2.3")
"""


def test_no_warning_quotes_a_value_on_standard_error_and_a_line_is_json() -> None:
    done = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True, check=True, timeout=60)
    assert "IDENTITY" not in done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith('{"sop_instance_uid": "1.2.3", "event": "instance.stored"')


LIBRARIES = """
import logging, threading, warnings
from survnode.node.logs import configure_logging, end_unquoted

configure_logging("debug")
end_unquoted()
warnings.warn("IDENTITY 1", UserWarning)
logging.getLogger("unheard.of").error("IDENTITY %s", "IDENTITY 2")
try:
    int("IDENTITY 3")
except ValueError:
    logging.getLogger("apscheduler.scheduler").exception("IDENTITY 4")
thread = threading.Thread(target=lambda: int("IDENTITY 5"))
thread.start()
thread.join()
raise KeyError("IDENTITY 6")
"""


def test_who_spoke_and_where_is_logged_and_what_was_said_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", LIBRARIES], capture_output=True, text=True, check=False, timeout=60)
    assert "IDENTITY" not in done.stdout + done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines()]
    told = [(event["event"], event.get("library"), event.get("category")) for event in events]
    assert told == [
        ("library.said", "py.warnings", "UserWarning"),
        ("library.said", "unheard.of", None),
        ("library.said", "apscheduler.scheduler", None),
        ("thread.failed", None, None),
        ("process.failed", None, None),
    ]
    assert [event["trace"].splitlines()[0] for event in events[2:]] == ["ValueError", "ValueError", "KeyError"]


CROWD = """
import sys
from survnode.node.logs import configure_logging
import structlog

configure_logging("info")
log = structlog.get_logger()
for number in range(2000):
    log.info("crowd", writer=sys.argv[1], number=number, trace="x" * (number % 3900))
"""


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_lines_of_several_processes_never_mix(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    ours, theirs = os.pipe() if kind == "pipe" else (None, os.open(path, os.O_WRONLY | os.O_CREAT))
    command = [sys.executable, "-c", CROWD]
    crowd = [subprocess.Popen([*command, str(number)], stderr=theirs) for number in range(3)]
    os.close(theirs)
    if ours is not None:
        with os.fdopen(ours, "rb") as pipe:
            path.write_bytes(pipe.read())
    assert [process.wait(120) for process in crowd] == [0, 0, 0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert Counter(line["writer"] for line in lines) == {"0": 2000, "1": 2000, "2": 2000}


def test_a_log_that_nobody_reads_ends_nothing() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    code = CROWD + "sys.exit(7)"
    done = subprocess.run([sys.executable, "-c", code, "0"], stderr=theirs, check=False, timeout=60)
    os.close(theirs)
    assert done.returncode == 7
