"""The node and training choose the same series of the same DICOM files, and say the same of the others."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import select

from survnode.model.ct.verdict import SeriesVerdict
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.instance import Received
from survnode.node.intake.store import Store
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Job
from survnode.node.state.tables import jobs
from survnode.train.cohorts.clinical import Columns, Reading
from survnode.train.cohorts.cohort import DicomPatient
from survnode.train.cohorts.description import TableDescription
from survnode.train.cohorts.table import read_table

from ..node.conftest import encoded
from ..train.trees import positions, write_series, write_table

Series = tuple[Sequence[float], int]  # where its slices lie, and its number
PATIENT = "A"
GAP = [*positions(3, 70), 400.0]


def tree(folder: Path, series: Sequence[Series]) -> Path:
    for uid, (z_mm, number) in enumerate(series, start=1):
        write_series(folder / "tree", PATIENT, str(uid), z_mm=z_mm, number=number)
    return folder / "tree"


def chosen_by_node(folder: Path, spacing_mm: float) -> Job:
    database = Database(folder.parent / "node.sqlite")
    store = Store(folder.parent / "store", database, quiet_period_s=1.0, clock=lambda: 0.0)
    for path in folder.iterdir():
        store.add(received(path))
    Assembly(database, store.folder, "2.25.1", spacing_mm).assemble_due(1.0)
    with database.reading() as connection:
        (job,) = fetch(connection, Job, select(jobs))
    database.close()
    return job


def received(path: Path) -> Received:
    ds = dcmread(path)
    return Received(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid=ds.file_meta.TransferSyntaxUID,
        calling_ae_title="SENDER",
        encoded=encoded(ds),
    )


def chosen_by_training(folder: Path, spacing_mm: float) -> DicomPatient:
    table = write_table(folder.parent / "table.csv", ["id,time,event", f"{PATIENT},1,1"])
    columns = Columns(patient_id="id", time="time", event="event")
    described = TableDescription(name="mine", data=folder, clinical=table, columns=columns)
    (patient,) = read_table(described, folder.parent / "index", Reading(spacing_mm=spacing_mm)).patients
    assert isinstance(patient, DicomPatient)
    return patient


def told_by_node(verdicts: Sequence[SeriesVerdict]) -> dict[str, str]:
    return {verdict.series_instance_uid: verdict.sentence for verdict in verdicts if not verdict.chosen}


@pytest.mark.parametrize(
    ("series", "spacing_mm", "expected"),
    [
        ([(positions(3, 60), 4), (positions(3, 64), 5), (positions(5, 60), 1)], 3.0, "1.2.3.2"),
        ([(positions(3, 60), 4), (positions(3, 60), 2)], 3.0, "1.2.3.2"),
        ([(positions(2, 80), 1), (positions(5, 35), 2)], 1.0, "1.2.3.1"),
        ([(positions(2, 80), 1), (positions(5, 35), 2)], 5.0, "1.2.3.2"),
        ([(GAP, 1), ([0.0] * 30, 1), (positions(3, 9), 1), (positions(3, 30), 1)], 3.0, "1.2.3.4"),
        ([(positions(2.99994, 50), 1), (positions(5, 60), 2)], 3.0, "1.2.3.1"),  # 149.997 mm, rounded
        ([(positions(2.98, 50), 1), (positions(5, 60), 2)], 3.0, "1.2.3.2"),  # 149 mm: a part of a chest
    ],
)  # fmt: skip
def test_node_and_training_choose_the_same_series(
    tmp_path: Path, series: Sequence[Series], spacing_mm: float, expected: str
) -> None:
    folder = tree(tmp_path, series)
    job, patient = chosen_by_node(folder, spacing_mm), chosen_by_training(folder, spacing_mm)
    assert (job.series_instance_uid, patient.series_instance_uid) == (expected, expected)
    assert told_by_node(job.verdicts) == dict(patient.passed_over)
