from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    JPEGLSNearLossless,
)

from survnode.model.ct.arrangement import arrange, stack
from survnode.model.ct.frames import frames_of
from survnode.model.ct.volume import (
    load_volume,
    read_headers,
)
from survnode.model.errors import Reason, SeriesUnsuitable

from .slices import ct_slice, series

Turn = Callable[[NDArray[np.int16]], NDArray[np.int16]]


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
    ],
)
def test_what_is_no_regular_axial_ct_is_refused_by_its_own_name(datasets: list[Dataset], reason: Reason) -> None:
    with pytest.raises(SeriesUnsuitable) as refused:
        arrange(datasets)
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
