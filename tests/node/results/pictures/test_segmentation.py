from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from survnode.model.ct.volume import Volume, load_volume
from survnode.node.results.bundle import analysed
from survnode.node.results.envelope import Envelope, ResultObject, SourceStudy
from survnode.node.results.identity import Layout
from survnode.node.results.pictures.segmentation import segmentation
from survnode.node.roles import ResultRole

from ..conftest import Geometry, Judge, a_model, a_prediction, a_run, placed_headers, write

ORIENTATIONS = {
    "as usual": Geometry(),
    "head first": Geometry(step_mm=-3.0),
    "columns from left": Geometry(row=(-1, 0, 0)),
    "rows from the back": Geometry(column=(0, -1, 0)),
    "prone": Geometry(row=(-1, 0, 0), column=(0, -1, 0)),
    "transposed": Geometry(row=(0, 1, 0), column=(1, 0, 0)),
    "transposed and turned": Geometry(row=(0, -1, 0), column=(1, 0, 0), step_mm=-3.0),
}

AssociationLimit = set[tuple[float, float, float]]


def segmented(datasets: list[Dataset], volume: Volume | None = None) -> Dataset:
    """The segmentation of what has HU 1 and 2."""
    volume = volume or load_volume(datasets)
    lungs = np.clip(volume.hu, 0, 2).astype(np.uint8)
    return segmentation(lungs, Envelope(SourceStudy(tuple(datasets)), a_run(), Layout(), a_model(), "content")).dataset


def places_in_source(datasets: list[Dataset], hu: int) -> AssociationLimit:
    """LPS positions, mm, of the stored pixels of value ``hu``, from each image's own header (PS3.3 C.7.6.2.1.1)."""
    return {
        place
        for ds in datasets
        for place in places(ds.pixel_array == hu, ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing)
    }


def places_in_segment(ds: Dataset, number: int) -> AssociationLimit:
    """LPS positions, mm, of the pixels of one segment, from the object's own functional groups."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    found: AssociationLimit = set()
    for frame, group in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
            found |= set(places(frame > 0, group.PlanePositionSequence[0].ImagePositionPatient, orientation, spacing))
    return found


def places(
    mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]], position: object, orientation: object, spacing: object
) -> Iterator[tuple[float, float, float]]:
    corner, directions = np.array(position, float), np.array(orientation, float)
    down_mm, across_mm = np.array(spacing, float)
    for row, column in np.argwhere(mask):
        x, y, z = (corner + directions[:3] * across_mm * column + directions[3:] * down_mm * row).round(3)
        yield float(x), float(y), float(z)


@pytest.mark.parametrize("geometry", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_each_lung_lies_where_it_lies_in_the_ct_however_that_was_stored(geometry: Geometry) -> None:
    datasets = placed_headers(geometry)
    ds = segmented(datasets)
    for number in (1, 2):
        expected = places_in_source(datasets, number)
        assert len(expected) > 100
        assert places_in_segment(ds, number) == expected


@pytest.mark.parametrize("geometry", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_frames_have_the_matrix_and_the_orientation_of_the_images_that_they_name(geometry: Geometry) -> None:
    datasets = placed_headers(geometry)
    ds, sources = segmented(datasets), {str(ds.SOPInstanceUID): ds for ds in datasets}
    orientation = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    for group in ds.PerFrameFunctionalGroupsSequence:
        reference = group.DerivationImageSequence[0].SourceImageSequence[0]
        source = sources[reference.ReferencedSOPInstanceUID]
        assert reference.ReferencedSOPClassUID == CTImageStorage
        assert group.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
        assert (list(orientation), ds.Rows, ds.Columns) == (list(source.ImageOrientationPatient), 24, 32)


def test_right_and_left_are_named_and_coded() -> None:
    right, left = segmented(placed_headers(Geometry())).SegmentSequence
    for segment, label, side in ((right, "Right lung", "24028007"), (left, "Left lung", "7771000")):
        assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == (label, "AUTOMATIC")
        (lung,) = segment.SegmentedPropertyTypeCodeSequence
        assert (lung.CodeValue, lung.CodingSchemeDesignator) == ("39607008", "SCT")
        assert lung.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == side


def test_it_names_every_image_of_the_series_once() -> None:
    (series,) = segmented(placed_headers(Geometry())).ReferencedSeriesSequence
    assert len({item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}) == 24


def test_the_same_mask_gives_the_same_bytes_and_another_mask_another_uid() -> None:
    datasets = placed_headers(Geometry())
    volume = load_volume(datasets)
    first, again = segmented(datasets, volume), segmented(list(reversed(datasets)), volume)
    volume.hu[12, 0, 0] = 1
    other = segmented(datasets, volume)
    encoded = [ResultObject(ResultRole.SEGMENTATION, ds).encode() for ds in (first, again)]
    assert encoded[0] == encoded[1]
    assert {other.SOPInstanceUID, other.SeriesInstanceUID}.isdisjoint({first.SOPInstanceUID, first.SeriesInstanceUID})


def test_without_a_mask_or_unless_wanted_there_is_none() -> None:
    datasets = placed_headers(Geometry())
    volume, source = load_volume(datasets), SourceStudy(tuple(datasets))
    wanted = Layout(optional=frozenset({ResultRole.SEGMENTATION}))
    lungs = np.ones(volume.hu.shape, np.uint8)
    for layout, mask, expected in ((wanted, lungs, 1), (wanted, None, 0), (Layout(), lungs, 0)):
        made = analysed(source, volume, a_prediction(volume.images), a_run(), layout, mask)
        assert sum(item.role is ResultRole.SEGMENTATION for item in made) == expected


def test_frames_of_a_multi_frame_ct_are_named_by_their_number(
    dciodvfy: Judge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    singles = placed_headers(Geometry(row=(-1, 0, 0)))
    ds = segmented([as_multi_frame(singles)])
    assert places_in_segment(ds, 1) == places_in_source(singles, 1)
    for group in ds.PerFrameFunctionalGroupsSequence:
        reference = group.DerivationImageSequence[0].SourceImageSequence[0]
        frame = reference.ReferencedFrameNumber
        assert reference.ReferencedSOPClassUID == EnhancedCTImageStorage
        assert group.PlanePositionSequence[0].ImagePositionPatient == singles[frame - 1].ImagePositionPatient
    assert dciodvfy(*write([ResultObject(ResultRole.SEGMENTATION, ds)], tmp_path_factory.mktemp("seg"))) == []


def test_a_source_without_a_frame_of_reference_gets_none(
    dciodvfy: Judge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    datasets = placed_headers(Geometry())
    for ds in datasets:
        del ds.FrameOfReferenceUID
    made = segmented(datasets)
    assert "FrameOfReferenceUID" not in made
    assert places_in_segment(made, 2) == places_in_source(datasets, 2)
    assert dciodvfy(*write([ResultObject(ResultRole.SEGMENTATION, made)], tmp_path_factory.mktemp("seg"))) == []


def as_multi_frame(singles: list[Dataset]) -> Dataset:
    """The same images as one Enhanced CT instance."""
    ds = deepcopy(singles[0])
    ds.SOPClassUID, ds.SOPInstanceUID, ds.NumberOfFrames = EnhancedCTImageStorage, "1.2.3.4.77", len(singles)
    shared, values, orientation, measures = Dataset(), Dataset(), Dataset(), Dataset()
    values.RescaleSlope, values.RescaleIntercept = 1, 0
    orientation.ImageOrientationPatient, measures.PixelSpacing = ds.ImageOrientationPatient, ds.PixelSpacing
    shared.PixelValueTransformationSequence = [values]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for single in singles:
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = single.ImagePositionPatient
        group.PlanePositionSequence = [position]
        ds.PerFrameFunctionalGroupsSequence.append(group)
    ds.PixelData = b"".join(single.PixelData for single in singles)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(ds, keyword)
    return ds
