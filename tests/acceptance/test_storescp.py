"""DCMTK's storescp as a destination that takes reports as Enhanced SR only."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage

from ..integration.nodes import RunningNode, dcmtk, numbers
from .conftest import values_of
from .peers import Folder


@pytest.fixture(scope="module")
def received(storescp: Folder, node: RunningNode, job: dict[str, Any], study_instance_uid: str) -> dict[str, Dataset]:
    """What it got of the study, by SOP Instance UID."""
    node.await_delivered(job["job"], "storescp")
    return {uid: ds for uid, ds in storescp.received().items() if study_instance_uid == ds.StudyInstanceUID}


def test_it_gets_the_report_in_the_class_that_it_takes(received: dict[str, Dataset], results: dict[str, Path]) -> None:
    (report,) = [ds for ds in received.values() if ds.Modality == "SR"]
    (original,) = [ds for path in results.values() if (ds := dcmread(path)).SOPClassUID == Comprehensive3DSRStorage]
    assert report.SOPClassUID == EnhancedSRStorage
    assert report.SOPInstanceUID != original.SOPInstanceUID
    assert report.SeriesInstanceUID != original.SeriesInstanceUID
    assert numbers(report) == numbers(original)


def test_it_gets_all_the_rest_unchanged(received: dict[str, Dataset], results: dict[str, Path]) -> None:
    others = {uid: ds for uid, ds in received.items() if ds.Modality != "SR"}
    assert len(others) == 7
    assert {uid: values_of(ds) for uid, ds in others.items()} == {
        uid: values_of(dcmread(results[uid])) for uid in others
    }


def test_dsrdump_reads_the_report(received: dict[str, Dataset], storescp: Folder) -> None:
    (uid,) = [uid for uid, ds in received.items() if ds.Modality == "SR"]
    (path,) = storescp.path.glob(f"*{uid}")
    done = subprocess.run([dcmtk("dsrdump"), str(path)], capture_output=True, text=True, check=True)
    assert "Oncology Measurement Report" in done.stdout
    assert [line for line in done.stderr.splitlines() if not line.startswith("W: The VR checker")] == []
