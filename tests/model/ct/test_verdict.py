import subprocess
import sys

from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.errors import Reason


def test_a_verdict_says_why_a_series_is_not_the_one() -> None:
    assert SeriesVerdict("1", 60, chosen=True, reason=None).sentence == ""
    assert SeriesVerdict("1", 60, chosen=False, reason=None, detail="Another has more.").sentence == "Another has more."
    refused = SeriesVerdict("1", 2, chosen=False, reason=Reason.TOO_FEW_SLICES, detail="Found 2.")
    assert refused.sentence == "There are too few slices. Found 2."


def test_records_of_verdicts_load_nothing_that_reads_images() -> None:
    program = "import sys, survnode.node.state.records; assert not {'SimpleITK', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
