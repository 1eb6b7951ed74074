from copy import deepcopy
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from survnode.model.ct.arrangement import MIN_SLICES, stack
from survnode.model.ct.frames import frames_of
from survnode.model.ct.volume import (
    PADDING_HU,
    decode,
    load_volume,
    read_series,
)
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.node.contexts import accepted_contexts

from .slices import series


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


def test_a_declared_padding_value_becomes_air() -> None:
    datasets = series()
    for ds in datasets:
        ds.add_new("PixelPaddingValue", "SS", 105)
        ds.add_new("PixelPaddingRangeLimit", "SS", 103)
    volume = load_volume(datasets)
    np.testing.assert_array_equal(
        volume.hu[0].ravel()[[2, 3, 4, 5, 6]], [-796, PADDING_HU, PADDING_HU, PADDING_HU, -788]
    )


def test_pixels_that_cannot_be_decoded_are_refused_by_the_number_of_their_image() -> None:
    datasets = series()
    datasets[5].PixelData = b"\0\0"
    with pytest.raises(SeriesUnsuitable, match=r"Image 6 cannot be decoded \(Explicit VR Little Endian\)") as refused:
        load_volume(datasets)
    assert refused.value.reason is Reason.UNREADABLE_PIXELS


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
