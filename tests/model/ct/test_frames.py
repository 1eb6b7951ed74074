"""One image of a data set as plain values; what it is refused for is tested with the series (test_volume.py)."""

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from survnode.model.ct.frames import Frame, frames_of, listed
from survnode.model.errors import Reason, SeriesUnsuitable


def classic(**attributes: Any) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = CTImageStorage, "1.2.3", "CT"
    ds.ImageType, ds.InstanceNumber, ds.FrameOfReferenceUID = ["ORIGINAL", "PRIMARY", "AXIAL"], 7, "1.9"
    ds.Rows, ds.Columns, ds.PixelSpacing = 4, 5, [0.7, 0.5]
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-1, -2, 3], [1, 0, 0, 0, 1, 0]
    ds.RescaleSlope, ds.RescaleIntercept = 2, -1000
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def item(**attributes: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def enhanced(frames: int) -> Dataset:
    """Spacing, orientation and rescale are shared, the position is each frame's own; frame 2 has its own rescale."""
    ds = classic(SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=frames)
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.7, 0.5])],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-1024)],
        CTAcquisitionDetailsSequence=[item(GantryDetectorTilt=12)],
    )
    own = [item(PlanePositionSequence=[item(ImagePositionPatient=[-1, -2, 5 * place])]) for place in range(frames)]
    own[1].PixelValueTransformationSequence = [item(RescaleSlope=2, RescaleIntercept=-500)]
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], own
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(ds, keyword)
    return ds


def only(ds: Dataset) -> Frame:
    (frame,) = frames_of(ds)
    return frame


def reason_of(ds: Dataset) -> Reason:
    with pytest.raises(SeriesUnsuitable) as refused:
        list(frames_of(ds))
    return refused.value.reason


def test_a_classic_image_is_one_frame_without_a_number() -> None:
    frame = only(classic())
    assert (frame.sop_instance_uid, frame.instance_number, frame.frame_number) == ("1.2.3", 7, None)
    assert (frame.rows, frame.columns, frame.pixel_spacing_mm) == (4, 5, (0.7, 0.5))
    assert frame.position_mm.tolist() == [-1, -2, 3]
    assert (frame.row_direction.tolist(), frame.column_direction.tolist()) == ([1, 0, 0], [0, 1, 0])
    assert (frame.rescale_slope, frame.rescale_intercept, frame.gantry_tilt_degrees) == (2, -1000, 0)


def test_a_frame_s_own_values_come_before_the_shared_ones() -> None:
    first, second = frames_of(enhanced(2))
    assert (first.frame_number, second.frame_number) == (1, 2)
    assert (first.position_mm[2], second.position_mm[2]) == (0, 5)
    assert (first.rescale_slope, first.rescale_intercept) == (1, -1024)
    assert (second.rescale_slope, second.rescale_intercept) == (2, -500)
    assert first.pixel_spacing_mm == second.pixel_spacing_mm == (0.7, 0.5)
    assert first.gantry_tilt_degrees == 12


def test_directions_that_are_nearly_of_length_1_are_made_so() -> None:
    frame = only(classic(ImageOrientationPatient=[0.999, 0, 0, 0, 1.001, 0]))
    assert np.linalg.norm(frame.row_direction) == pytest.approx(1)
    assert np.linalg.norm(frame.column_direction) == pytest.approx(1)


@pytest.mark.parametrize(
    ("attributes", "padding"),
    [
        ({}, None),
        ({"PixelPaddingValue": -2000}, (-2000, -2000)),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 63}, (0, 63)),
        ({"PixelPaddingValue": -1024, "PixelPaddingRangeLimit": -2000}, (-2000, -1024)),
    ],
)
def test_padding_is_a_range_whichever_end_is_named_first(
    attributes: dict[str, int], padding: tuple[int, int] | None
) -> None:
    ds = classic()
    for keyword, value in attributes.items():
        ds.add_new(keyword, "SS", value)
    assert only(ds).padding == padding


def test_a_secondary_image_counts_as_ct_if_it_has_a_place_in_space() -> None:
    ds = classic(ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    assert only(ds).position_mm.tolist() == [-1, -2, 3]
    del ds.ImagePositionPatient
    assert reason_of(ds) is Reason.DERIVED_IMAGE


@pytest.mark.parametrize("manufacturer", ["survnode", "SurvNode 0.1"])
def test_what_this_software_wrote_is_known_by_its_manufacturer(manufacturer: str) -> None:
    assert reason_of(classic(Manufacturer=manufacturer)) is Reason.OWN_OUTPUT


def test_the_words_of_a_refusal_name_the_attribute_and_what_it_holds() -> None:
    with pytest.raises(SeriesUnsuitable) as refused:
        only(classic(ImagePositionPatient=[1, 2]))
    assert refused.value.detail == "Image Position (Patient) is [1.0, 2.0], expected 3 numbers."


def test_numbers_are_listed_as_a_person_reads_them() -> None:
    assert listed(np.array([1.0, 0.0, 0.38268343])) == "1, 0, 0.3827"
