"""Damaged compressed CT goes through the volume reader, in a process of its own: decoders are other people's C."""

import multiprocessing
import resource
import struct
import subprocess
import warnings
from collections.abc import Iterator
from io import BytesIO
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from survnode.model.ct.arrangement import arrange
from survnode.model.ct.volume import decode, read_headers, read_series
from survnode.model.errors import SeriesUnsuitable
from survnode.model.phantom.phantom import make_phantom, write_dicom

from ...mutations import FAULTS, Fault, damaged, fuzzed

HANG_S = 60.0
MAX_CPU_S = 5.0
START_S = 60.0
MEMORY_BYTES = 512 << 20  # beyond what the process has when it has started; an image here takes 20 KiB
JPEG_OF_DCMTK = {JPEGLossless: "+el", JPEGLosslessSV1: "+e1"}
SYNTAXES = (
    *(RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLossless, JPEGLosslessSV1),
    DeflatedExplicitVRLittleEndian,
)
_spawn = multiprocessing.get_context("spawn")


class Reader:
    """A process that reads one damaged image after the other, and is started again when it dies."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.deaths = folder, 0
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def read(self, content: bytes) -> str:
        """What comes of it; "died" or "hung" if the process does."""
        connection = self._connection or self._start()
        connection.send_bytes(content)
        try:
            if connection.poll(HANG_S):
                return connection.recv_bytes().decode()
        except (EOFError, OSError):
            self.close()
            return "died"
        self.close()
        return "hung"

    def _start(self) -> Connection:
        self._connection, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=_read_on, args=(self._folder, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._connection.poll(START_S)
        self._connection.recv_bytes()
        return self._connection

    def close(self) -> None:
        if self._process is not None and self._connection is not None:
            self._connection.close()
            self._process.kill()
            self._process.join()
            self._process = self._connection = None


def _read_on(folder: Path, connection: Connection) -> None:
    """The body of the process."""
    warnings.simplefilter("ignore")
    arrangement = arrange(read_headers(sorted(folder.glob("plain/*.dcm"))))
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES,) * 2)
    file = folder / "damaged.dcm"
    connection.send_bytes(b"ready")
    while True:
        try:
            file.write_bytes(connection.recv_bytes())
        except EOFError:
            return
        began = process_time()
        try:
            volume = decode(read_series([file]), arrangement)
            answer = f"decoded {volume.hu.shape[1:]}"
        except SeriesUnsuitable as refusal:
            answer = f"refused {refusal.reason.value}"
        except Exception as error:  # noqa: BLE001  that is what is tested
            answer = f"raised {type(error).__name__}"
        connection.send_bytes((answer if process_time() - began < MAX_CPU_S else f"slowly {answer}").encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series of 20 slices of 64 x 64, and its first image in each compression."""
    folder = tmp_path_factory.mktemp("series")
    (folder / "plain").mkdir()
    random = np.random.default_rng(1)
    for number, path in enumerate(write_dicom(make_phantom(1), folder / "phantom")[:20], start=1):
        ds = dcmread(path)
        ds.Rows = ds.Columns = 64
        noise = random.integers(-1000, 1000, (64, 64), np.int16)
        ds.PixelData = np.cumsum(noise, axis=1, dtype=np.int16).tobytes()
        ds.save_as(folder / "plain" / f"{number:02d}.dcm")
    return folder


def compressed(folder: Path, syntax: UID) -> tuple[bytes, int]:
    """The first image in that transfer syntax, and where its pixels begin."""
    plain = folder / "plain/01.dcm"
    if syntax in JPEG_OF_DCMTK:
        tool = Path("/usr/bin/dcmcjpeg")
        if not tool.exists():
            pytest.skip(f"the encoder {tool} is absent")
        made = folder / f"{syntax}.dcm"
        subprocess.run([tool, JPEG_OF_DCMTK[syntax], plain, made], check=True, capture_output=True)
        content = made.read_bytes()
    else:
        ds = dcmread(plain)
        if syntax == DeflatedExplicitVRLittleEndian:
            ds.file_meta.TransferSyntaxUID = syntax
        else:
            ds.compress(syntax, generate_instance_uid=False)
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        content = file.getvalue()
    meta_end = 144 + dcmread(BytesIO(content), stop_before_pixels=True).file_meta.FileMetaInformationGroupLength
    start = content.find(struct.pack("<HH", 0x7FE0, 0x0010))
    return content, start + 12 if start > 0 else meta_end


class Images(dict[UID, tuple[bytes, int]]):
    """An image in each transfer syntax, and where its pixels begin."""

    def __repr__(self) -> str:
        """Short: Hypothesis shows it."""
        return "images"


@pytest.fixture(scope="module")
def images(folder: Path) -> Images:
    return Images({syntax: compressed(folder, syntax) for syntax in SYNTAXES})


@pytest.fixture(scope="module")
def reader(folder: Path) -> Iterator[Reader]:
    reader = Reader(folder)
    yield reader
    reader.close()


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_the_images_are_read_while_they_are_whole(images: Images, reader: Reader, syntax: UID) -> None:
    assert reader.read(images[syntax][0]).startswith("decoded")


def test_a_jpeg_2000_header_that_ends_a_process_in_gdcm_is_refused(images: Images, reader: Reader) -> None:
    content, _ = images[JPEG2000Lossless]
    at = content.index(b"\xff\x4f\xff\x51") + 33  # in the offset of the tiles (ISO 15444-1 A.5.1)
    junk = bytes.fromhex("f6c8a20ae57f16cb23276fa2ff12900d182c63d347df07ae31db538294")
    assert reader.read(content[:at] + junk + content[at + len(junk) :]) == "refused UNREADABLE_PIXELS"


def test_a_jpeg_header_that_ends_a_process_in_gdcm_is_refused(images: Images, reader: Reader) -> None:
    content, _ = images[JPEGLosslessSV1]
    at = content.index(b"\xff\xc3") + 13  # behind the frame header: a marker, of which the rest is cut out
    assert reader.read(content[: at + 1] + content[at + 5 :]) == "refused UNREADABLE_PIXELS"


@fuzzed(150)
@given(syntax=st.sampled_from(SYNTAXES), faults=FAULTS)
def test_damaged_pixels_are_decoded_or_refused(
    images: Images, reader: Reader, syntax: UID, faults: list[Fault]
) -> None:
    content, start = images[syntax]
    assert reader.read(damaged(content, faults, start)).split()[0] in ("decoded", "refused")
