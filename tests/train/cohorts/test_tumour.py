"""What was drawn is as large as it was drawn."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, RTStructureSetStorage, SegmentationStorage

from survnode.train.cohorts.tumour import drawn_tumour

CT = "1.2.3.1"


def square(side: float, z: float, centre: tuple[float, float] = (0.0, 0.0)) -> list[float]:
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [value for x, y in corners for value in (centre[0] + x * side / 2, centre[1] + y * side / 2, z)]


def saved(ds: Dataset, sop_class: UID, path: Path) -> Path:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = UID("1.2.3.99")
    ds.save_as(path, enforce_file_format=True)
    return path


def item(**attributes: object) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def structures(path: Path, *regions: tuple[str, list[list[float]]], of: str = CT) -> Path:
    series = item(RTReferencedSeriesSequence=[item(SeriesInstanceUID=of)])
    ds = item(
        ReferencedFrameOfReferenceSequence=[item(RTReferencedStudySequence=[series])],
        StructureSetROISequence=[item(ROINumber=n, ROIName=name) for n, (name, _) in enumerate(regions, 1)],
        ROIContourSequence=[
            item(ReferencedROINumber=n, ContourSequence=[item(ContourData=data) for data in contours])
            for n, (_, contours) in enumerate(regions, 1)
        ],
    )
    return saved(ds, RTStructureSetStorage, path)


def test_a_box_with_a_hole_beside_a_lung(tmp_path: Path) -> None:
    tumour = [contour for z in range(0, 30, 3) for contour in (square(20, z), square(10, z))]
    path = structures(tmp_path / "rs.dcm", ("Lung-Left", [square(200, z) for z in (0, 3)]), ("GTV-1", tumour))
    found = drawn_tumour([path], CT, "^gtv-1$")
    assert found is not None
    assert found.volume_ml == pytest.approx((400 - 100) * 30 / 1000)
    assert found.axis_mm == pytest.approx(np.sqrt(20**2 + 20**2 + 27**2))


def test_two_pieces_in_a_plane_add_up(tmp_path: Path) -> None:
    path = structures(tmp_path / "rs.dcm", ("gtv", [square(10, z, (x, 0)) for z in (0, 5) for x in (-20, 20)]))
    found = drawn_tumour([path], CT, "gtv")
    assert found is not None
    assert found.volume_ml == pytest.approx(2.0)


def test_what_was_drawn_on_another_ct_or_has_another_name_is_none(tmp_path: Path) -> None:
    box = [square(10, z) for z in (0, 3, 6)]
    assert drawn_tumour([structures(tmp_path / "1", ("GTV", box), of="1.2.3.2")], CT, "gtv") is None
    assert drawn_tumour([structures(tmp_path / "2", ("Heart", box))], CT, "gtv") is None
    assert drawn_tumour([], CT, "gtv") is None


def segmentation(path: Path, mask: NDArray[np.bool_]) -> Path:
    frames = [
        item(
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=1)],
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 3 * z])],
        )
        for z in range(len(mask))
    ]
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[2, 1], SliceThickness=3)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
    )
    ds = item(
        ReferencedSeriesSequence=[item(SeriesInstanceUID=CT)],
        SegmentSequence=[item(SegmentNumber=1, SegmentLabel="Neoplasm, Primary")],
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
        NumberOfFrames=len(mask), Rows=mask.shape[1], Columns=mask.shape[2],
        SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", PixelRepresentation=0,
        BitsAllocated=1, BitsStored=1, HighBit=0,
    )  # fmt: skip
    ds.PixelData = np.packbits(mask.ravel(), bitorder="little").tobytes()
    ds["PixelData"].VR = "OB"
    return saved(ds, SegmentationStorage, path)


def test_segments_are_measured_in_the_patient_s_space(tmp_path: Path) -> None:
    mask = np.zeros((6, 16, 16), np.bool_)
    mask[1:5, 4:8, 2:12] = True
    found = drawn_tumour([segmentation(tmp_path / "seg.dcm", mask)], CT, "neoplasm")
    assert found is not None
    assert found.volume_ml == pytest.approx(4 * 4 * 10 * 6 / 1000)
    assert found.axis_mm == pytest.approx(np.sqrt(9**2 + 9**2 + 6**2))


def test_the_tumour_of_a_real_patient_is_that_of_its_mask(lung1_series: list[Path], shared_data: Path) -> None:
    """The mask of this region, drawn by other software, has 160.7 ml."""
    series = str(dcmread(lung1_series[0], stop_before_pixels=True).SeriesInstanceUID)
    others = [path for path in (shared_data / "NSCLC-Radiomics/LUNG1-001").rglob("*") if path.is_file()]
    paths = [path for path in others if path not in set(lung1_series)]
    found = drawn_tumour(paths, series, "^gtv-1$")
    assert found is not None
    assert found.volume_ml == pytest.approx(160.7, rel=0.03)
    assert 90 < found.axis_mm < 150
