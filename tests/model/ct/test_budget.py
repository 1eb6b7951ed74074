import struct
import tracemalloc
import zlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from survnode.model.ct import budget
from survnode.model.ct.budget import bytes_as_read, check_files, size_of_compressed
from survnode.model.ct.volume import load_volume, read_headers, read_series
from survnode.model.errors import Reason, SeriesUnsuitable

HUGE = 65535
HUGE_RLE = b"\x81\0" * (HUGE * HUGE // 128 + 1)  # a segment of 128 zeros in two bytes, again and again: 64 MiB
SIDE = 64


def ct_slice(number: int, rows: int = SIDE, columns: int = SIDE, pixels: bytes = bytes(SIDE * SIDE * 2)) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
    ds.Modality, ds.ImageType, ds.InstanceNumber = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], number
    ds.FrameOfReferenceUID = "1.2.9"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 3.0 * number], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept = [0.7, 0.7], 1, -1024
    ds.Rows, ds.Columns = rows, columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.PixelData = pixels
    return ds


def refusal_of(read: Callable[[], object]) -> SeriesUnsuitable:
    """How something is refused that takes no memory to speak of."""
    tracemalloc.start()
    try:
        with pytest.raises(SeriesUnsuitable) as refused:
            read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300 << 20, peak
    return refused.value


def rle(pixels: bytes) -> bytes:
    """An image of two segments, high and low bytes, both ``pixels``."""
    header = struct.pack("<16L", 2, 64, 64 + len(pixels), *[0] * 13)
    return encapsulate([header + pixels + pixels])


def test_images_that_claim_65535_rows_and_columns_are_refused_before_a_pixel_is_allocated() -> None:
    refusal = refusal_of(lambda: load_volume([ct_slice(number, HUGE, HUGE) for number in range(24)]))
    assert refusal.reason is Reason.TOO_LARGE
    assert "65535 x 65535" in refusal.detail


def test_many_small_images_that_are_too_much_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_SERIES_BYTES", 24 * SIDE * SIDE * 4 - 1)
    assert refusal_of(lambda: load_volume([ct_slice(n) for n in range(24)])).reason is Reason.TOO_LARGE
    monkeypatch.setattr(budget, "MAX_SERIES_BYTES", 24 * SIDE * SIDE * 4)
    assert load_volume([ct_slice(n) for n in range(24)]).hu.shape == (24, SIDE, SIDE)


def test_frames_that_only_the_number_of_frames_claims_are_counted() -> None:
    datasets = [ct_slice(number) for number in range(24)]
    ds = datasets[3]
    ds.PerFrameFunctionalGroupsSequence, ds.NumberOfFrames = [deepcopy(ds)], 1_000_000
    assert refusal_of(lambda: load_volume(datasets)).reason is Reason.TOO_LARGE


@pytest.mark.parametrize(("side", "reason"), [(HUGE, Reason.TOO_LARGE), (SIDE, Reason.UNREADABLE_PIXELS)])
def test_compressed_image_of_128_mib_that_can_be_decoded_is_refused_whatever_its_header_claims(
    side: int, reason: Reason
) -> None:
    content = rle(HUGE_RLE)
    datasets = [ct_slice(number, side, side, content) for number in range(24)]
    for ds in datasets:
        ds.file_meta.TransferSyntaxUID = RLELossless
    assert refusal_of(lambda: load_volume(datasets)).reason is reason


@pytest.mark.parametrize(
    ("syntax", "begins", "place"),
    [(JPEGLSLossless, b"\xff\xf7", 5), (JPEG2000Lossless, b"\xff\x51", 6)],
)
def test_compressed_image_that_claims_more_than_its_header_is_not_decoded(
    syntax: str, begins: bytes, place: int
) -> None:
    pixels = np.random.default_rng(1).integers(0, 2000, SIDE * SIDE, dtype=np.int16)
    ds = ct_slice(1, pixels=pixels.tobytes())
    ds.PixelRepresentation = 0
    ds.compress(syntax, generate_instance_uid=False)
    (frame,) = generate_frames(ds.PixelData, number_of_frames=1)
    assert size_of_compressed(frame) == (SIDE, SIDE)
    budget.check_compressed(ds)

    at = frame.index(begins) + place
    size = 2 if syntax == JPEGLSLossless else 4
    claim = HUGE.to_bytes(size, "big") * 2
    ds.PixelData = encapsulate([frame[:at] + claim + frame[at + len(claim) :]])
    assert size_of_compressed(frame[:at] + claim + frame[at + len(claim) :]) == (HUGE, HUGE)
    assert refusal_of(lambda: budget.check_compressed(ds)).reason is Reason.UNREADABLE_PIXELS


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("JPEG-LL.dcm", (1024, 256)),
        ("MR_small_jp2klossless.dcm", (64, 64)),
        ("MR_small_jpeg_ls_lossless.dcm", (64, 64)),
    ],
)
def test_size_of_a_compressed_image_is_that_of_its_header(name: str, size: tuple[int, int]) -> None:
    ds = dcmread(str(get_testdata_file(name)))
    assert size_of_compressed(next(generate_frames(ds.PixelData, number_of_frames=1))) == size == (ds.Rows, ds.Columns)


@pytest.mark.parametrize(
    "frame", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\0\0", b"\xff\xd8" + b"\xff\xe0\xff\xff", bytes(99)]
)
def test_bytes_that_are_no_compressed_image_have_no_size(frame: bytes) -> None:
    assert size_of_compressed(frame) is None


def deflated(path: Path, ds: Dataset, zeros: int) -> Path:
    """A deflated file of ``ds`` and so many zeros."""
    encoded = DicomBytesIO()
    encoded.is_little_endian, encoded.is_implicit_VR = True, False
    write_dataset(encoded, ds)
    deflater = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    uid = DeflatedExplicitVRLittleEndian.encode().ljust(24, b"\0")
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM" + meta + deflater.compress(encoded.getvalue()))
        for _ in range(zeros >> 20):
            file.write(deflater.compress(bytes(1 << 20)))
        file.write(deflater.flush())
    return path


def test_deflated_file_that_inflates_to_500_mib_is_refused_without_being_inflated_whole(tmp_path: Path) -> None:
    ds = ct_slice(1)
    del ds.file_meta
    bomb = deflated(tmp_path / "bomb.dcm", ds, 500 << 20)
    assert bomb.stat().st_size < 4 << 20
    for read in (read_headers, read_series):
        assert refusal_of(lambda read=read: read([bomb])).reason is Reason.TOO_LARGE  # type: ignore[misc]


def test_of_an_element_that_claims_4_gib_no_more_is_allocated_than_there_is(tmp_path: Path) -> None:
    ct_slice(1).save_as(tmp_path / "1.dcm", enforce_file_format=True)
    content = (tmp_path / "1.dcm").read_bytes()
    at = content.index(struct.pack("<HH", 0x7FE0, 0x0010))
    claim = struct.pack("<HH2sHL", 0x0029, 0x0010, b"OB", 0, 0xFFFFFFF0)
    (tmp_path / "1.dcm").write_bytes(content[:at] + claim + content[at:])
    tracemalloc.start()
    read_headers([tmp_path / "1.dcm"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


def test_a_series_of_which_a_file_is_cut_short_is_refused(tmp_path: Path) -> None:
    ds = ct_slice(1)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(tmp_path / "1.dcm", enforce_file_format=True)
    (tmp_path / "1.dcm").write_bytes((tmp_path / "1.dcm").read_bytes()[:-20])
    assert refusal_of(lambda: read_series([tmp_path / "1.dcm"])).reason is Reason.UNREADABLE_PIXELS


def test_deflated_file_counts_as_what_it_inflates_to(tmp_path: Path) -> None:
    ds = ct_slice(1)
    del ds.file_meta
    path = deflated(tmp_path / "1.dcm", ds, 0)
    assert SIDE * SIDE * 2 < bytes_as_read(path) < SIDE * SIDE * 2 + 2000
    assert read_headers([path])[0].Rows == SIDE
    ds.save_as(tmp_path / "2.dcm", implicit_vr=False, little_endian=True)
    assert bytes_as_read(tmp_path / "2.dcm") == (tmp_path / "2.dcm").stat().st_size


def test_files_that_are_too_much_together_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path in paths:
        path.write_bytes(bytes(1000))
    monkeypatch.setattr(budget, "MAX_SERIES_BYTES", 3000)
    check_files(paths)
    monkeypatch.setattr(budget, "MAX_SERIES_BYTES", 2999)
    assert refusal_of(lambda: read_series(paths)).reason is Reason.TOO_LARGE
