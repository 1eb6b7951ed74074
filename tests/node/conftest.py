"""A small CT and a database, made anew for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sqlalchemy import insert
from sqlalchemy.dialects import sqlite

from survnode.model.ct import arrangement
from survnode.node.intake.instance import Received
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, row_of
from survnode.node.state.records import Job, JobState, PlannedDelivery, StoredObject, Study, StudyState
from survnode.node.state.tables import jobs, studies
from survnode.node.work import jobs as queue

MakeCT = Callable[..., Dataset]
MakeReceived = Callable[..., Received]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "node.sqlite")
    yield database
    database.close()


@pytest.fixture
def three_slices_are_enough() -> Iterator[None]:
    """For what does not depend on how many slices a chest has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrangement, "MIN_SLICES", 3)
        yield


@pytest.fixture
def make_ct() -> MakeCT:
    """One axial CT slice; ``number`` gives it its place and its SOP Instance UID."""

    def make(number: int = 1, *, study: str = "1.2.3", series: str = "1.2.3.1", **attributes: object) -> Dataset:
        ds = Dataset()
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.SOPClassUID = CTImageStorage
        ds.SOPInstanceUID = f"{series}.{number}"
        ds.Modality = "CT"
        ds.BodyPartExamined = "CHEST"
        ds.Manufacturer = "phantom"
        ds.PatientID = "P1"
        ds.StudyInstanceUID = study
        ds.SeriesInstanceUID = series
        ds.SeriesNumber = 1
        ds.InstanceNumber = number
        ds.FrameOfReferenceUID = f"{study}.9"
        ds.ImagePositionPatient = [-100.0, -100.0, 3.0 * number]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing = [1.0, 1.0]
        ds.SamplesPerPixel = 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.Rows, ds.Columns = 4, 4
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = bytes([number % 256]) * 32
        for keyword, value in attributes.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        return ds

    return make


@pytest.fixture
def make_received(make_ct: MakeCT) -> MakeReceived:
    """The C-STORE of such a slice."""

    def make(
        number: int = 1,
        *,
        ds: Dataset | None = None,
        transfer_syntax: str = ExplicitVRLittleEndian,
        command_uid: str | None = None,
        **attributes: object,
    ) -> Received:
        ds = make_ct(number, **attributes) if ds is None else ds
        return Received(
            sop_class_uid=CTImageStorage,
            sop_instance_uid=str(ds.get("SOPInstanceUID", "")) if command_uid is None else command_uid,
            transfer_syntax_uid=transfer_syntax,
            calling_ae_title="SENDER",
            encoded=encoded(ds),
        )

    return make


def encoded(ds: Dataset) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, ds)
    return bytes(file.getvalue())


@pytest.fixture
def add_job(database: Database) -> Callable[..., int]:
    """Puts a study and a job of it into the queue, as assembly does; the job's id."""

    def add(study: str = "1.2.3", version: int = 1, **values: object) -> int:
        record = Study(study, "P1", False, 0.0, 0.0, None, 1, StudyState.ASSEMBLED)
        row = {
            "study_instance_uid": study,
            "series_instance_uid": f"{study}.1",
            "sop_instance_uids": (f"{study}.1.1",),
            "input_digest": f"digest {version}",
            "device_uid": "2.25.1",
            "version": version,
            "verdicts": (),
            "state": JobState.QUEUED,
            "created_at": 0.0,
            "due_at": 0.0,
        }
        with database.transaction() as connection:
            connection.execute(sqlite.insert(studies).values(row_of(record)).on_conflict_do_nothing())
            return int(connection.execute(insert(jobs).values(row | values).returning(jobs.c.id)).scalar_one())

    return add


def objects_of(job: int) -> list[StoredObject]:
    """What a pipeline makes, not in the order in which it is sent."""
    sr, kos, sc = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.5.1.4.1.1.7"
    return [
        StoredObject(ResultRole.CURVE, 0, sc, f"9.{job}.5", f"9.{job}.50", f"{job}/curve.dcm"),
        StoredObject(ResultRole.CAPTURE, 2, sc, f"9.{job}.3", f"9.{job}.30", f"{job}/capture-2.dcm"),
        StoredObject(ResultRole.CAPTURE, 1, sc, f"9.{job}.2", f"9.{job}.30", f"{job}/capture-1.dcm"),
        StoredObject(ResultRole.KEY_OBJECTS, 0, kos, f"9.{job}.4", f"9.{job}.40", f"{job}/key-objects.dcm"),
        StoredObject(ResultRole.REPORT, 0, sr, f"9.{job}.1", f"9.{job}.10", f"{job}/report.dcm"),
    ]


@pytest.fixture
def finish_job(database: Database, add_job: Callable[..., int]) -> Callable[..., Job]:
    """Puts a job through the queue that made five objects for each of the destinations."""

    def finish(study: str = "1.2.3", *destinations: str, version: int = 1, now: float = 10.0) -> Job:
        add_job(study, version)
        job = queue.claim(database, "worker", now=now, lease_s=60)
        assert job is not None
        made = objects_of(job.id)
        planned = [PlannedDelivery(item.sop_instance_uid, name) for name in destinations for item in made]
        queue.finish(database, job, made, planned, now=now)
        return queue.get(database, job.id)

    return finish
