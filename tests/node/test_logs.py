import subprocess
import sys

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
