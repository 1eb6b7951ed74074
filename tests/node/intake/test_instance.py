from collections.abc import Callable
from hashlib import sha256
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from survnode.node.contexts import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from survnode.node.intake.instance import Received

MakeReceived = Callable[..., Received]


def test_a_file_holds_the_data_set_as_it_came(make_received: MakeReceived) -> None:
    received = make_received()
    assert received.part10[:132] == bytes(128) + b"DICM"
    assert received.part10.endswith(received.encoded)
    ds = dcmread(BytesIO(received.part10))
    assert ds.file_meta.MediaStorageSOPInstanceUID == received.sop_instance_uid
    assert ds.file_meta.TransferSyntaxUID == received.transfer_syntax_uid
    assert ds.PatientID == "P1"
    assert received.file_header == _file_header_by_pydicom(received)
    assert received.sha256 == sha256(received.encoded).hexdigest()


def _file_header_by_pydicom(received: Received) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(received.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(received.sop_instance_uid)
    meta.TransferSyntaxUID = UID(received.transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    meta.SendingApplicationEntityTitle = received.calling_ae_title
    file = DicomBytesIO()
    file.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(file, meta, enforce_standard=True)
    return bytes(file.getvalue())
