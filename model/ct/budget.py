"""What a series may take, checked before anything of that size is allocated: a small file can claim to be a huge image.

A claim is checked wherever one is made: the size of the files, what deflated ones inflate to, rows, columns and frames
of the header, and what a compressed image says of itself, by which decoders allocate whatever the header says.
"""

import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from survnode.model.errors import Reason, SeriesUnsuitable

# A thorax of 512 x 512 in 600 slices of 0.5 mm takes 0.6 GiB as float32, the finest that scanners reconstruct
# (1,024 x 1,024 in 1,000 slices) 4 GiB.
MAX_SERIES_BYTES = 4 << 30  # of its volume, and of its files as they are read
MAX_SIDE = 4096  # rows or columns: four times what the finest scanners reconstruct
MAX_INFLATED_BYTES = 256 << 20  # of one deflated file: 500 frames of 512 x 512
VOXEL_BYTES = 4  # float32
MAX_EXPANSION = 2  # a compressed frame is no larger than this, beside the uncompressed: noise grows by less

_CHUNK_BYTES = 1 << 20
_ALLOWANCE_BYTES = 1 << 16  # for what a compressed frame holds besides pixels

_JP2, _CODESTREAM = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"  # a JP2 file, and the JPEG 2000 image in it
_SCAN, _FILL = 0xFFDA, 0xFFFF  # ISO 10918-1 B.1.1
_SIZ = 0xFF51  # JPEG 2000 (ISO 15444-1 A.5.1)
_FRAME_HEADERS = {0xFFF7, *range(0xFFC0, 0xFFD0)} - {0xFFC4, 0xFFC8, 0xFFCC}  # JPEG-LS; JPEG without DHT, JPG, DAC


def check_files(paths: Iterable[Path]) -> None:
    """Refuse files that are too large to be read together.

    Raises
    ------
    SeriesUnsuitable
    """
    total = 0
    for path in paths:
        total += bytes_as_read(path)
        if total > MAX_SERIES_BYTES:
            raise _too_large(f"Its files hold more than {MAX_SERIES_BYTES >> 20} MiB.")


def bytes_as_read(path: Path) -> int:
    """What a file takes in memory: its size, or what it inflates to.

    Raises
    ------
    SeriesUnsuitable
        It inflates to more than `MAX_INFLATED_BYTES`, or cannot be inflated.
    """
    with path.open("rb") as file:
        if _transfer_syntax(file) != DeflatedExplicitVRLittleEndian:
            return path.stat().st_size
        size = 0
        try:
            for part in _inflated(file):
                size += part
                if size > MAX_INFLATED_BYTES:
                    raise _too_large(f"A file inflates to more than {MAX_INFLATED_BYTES >> 20} MiB.")
        except zlib.error as error:
            raise SeriesUnsuitable(Reason.UNREADABLE_PIXELS, "A deflated file cannot be inflated.") from error
        return size


def read_file(path: Path, *, pixels: bool = False, keywords: list[str] | None = None, force: bool = False) -> Dataset:
    """The data set in a file, and nothing allocated by what it merely claims; raises what pydicom raises, too.

    Parameters
    ----------
    pixels : its pixels as well
    keywords : of the attributes that are wanted; None: all
    force : take a file that does not say that it is DICOM

    Raises
    ------
    SeriesUnsuitable
        As `bytes_as_read`: the whole of a deflated file is inflated, whatever is wanted of it.
    """
    bytes_as_read(path)
    with _File(path) as file:
        return dcmread(file, stop_before_pixels=not pixels, specific_tags=keywords, force=force)


class _File(BufferedReader):
    """Reads no more than there is: a length of 4 GiB in an element is allocated before it is seen to be none."""

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(str(path)))  # pydicom wants a name that is text
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes, at most ``size``."""
        if size is not None and size > _CHUNK_BYTES:
            size = max(min(size, self._size - self.tell()), 0)
        return super().read(size)


def check_claims(datasets: Iterable[Dataset]) -> None:
    """Refuse a series whose headers claim a volume that is too large.

    Raises
    ------
    SeriesUnsuitable
    """
    total = 0
    for ds in datasets:
        rows, columns, frames = int(ds.Rows), int(ds.Columns), int(ds.get("NumberOfFrames") or 1)
        if max(rows, columns) > MAX_SIDE:
            raise _too_large(f"Found {rows} x {columns} pixels, at most {MAX_SIDE} x {MAX_SIDE} are read.")
        total += rows * columns * frames * max(VOXEL_BYTES, _stored_bytes(ds))
    if total > MAX_SERIES_BYTES:
        raise _too_large(f"Its pixels take {total >> 20} MiB, at most {MAX_SERIES_BYTES >> 20} MiB are read.")


def check_compressed(ds: Dataset) -> None:
    """Refuse compressed frames that are other images than their header says.

    Raises
    ------
    SeriesUnsuitable
    """
    if not UID(ds.file_meta.TransferSyntaxUID).is_encapsulated:
        return
    rows, columns = int(ds.Rows), int(ds.Columns)
    most = MAX_EXPANSION * rows * columns * _stored_bytes(ds) + _ALLOWANCE_BYTES
    for frame in _compressed_frames(ds):
        counted = ds.file_meta.TransferSyntaxUID == RLELossless  # it says nothing of rows and columns
        if len(frame) > most or not (counted or size_of_compressed(frame) == (rows, columns)):
            raise SeriesUnsuitable(
                Reason.UNREADABLE_PIXELS, f"Image {ds.get('InstanceNumber')} holds other pixels than its header says."
            )


def size_of_compressed(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or JPEG 2000 image by its own header; None if it has none.

    Of JPEG and JPEG-LS the whole header must be there, marker by marker up to its scan (ISO 10918-1 B.1.1): where
    another byte stands in place of one, GDCM ends the process.
    """
    if frame.startswith(_JP2) and frame.count(_CODESTREAM) == 1:  # against PS3.5 8.2.4, but written all the same
        frame = frame[frame.index(_CODESTREAM) :]
    size = None
    for marker, body in _segments(frame):
        if marker == _SIZ:
            right, bottom, left, top = (int.from_bytes(body[place : place + 4]) for place in (2, 6, 10, 14))
            return bottom - top, right - left
        if marker in _FRAME_HEADERS:
            size = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
        if marker == _SCAN:
            return size
    return None


def _segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment behind the first marker, as far as one follows the other."""
    at = 2
    while at + 4 <= len(frame):
        marker, length = int.from_bytes(frame[at : at + 2]), int.from_bytes(frame[at + 2 : at + 4])
        if marker == _FILL:
            at += 1
        elif marker < 0xFF00 or length < 2:
            return
        else:
            yield marker, frame[at + 4 : at + 2 + length]
            at += 2 + length


def _compressed_frames(ds: Dataset) -> Iterator[bytes]:
    offsets = None
    if "ExtendedOffsetTable" in ds and "ExtendedOffsetTableLengths" in ds:
        offsets = ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths
    number = int(ds.get("NumberOfFrames") or 1)
    return generate_frames(ds.PixelData, number_of_frames=number, extended_offsets=offsets)


def _stored_bytes(ds: Dataset) -> int:
    """Of one pixel."""
    return int(ds.get("SamplesPerPixel") or 1) * -(-int(ds.get("BitsAllocated") or 16) // 8)


def _transfer_syntax(file: BinaryIO) -> str:
    """What the file meta information names, if there is any; the file then stands behind it."""
    try:
        read_preamble(file, force=False)
    except InvalidDicomError:
        return ""
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group != 2)
    return str(meta.get("TransferSyntaxUID", ""))


def _inflated(file: BinaryIO) -> Iterator[int]:
    """The sizes of the parts to which the rest of a file inflates."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while deflated := inflater.unconsumed_tail or file.read(_CHUNK_BYTES):
        yield len(inflater.decompress(deflated, _CHUNK_BYTES))
        if inflater.eof:
            return


def _too_large(detail: str) -> SeriesUnsuitable:
    return SeriesUnsuitable(Reason.TOO_LARGE, detail)
