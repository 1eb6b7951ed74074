import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from survnode.node import errors
from survnode.node.results.envelope import ResultObject
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database
from survnode.node.state.records import Job
from survnode.node.work import jobs, result_files
from survnode.node.work.pipeline import AnalysisOutcome
from survnode.node.work.result_files import write_results


@pytest.fixture
def job(database: Database, add_job: Callable[..., int]) -> Job:
    return jobs.get(database, add_job())


def capture(rank: int) -> ResultObject:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = SecondaryCaptureImageStorage, f"2.25.{rank}", "2.25.100"
    return ResultObject(ResultRole.CAPTURE, ds, rank)


OUTCOME = AnalysisOutcome((capture(1), capture(2)), {"analysed": True})


def test_each_object_lies_where_its_row_says_and_the_summary_beside_them(job: Job, tmp_path: Path) -> None:
    rows = write_results(tmp_path, job, OUTCOME)
    assert [(row.role, row.rank, row.series_instance_uid) for row in rows] == [
        (ResultRole.CAPTURE, rank, "2.25.100") for rank in (1, 2)
    ]
    assert [dcmread(tmp_path / row.path).SOPInstanceUID for row in rows] == ["2.25.1", "2.25.2"]
    assert json.loads((tmp_path / "00000001" / "prediction.json").read_text()) == {"analysed": True}


def test_a_second_run_writes_the_same_files(job: Job, tmp_path: Path) -> None:
    files = []
    for _ in range(2):
        rows = write_results(tmp_path, job, OUTCOME)
        files.append({path: path.read_bytes() for path in (tmp_path / "00000001").rglob("*") if path.is_file()})
    assert files[0] == files[1]
    assert len(files[0]) == len(rows) + 1


def test_what_the_disk_does_not_take_is_the_nodes_fault(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(result_files, "replace_durably", full)
    with pytest.raises(errors.StorageFull):
        write_results(tmp_path, job, OUTCOME)
