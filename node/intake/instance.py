"""One instance as it came over the network."""

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path

from survnode.node import errors
from survnode.node.contexts import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from survnode.node.intake.header_elements import DataSetBytes

START_BYTES = 16 * 1024  # of a data set, kept in memory: what stands before the series is 1 to 4 KiB

# PS3.5 9.1 forbids leading zeros. They are refused in what names the instance itself, which results will refer to; in
# UIDs of studies and series scanners have written them for decades (a time of day as a component), the PACS has the
# study under that name, and to refuse it would only keep the patient from being analysed.
_STRICT_UID = re.compile(rb"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_UID = re.compile(rb"[0-9]+(\.[0-9]+)*")
_UID_MAX_LENGTH = 64


@dataclass(frozen=True)
class StoreRequest:
    """A C-STORE request without its data set.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : of the command
    transfer_syntax_uid : of the presentation context
    called_ae_title : of the association
    peer : its address
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str = field(default="", kw_only=True)
    peer: str = field(default="", kw_only=True, compare=False)

    def check_uids(self) -> None:
        """Refuse a command whose UIDs are none.

        Raises
        ------
        UIDInvalid
        """
        for uid in (self.sop_class_uid, self.sop_instance_uid):
            checked_uid(uid.encode("latin-1", "replace"), "The command's SOP UID", _STRICT_UID)

    @property
    def file_header(self) -> bytes:
        """What a file begins with: preamble and file meta information (PS3.10 7.1)."""
        elements = b"".join(
            (
                struct.pack("<HH2sHL", 2, 1, b"OB", 0, 2) + b"\0\1",  # File Meta Information Version
                _meta(0x0002, b"UI", self.sop_class_uid),
                _meta(0x0003, b"UI", self.sop_instance_uid),
                _meta(0x0010, b"UI", self.transfer_syntax_uid),
                _meta(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
                _meta(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
                _meta(0x0017, b"AE", self.calling_ae_title),  # so that a lost row can be made from the file
                _meta(0x0018, b"AE", self.called_ae_title),
            )
        )
        return b"\0" * 128 + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(elements)) + elements


@lru_cache(256)  # of an association's images all are alike but one
def _meta(number: int, vr: bytes, value: str) -> bytes:
    """One element; none where an AE title is no text of DICOM's."""
    if vr == b"AE" and not (value.isascii() and value.isprintable() and value):
        return b""
    content = value.encode("ascii") + (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, vr, len(content)) + content


@dataclass(frozen=True)
class Received(StoreRequest):
    """A C-STORE request with its data set, in memory, as it came."""

    encoded: bytes

    @cached_property
    def sha256(self) -> str:
        """Of the encoded data set: two copies of one instance have the same."""
        return sha256(self.encoded).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Of the encoded data set."""
        return len(self.encoded)

    @property
    def part10(self) -> bytes:
        """The whole file."""
        return self.file_header + self.encoded

    @property
    def start(self) -> bytes:
        """What the data set begins with."""
        return self.encoded[:START_BYTES]

    @contextmanager
    def data_set(self) -> Iterator[DataSetBytes]:
        """The data set to read from."""
        yield DataSetBytes.of(self.encoded)


@dataclass(frozen=True)
class Spooled(StoreRequest):
    """A C-STORE request with its data set, as it came, in a file.

    Parameters
    ----------
    sha256, size_bytes : of the encoded data set
    start : what it begins with, as far as that is in memory
    """

    file: Path
    sha256: str
    size_bytes: int
    start: bytes = field(default=b"", kw_only=True, compare=False, repr=False)

    @contextmanager
    def data_set(self) -> Iterator[DataSetBytes]:
        """The data set to read from."""
        with self.file.open("rb", buffering=0) as file:
            start = os.fstat(file.fileno()).st_size - self.size_bytes
            yield DataSetBytes(self.size_bytes, lambda place, count: os.pread(file.fileno(), count, start + place))


def checked_uid(value: bytes, name: str, pattern: re.Pattern[bytes] = _UID) -> str:
    """A UID as text, without its padding.

    Raises
    ------
    UIDInvalid
    """
    uid = value[:-1] if value.endswith((b"\0", b" ")) else value
    if len(uid) > _UID_MAX_LENGTH or not pattern.fullmatch(uid):
        raise errors.UIDInvalid(f"{name} is not 1 to {_UID_MAX_LENGTH} digits and dots (PS3.5 9.1).")
    return uid.decode("ascii")
