"""A sender made of bytes alone: it keeps the rules of PS3.8 only as far as a test wants."""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

VERIFICATION = "1.2.840.10008.1.1"
CT, ECHO = 1, 3  # the presentation contexts that it proposes
C_STORE, C_ECHO, C_CANCEL = 0x0001, 0x0030, 0x0FFF
RELEASE_RQ = struct.pack(">BxLL", 5, 4, 0)
ABORT = struct.pack(">BxLxxBB", 7, 4, 0, 0)


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(body)) + body


def item(kind: int, *content: bytes) -> bytes:
    joined = b"".join(content)
    return struct.pack(">BxH", kind, len(joined)) + joined


def context(number: int, abstract_syntax: str, *transfer_syntaxes: str) -> bytes:
    syntaxes = (item(0x40, uid.encode()) for uid in transfer_syntaxes)
    return item(0x20, bytes([number, 0, 0, 0]), item(0x30, abstract_syntax.encode()), *syntaxes)


CONTEXTS = (
    context(CT, CTImageStorage, ExplicitVRLittleEndian),
    context(ECHO, VERIFICATION, "1.2.840.10008.1.2"),
)


def request(
    called: str = "SURVNODE",
    calling: str = "SENDER",
    contexts: Sequence[bytes] = CONTEXTS,
    user_items: Sequence[bytes] = (),
    application: str = "1.2.840.10008.3.1.1.1",
    max_pdu: int = 16384,
) -> bytes:
    """An A-ASSOCIATE-RQ."""
    user = item(0x50, item(0x51, struct.pack(">L", max_pdu)), item(0x52, b"1.2.3.4"), *user_items)
    fixed = struct.pack(">HH", 1, 0) + called.encode().ljust(16) + calling.encode().ljust(16) + bytes(32)
    return pdu(1, fixed + item(0x10, application.encode()) + b"".join(contexts) + user)


def value(context_id: int, content: bytes, *, command: bool, last: bool) -> bytes:
    """A presentation data value."""
    return struct.pack(">LBB", len(content) + 2, context_id, command | last << 1) + content


def p_data(*values: bytes) -> bytes:
    return pdu(4, b"".join(values))


def encoded(ds: Dataset, *, implicit: bool) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, implicit
    write_dataset(file, ds)
    return bytes(file.getvalue())


def command(field: int, message: int = 1, *, data_set: bool = False, **attributes: str) -> bytes:
    ds = Dataset()
    ds.CommandField, ds.MessageID, ds.CommandDataSetType = field, message, 1 if data_set else 0x0101
    for keyword, uid in attributes.items():
        setattr(ds, keyword, uid)
    content = encoded(ds, implicit=True)
    return struct.pack("<HHLL", 0, 0, 4, len(content)) + content


def store(uid: str, message: int = 1, *, sop_class: str = CTImageStorage, data_set: bool = True) -> bytes:
    """The command set of a C-STORE-RQ."""
    return command(C_STORE, message, data_set=data_set, AffectedSOPClassUID=sop_class, AffectedSOPInstanceUID=uid)


def ct(uid: str = "1.2.3.1.1", study: str = "1.2.3", size: int = 0, **attributes: object) -> bytes:
    """As much of a CT as the receiver looks at."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.PatientID = CTImageStorage, uid, "P1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
    ds.EncapsulatedDocument = bytes(size)
    for keyword, attribute in attributes.items():
        setattr(ds, keyword, attribute)
    return encoded(ds, implicit=False)


class Scu:
    """A connection to a receiver."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def send(self, *content: bytes) -> None:
        self.socket.sendall(b"".join(content))

    def read_pdu(self) -> tuple[int, bytes]:
        """Type and body of the next PDU; type 0 if the peer closed."""
        head = self._read(6)
        if len(head) < 6:
            return 0, b""
        return head[0], self._read(int.from_bytes(head[2:], "big"))

    def read_answer(self) -> Dataset:
        """The next command set, however it is cut."""
        kind, body = self.read_pdu()
        assert kind == 4, (kind, body)
        return self.read_answer_after(body)

    def read_answer_after(self, body: bytes) -> Dataset:
        """The command set of which the first PDU was read."""
        content, last = b"", False
        while not last:
            if not body:
                kind, body = self.read_pdu()
                assert kind == 4, (kind, body)
            while body:
                length, _, control = struct.unpack_from(">LBB", body)
                content, last, body = content + body[6 : 4 + length], bool(control & 2), body[4 + length :]
        return read_dataset(BytesIO(content), True, True)

    def status(self) -> int:
        return int(self.read_answer().Status)

    def store(self, uid: str = "1.2.3.1.1", content: bytes | None = None, *, message: int = 1) -> int:
        """Send an object in one PDU; the status."""
        self.send(p_data(value(CT, store(uid, message), command=True, last=True)))
        self.send(p_data(value(CT, ct(uid) if content is None else content, command=False, last=True)))
        return self.status()

    def release(self) -> None:
        self.send(RELEASE_RQ)
        assert self.read_pdu()[0] == 6

    def is_closed(self) -> bool:
        """Whether the other side closes, whatever it says before; within the socket's time-out."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def _read(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            try:
                more = self.socket.recv(count - len(content))
            except ConnectionResetError:
                return content
            if not more:
                return content
            content += more
        return content


@contextmanager
def connected(port: int, timeout_s: float = 20.0, source: str = "127.0.0.1") -> Iterator[Scu]:
    address = ("127.0.0.1", port)
    with socket.create_connection(address, timeout=timeout_s, source_address=(source, 0)) as connection:
        yield Scu(connection)


@contextmanager
def associated(port: int, asked: bytes | None = None, timeout_s: float = 20.0) -> Iterator[Scu]:
    """A connection whose association was accepted."""
    with connected(port, timeout_s) as scu:
        scu.send(request() if asked is None else asked)
        kind, _ = scu.read_pdu()
        assert kind == 2, kind
        yield scu
