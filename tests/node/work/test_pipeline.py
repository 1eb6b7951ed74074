"""Every refusal, from images that deserve it to the report that says so."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom import Dataset, dcmread

from survnode.model.checkpoint import checkpoint_folder
from survnode.model.ct.selection import choose
from survnode.model.errors import Reason
from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node import errors
from survnode.node.results.identity import Layout
from survnode.node.results.inspection.content import content_items, numbers, texts
from survnode.node.work.pipeline import AnalysisOutcome, Pipeline

from ..results.conftest import Judge, a_run, dciodvfy, write

__all__ = ["dciodvfy"]  # a fixture

Spoil = Callable[[list[Dataset]], Sequence[Dataset] | None]
SLICES = 30


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(checkpoint_folder("demo"), Layout())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    phantom = make_phantom(3, shape=(SLICES, 48, 48), spacing_mm=(8.0, 8.0, 8.0))
    return write_dicom(phantom, tmp_path_factory.mktemp("ct"))


def every(**values: object) -> Spoil:
    def spoil(images: list[Dataset]) -> None:
        for ds in images:
            for keyword, value in values.items():
                setattr(ds, keyword, value)

    return spoil


def one(**values: object) -> Spoil:
    return lambda images: every(**values)(images[5:6])


def without(keyword: str) -> Spoil:
    return lambda images: delattr(images[5], keyword)


def coronal(images: list[Dataset]) -> None:
    for ds in images:
        _, _, z = ds.ImagePositionPatient
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, z, 0], [1, 0, 0, 0, 0, -1]


def at_one_place(images: list[Dataset]) -> None:
    images[5].ImagePositionPatient = images[6].ImagePositionPatient


def of_water(images: list[Dataset]) -> None:
    for ds in images:
        ds.PixelData = np.full((ds.Rows, ds.Columns), 1024, np.int16).tobytes()


SPOILT: dict[Reason, Spoil] = {
    Reason.NO_ELIGIBLE_SERIES: every(SeriesNumber=[1, 2]),
    Reason.NOT_CT: every(Modality="MR"),
    Reason.LOCALIZER: every(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    Reason.DERIVED_IMAGE: every(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]),
    Reason.OWN_OUTPUT: every(Manufacturer="survnode"),
    Reason.LOSSY_COMPRESSION: one(LossyImageCompression="01"),
    Reason.TOO_FEW_SLICES: lambda images: images[:7],
    Reason.NOT_AXIAL: coronal,
    Reason.GANTRY_TILT: every(GantryDetectorTilt=12),
    Reason.MIXED_ORIENTATION: one(ImageOrientationPatient=[0, 1, 0, -1, 0, 0]),
    Reason.MIXED_SIZE: one(PixelSpacing=[0.7, 0.6]),
    Reason.MIXED_FRAMES_OF_REFERENCE: one(FrameOfReferenceUID="1.2.10"),
    Reason.MISSING_GEOMETRY: without("ImagePositionPatient"),
    Reason.DUPLICATE_POSITIONS: at_one_place,
    Reason.IRREGULAR_SPACING: lambda images: images[:10] + images[11:],
    Reason.MISSING_RESCALE: without("RescaleSlope"),
    Reason.TOO_LARGE: every(Rows=65535, Columns=65535),
    Reason.UNREADABLE_PIXELS: one(PixelData=b"\0\0"),
    Reason.NO_LUNGS: of_water,
    Reason.LUNGS_INCOMPLETE: lambda images: images[9:],
}


def outcome_of(pipeline: Pipeline, images: Sequence[Dataset]) -> AnalysisOutcome:
    """As the node does it: a study is judged by its headers, and analysed if it can be."""
    choice = choose({str(images[0].SeriesInstanceUID): images}, spacing_mm=3.0)
    if choice.reason is not None:
        return pipeline.refuse(images, choice.reason, choice.detail, a_run())
    return pipeline.analyse(images, a_run())


def test_no_reason_is_left_out() -> None:
    assert set(SPOILT) == set(Reason) - {Reason.NOTHING_KNOWN}  # of a table, not of images: see test_beside


def test_the_images_are_analysed_while_nothing_is_spoilt(pipeline: Pipeline, files: list[Path]) -> None:
    assert outcome_of(pipeline, [dcmread(path) for path in files]).reason is None


@pytest.mark.parametrize("reason", SPOILT)
def test_what_cannot_be_analysed_gets_a_valid_report_that_says_why(
    reason: Reason, pipeline: Pipeline, files: list[Path], dciodvfy: Judge, tmp_path: Path
) -> None:
    images: list[Dataset] = [dcmread(path) for path in files]
    images = list(SPOILT[reason](images) or images)
    outcome = outcome_of(pipeline, images)
    assert outcome.reason is reason
    (report,) = outcome.objects
    coded = [item for item in content_items(report.dataset) if "ConceptCodeSequence" in item]
    assert reason.sentence.rstrip(".") in {item.ConceptCodeSequence[0].CodeMeaning for item in coded}
    assert f"Reason: {reason.sentence}" in texts(report.dataset)
    assert outcome.detail in texts(report.dataset)
    assert list(numbers(report.dataset)) == []
    assert outcome.summary["reason"] == reason.value
    assert dciodvfy(*write([report], tmp_path)) == []


def test_a_device_that_fails_is_told_from_a_study_that_does(
    pipeline: Pipeline, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(pipeline.predictor, "preprocess", fail)
    with pytest.raises(errors.DeviceLost, match=r"The device cpu failed\."):
        pipeline.analyse([dcmread(path) for path in files], a_run())


def test_a_device_that_has_gone_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(errors.DeviceMissing, match="does not have the device cuda:63"):
        Pipeline(tmp_path, Layout(), "cuda:63")
