from collections.abc import Callable
from copy import deepcopy
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from survnode.model.ct.frames import frames_of
from survnode.model.ct.volume import (
    MIN_SLICES,
    PADDING_HU,
    arrange,
    decode,
    load_volume,
    read_headers,
    read_series,
    stack,
)
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.node.contexts import accepted_contexts

Turn = Callable[[NDArray[np.int16]], NDArray[np.int16]]


def ct_slice(
    number: int,
    position: tuple[float, float, float],
    *,
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    pixels: NDArray[np.int16] | None = None,
) -> Dataset:
    """A CT slice of 4 rows and 5 columns with pixels of 0.7 (between rows) x 0.5 mm."""
    stored = np.arange(20, dtype=np.int16).reshape(4, 5) + 100 * number if pixels is None else pixels
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
    ds.Modality, ds.ImageType, ds.InstanceNumber = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], number
    ds.FrameOfReferenceUID = "1.2.9"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = list(position), list(orientation)
    ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept = [0.7, 0.5], 2, -1000
    ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.PixelData = stored.tobytes()
    return ds


def series(count: int = 24, step_mm: float = 3.0) -> list[Dataset]:
    return [ct_slice(number, (-1.0, -2.0, step_mm * number)) for number in range(1, count + 1)]


def test_stored_values_become_hounsfield_units_with_each_slices_own_rescale() -> None:
    datasets = series()
    datasets[3].RescaleSlope, datasets[3].RescaleIntercept = 1, -1024
    volume = load_volume(datasets)
    assert volume.hu.shape == (24, 4, 5)
    assert volume.hu.dtype == np.float32
    np.testing.assert_array_equal(volume.hu[0], np.arange(20).reshape(4, 5) * 2 + 200 - 1000)
    np.testing.assert_array_equal(volume.hu[3], np.arange(20).reshape(4, 5) + 400 - 1024)
    assert volume.spacing_mm == (3.0, 0.7, 0.5)


def test_the_order_of_the_files_and_the_instance_numbers_do_not_matter() -> None:
    datasets = series()
    expected = load_volume(datasets)
    shuffled = [datasets[i] for i in np.random.default_rng(1).permutation(len(datasets))]
    for number, ds in enumerate(shuffled):
        ds.InstanceNumber = number
    volume = load_volume(shuffled)
    np.testing.assert_array_equal(volume.hu, expected.hu)
    assert [image.sop_instance_uid for image in volume.images] == [image.sop_instance_uid for image in expected.images]


@pytest.mark.parametrize(
    ("orientation", "corner", "turn"),
    [
        ((1, 0, 0, 0, 1, 0), (0.0, 0.0), lambda pixels: pixels),
        ((-1, 0, 0, 0, -1, 0), (2.0, 2.1), lambda pixels: pixels[::-1, ::-1]),  # prone: turned by 180 degrees
        ((-1, 0, 0, 0, 1, 0), (2.0, 0.0), lambda pixels: pixels[:, ::-1]),  # seen from the head
        ((0, 1, 0, 1, 0, 0), (0.0, 0.0), lambda pixels: pixels.T),  # rows run front to back
    ],
)
def test_the_patient_always_lies_the_same_way(
    orientation: tuple[float, ...], corner: tuple[float, float], turn: Turn
) -> None:
    stored = np.arange(20, dtype=np.int16).reshape(4, 5)
    datasets = [
        ct_slice(number, (*corner, 3.0 * number), orientation=orientation, pixels=stored) for number in range(1, 25)
    ]
    volume = load_volume(datasets)
    np.testing.assert_array_equal(volume.hu[0], turn(stored) * 2.0 - 1000)
    np.testing.assert_allclose(volume.directions, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(volume.origin_mm, (0, 0, 3.0), atol=1e-12)


def test_a_declared_padding_value_becomes_air() -> None:
    datasets = series()
    for ds in datasets:
        ds.add_new("PixelPaddingValue", "SS", 105)
        ds.add_new("PixelPaddingRangeLimit", "SS", 103)
    volume = load_volume(datasets)
    np.testing.assert_array_equal(
        volume.hu[0].ravel()[[2, 3, 4, 5, 6]], [-796, PADDING_HU, PADDING_HU, PADDING_HU, -788]
    )


def without(keyword: str) -> list[Dataset]:
    datasets = series()
    delattr(datasets[5], keyword)
    return datasets


def changed(**values: object) -> list[Dataset]:
    datasets = series()
    for keyword, value in values.items():
        setattr(datasets[5], keyword, value)
    return datasets


def every(**values: object) -> list[Dataset]:
    datasets = series()
    for ds in datasets:
        for keyword, value in values.items():
            setattr(ds, keyword, value)
    return datasets


def lossy() -> list[Dataset]:
    datasets = series()
    datasets[5].file_meta.TransferSyntaxUID = JPEGLSNearLossless
    return datasets


def sheared() -> list[Dataset]:
    return [ct_slice(number, (0, 0.2 * number, 3.0 * number)) for number in range(1, 25)]


def coronal() -> list[Dataset]:
    return [ct_slice(n, (0, 3.0 * n, 0), orientation=(1, 0, 0, 0, 0, -1)) for n in range(1, 25)]


@pytest.mark.parametrize(
    ("datasets", "reason"),
    [
        (changed(Modality="MR"), Reason.NOT_CT),
        (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), Reason.NOT_CT),
        (every(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), Reason.LOCALIZER),
        (every(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]), Reason.DERIVED_IMAGE),
        (every(ImageType=["DERIVED", "SECONDARY", "DOSE_INFO"]), Reason.DERIVED_IMAGE),
        (every(Manufacturer="survnode"), Reason.OWN_OUTPUT),
        (changed(LossyImageCompression="01"), Reason.LOSSY_COMPRESSION),
        (lossy(), Reason.LOSSY_COMPRESSION),
        (series(19), Reason.TOO_FEW_SLICES),
        ([], Reason.TOO_FEW_SLICES),
        (without("ImagePositionPatient"), Reason.MISSING_GEOMETRY),
        (without("ImageOrientationPatient"), Reason.MISSING_GEOMETRY),
        (without("PixelSpacing"), Reason.MISSING_GEOMETRY),
        (changed(ImagePositionPatient=[1, 2]), Reason.MISSING_GEOMETRY),
        (changed(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), Reason.MISSING_GEOMETRY),
        (changed(PixelSpacing=[0, 0]), Reason.MISSING_GEOMETRY),
        (without("RescaleSlope"), Reason.MISSING_RESCALE),
        (without("RescaleIntercept"), Reason.MISSING_RESCALE),
        (changed(FrameOfReferenceUID="1.2.10"), Reason.MIXED_FRAMES_OF_REFERENCE),
        (changed(Rows=3), Reason.MIXED_SIZE),
        (changed(PixelSpacing=[0.7, 0.6]), Reason.MIXED_SIZE),
        (changed(ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), Reason.MIXED_ORIENTATION),
        (changed(ImagePositionPatient=[-1, -2, 21.0]), Reason.DUPLICATE_POSITIONS),
        (changed(ImagePositionPatient=[-1, -2, 18.5]), Reason.IRREGULAR_SPACING),
        ([*series(24)[:10], *series(24)[11:]], Reason.IRREGULAR_SPACING),
        (every(GantryDetectorTilt=12), Reason.GANTRY_TILT),
        (sheared(), Reason.GANTRY_TILT),
        (coronal(), Reason.NOT_AXIAL),
        (changed(PixelData=b"\0\0"), Reason.UNREADABLE_PIXELS),
    ],
)
def test_what_is_no_regular_axial_ct_is_refused_by_its_own_name(datasets: list[Dataset], reason: Reason) -> None:
    with pytest.raises(SeriesUnsuitable) as refused:
        load_volume(datasets)
    assert refused.value.reason is reason
    assert reason.sentence in str(refused.value)


def test_positions_rounded_by_the_scanner_are_regular() -> None:
    datasets = [ct_slice(number, (0, 0, round(0.625 * number, 1))) for number in range(1, 101)]
    assert arrange(datasets).spacing_mm[0] == pytest.approx(0.625, abs=1e-3)


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("gantrytilting", Reason.GANTRY_TILT),
        ("notavolume", Reason.DUPLICATE_POSITIONS),
        ("sliceincrement", Reason.IRREGULAR_SPACING),
    ],
)
def test_real_irregular_series_are_refused(shared_data: Path, folder: str, reason: Reason) -> None:
    by_series: dict[str, list[Dataset]] = {}
    for ds in read_headers(sorted((shared_data / "ct-irregular" / folder).rglob("*.dcm"))):
        by_series.setdefault(ds.SeriesInstanceUID, []).append(ds)
    refusals = []
    for datasets in by_series.values():
        with pytest.raises(SeriesUnsuitable) as refused:
            stack([frame for ds in datasets for frame in frames_of(ds)])
        refusals.append(refused.value.reason)
    assert reason in refusals


def repeated(ds: Dataset) -> list[Dataset]:
    """The smallest series that is accepted: copies of one image, each 5 mm nearer to the head."""
    copies = [deepcopy(ds) for _ in range(MIN_SLICES)]
    for number, copy in enumerate(copies):
        copy.SOPInstanceUID = f"1.2.3.{number}"
        copy.ImagePositionPatient = [*ds.ImagePositionPatient[:2], ds.ImagePositionPatient[2] + 5 * number]
    return copies


def test_every_transfer_syntax_decodes_to_the_same_volume_or_is_refused_as_lossy(shared_data: Path) -> None:
    files = sorted((shared_data / "ct-transfer-syntaxes").iterdir())
    plain = next(file for file in files if "LittleEndianExplicit_" in file.name or "LittleEndianExplicitT" in file.name)
    expected = load_volume(repeated(dcmread(plain))).hu
    refused = []
    for file in files:
        try:
            hu = load_volume(repeated(dcmread(file))).hu
        except SeriesUnsuitable as refusal:
            refused.append((file.stem.rpartition("_")[2], refusal.reason))
        else:
            np.testing.assert_array_equal(hu, expected, err_msg=file.name)
    assert sorted(refused) == [
        (f"1.2.840.10008.1.2.4.{number}", Reason.LOSSY_COMPRESSION) for number in (50, 51, 53, 55, 81, 91)
    ]


def test_a_real_patient_is_one_regular_volume(lung1_series: list[Path]) -> None:
    volume = load_volume(read_series(lung1_series))
    assert volume.hu.shape == (134, 512, 512)
    assert volume.spacing_mm == (3.0, 0.9765625, 0.9765625)
    assert volume.hu.min() == -1024
    z = [dcmread(path, stop_before_pixels=True) for path in lung1_series]
    by_height = sorted(z, key=lambda ds: float(ds.ImagePositionPatient[2]))
    assert [image.sop_instance_uid for image in volume.images] == [str(ds.SOPInstanceUID) for ds in by_height]


def test_an_enhanced_multi_frame_ct_is_placed_frame_by_frame() -> None:
    path = get_testdata_file("eCT_Supplemental.dcm", download=False)
    if path is None:
        pytest.skip("pydicom-data has no eCT_Supplemental.dcm")
    ds = dcmread(str(path))
    arrangement = stack(list(frames_of(ds)))
    numbers = [frame.frame_number or 0 for frame in arrangement.frames]
    assert sorted(numbers) == list(range(1, ds.NumberOfFrames + 1))
    volume = decode([ds], arrangement)
    for frame, hu in zip(arrangement.frames, volume.hu, strict=True):
        stored = ds.pixel_array[(frame.frame_number or 0) - 1].astype(np.float32)
        np.testing.assert_allclose(hu, arrangement.upright(stored * frame.rescale_slope + frame.rescale_intercept))


def reencoded(ds: Dataset, transfer_syntax: str) -> Dataset:
    """The same image as a sender with another preference would send it, through a file."""
    copy = Dataset()
    copy.update(deepcopy(ds))
    copy.file_meta = deepcopy(ds.file_meta)
    if transfer_syntax in {RLELossless, JPEGLSLossless, JPEG2000Lossless}:
        copy.compress(transfer_syntax, generate_instance_uid=False)
    copy.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    if transfer_syntax == ExplicitVRBigEndian:
        copy.PixelData = ds.pixel_array.byteswap().tobytes()
    buffer = BytesIO()
    dcmwrite(buffer, copy, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


@pytest.mark.parametrize(
    "transfer_syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
)
def test_a_real_chest_is_the_same_volume_in_every_transfer_syntax(
    thorax64_series: list[Path], transfer_syntax: str
) -> None:
    datasets = read_series(thorax64_series[:24])
    volume = load_volume([reencoded(ds, transfer_syntax) for ds in datasets])
    np.testing.assert_array_equal(volume.hu, load_volume(datasets).hu)


def test_every_transfer_syntax_that_the_receiver_accepts_can_be_decoded() -> None:
    compressed = [uid for uid in accepted_contexts()[CTImageStorage] if UID(uid).is_encapsulated]
    assert len(compressed) >= 7
    assert [uid for uid in compressed if not get_decoder(UID(uid)).is_available] == []


def test_a_stack_numbered_from_the_head_is_the_same_volume(thorax64_series: list[Path]) -> None:
    datasets = read_series(thorax64_series)
    expected = load_volume(datasets)
    heights = sorted((float(ds.ImagePositionPatient[2]) for ds in datasets), reverse=True)
    for number, ds in enumerate(sorted(datasets, key=lambda ds: -float(ds.ImagePositionPatient[2])), start=1):
        ds.InstanceNumber = number
        ds.SliceLocation = heights[-number]  # a location that contradicts the position is not looked at
    volume = load_volume(datasets)
    np.testing.assert_array_equal(volume.hu, expected.hu)
    assert [image.sop_instance_uid for image in volume.images] == [image.sop_instance_uid for image in expected.images]
