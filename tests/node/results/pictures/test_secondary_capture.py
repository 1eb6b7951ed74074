import numpy as np
import pytest
from pydicom import Dataset

from survnode.model.ct.arrangement import SourceImage
from survnode.node.results.envelope import Envelope, SourceStudy
from survnode.node.results.identity import Layout
from survnode.node.results.pictures.secondary_capture import secondary_capture
from survnode.node.roles import ResultRole

from ..conftest import Headers, a_model, a_run

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
SOURCES = (SourceImage("1.2.1", "1.2.3.4.1", 1), SourceImage("1.2.1", "1.2.3.4.2", 2, frame_number=7))


@pytest.fixture
def capture(source: SourceStudy) -> Dataset:
    envelope = Envelope(source, a_run(), Layout(), a_model(), "content")
    return secondary_capture(PIXELS, envelope, ResultRole.CAPTURE, 2, "rank 2 of 5", SOURCES)


def test_the_pixels_are_those_that_were_given(capture: Dataset) -> None:
    np.testing.assert_array_equal(np.frombuffer(capture.PixelData, np.uint8).reshape(4, 5, 3), PIXELS)
    assert (capture.PhotometricInterpretation, capture.InstanceNumber) == ("RGB", 2)


def test_viewers_sort_it_by_its_number_since_it_has_no_place_in_space(capture: Dataset) -> None:
    assert not {"ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"} & set(capture.dir())
    assert not capture.PatientOrientation


def test_it_names_its_sources_and_their_frames_and_says_what_it_shows(capture: Dataset) -> None:
    assert [
        (item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber")) for item in capture.SourceImageSequence
    ] == [("1.2.3.4.1", None), ("1.2.3.4.2", 7)]
    assert capture.ImageComments == capture.DerivationDescription == "rank 2 of 5"


def test_nobody_is_named_in_the_pixels_and_a_lossy_source_is_told(headers: Headers) -> None:
    lossy = SourceStudy(tuple(headers(3, LossyImageCompression="01", LossyImageCompressionRatio="10")))
    envelope = Envelope(lossy, a_run(), Layout(), a_model(), "content")
    ds = secondary_capture(PIXELS, envelope, ResultRole.CURVE, 1, "curve", SOURCES[:1])
    assert (ds.BurnedInAnnotation, ds.RecognizableVisualFeatures) == ("NO", "NO")
    assert ds.LossyImageCompression == "01"
