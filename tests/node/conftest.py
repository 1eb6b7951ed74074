"""A small CT and a database, made anew for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from survnode.node.database import Database
from survnode.node.intake.received import Received

MakeCT = Callable[..., Dataset]
MakeReceived = Callable[..., Received]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "node.sqlite")
    yield database
    database.close()


@pytest.fixture
def make_ct() -> MakeCT:
    """One axial CT slice; ``number`` gives it its place and its SOP Instance UID."""

    def make(number: int = 1, *, study: str = "1.2.3", series: str = "1.2.3.1", **attributes: object) -> Dataset:
        ds = Dataset()
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.SOPClassUID = CTImageStorage
        ds.SOPInstanceUID = f"{series}.{number}"
        ds.Modality = "CT"
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
