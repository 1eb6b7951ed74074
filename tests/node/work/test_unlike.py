"""A model that knows whom it was trained on, as the node serves it."""

from pathlib import Path

from pydicom import dcmread

from survnode.model.checkpoint import DEMO, load_checkpoint, save_checkpoint
from survnode.model.likeness import acquisition_of, fit_likeness
from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.results.identity import Layout
from survnode.node.results.inspection.content import texts
from survnode.node.work.pipeline import Pipeline

from ..results.conftest import a_run


def test_kernel_of_no_training_patient_stands_in_report_and_summary(tmp_path: Path) -> None:
    phantom = make_phantom(3, shape=(30, 48, 48), spacing_mm=(8.0, 8.0, 8.0))
    images = [dcmread(path) for path in write_dicom(phantom, tmp_path / "ct")]
    checkpoint = load_checkpoint(DEMO)
    known = fit_likeness([acquisition_of(images[0]).measured(slice_mm=8.0, pixel_mm=8.0)] * 100)
    model = checkpoint.card.model_copy(update={"likeness": known})
    save_checkpoint(tmp_path / "model", model, checkpoint.members)
    pipeline = Pipeline(tmp_path / "model", Layout())
    assert "unlike_training" not in pipeline.analyse(images, a_run()).summary
    for ds in images:
        ds.ConvolutionKernel = "B80s"
    outcome = pipeline.analyse(images, a_run())
    (unlike,) = outcome.summary["unlike_training"]
    assert unlike["code"] == "SCAN"
    assert "Convolution kernel: as of none of the 100 training patients." in unlike["sentence"]
    told = " ".join(texts(outcome.objects[0].dataset).split())
    assert f"WARNING: {unlike['sentence']}" in told
