"""A model that takes values beside the images, as the node serves it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom import Dataset, dcmread
from typer.testing import CliRunner

from survnode.model.checkpoint import DEMO, load_checkpoint, save_checkpoint
from survnode.model.covariates import Covariate, CovariateKind, columns_of
from survnode.model.errors import CheckpointRefused, Reason
from survnode.model.net.beside import BesideConfig
from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.cli import app
from survnode.node.results.envelope import ResultObject
from survnode.node.results.identity import Layout
from survnode.node.roles import ResultRole
from survnode.node.state.site_table import SiteTable
from survnode.node.work.pipeline import Pipeline

from ..results.conftest import a_run

COVARIATES = (
    Covariate(name="age", kind=CovariateKind.NUMBER, unit="years", percentiles=(40, 50, 60, 65, 70, 75, 80)),
    Covariate(name="sex", kind=CovariateKind.CATEGORY, levels=("female", "male")),
    Covariate(name="hb", kind=CovariateKind.NUMBER, unit="g/dl", percentiles=(7, 8, 9, 11, 12, 13, 15)),
)


def checkpoint(folder: Path, *, absent: float = 0.3) -> Path:
    """The demonstration model's description, with a head that sees values too; its weights are random."""
    card = load_checkpoint(DEMO).card
    beside = BesideConfig(columns=columns_of(COVARIATES), absent=absent)
    config = NetworkConfig.model_validate({**card.network, "beside": beside})
    torch.manual_seed(0)
    net = SurvivalNet(config)
    net.encoder.load_pretrained()
    assert net.beside is not None
    net.beside.learn_scale(torch.tensor([[60.0, 1, 0, 10], [70.0, 0, 1, 12], [65.0, 0, 1, 14]]))
    with torch.no_grad():
        net.head.bins.weight.mul_(8)  # so that a prediction depends on what is known
    state = {name: tensor.numpy() for name, tensor in net.trained_state().items()}
    changed = {"network": config.model_dump(mode="json"), "covariates": COVARIATES}
    save_checkpoint(folder, card.model_copy(update=changed), (state,))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model") / "hybrid")


@pytest.fixture
def images(tmp_path: Path) -> list[Dataset]:
    phantom = make_phantom(3, shape=(30, 48, 48), spacing_mm=(8.0, 8.0, 8.0))
    images: list[Dataset] = [dcmread(path) for path in write_dicom(phantom, tmp_path / "ct")]
    for ds in images:
        ds.PatientID, ds.PatientAge, ds.PatientSex = "P-1", "091Y", "F"
        ds.save_as(str(ds.filename))
    return images


def site(folder: Path) -> SiteTable:
    path = folder / "site.csv"
    path.write_text("PatientID,hb [g/dl],sex\nP-1,11.5,unclear words\n", encoding="utf-8")
    return SiteTable(path)


def words(outcome_objects: Sequence[ResultObject]) -> str:
    (report,) = [item.dataset for item in outcome_objects if item.role is ResultRole.REPORT]
    return " ".join(str(element.value) for element in report.iterall() if element.VR == "UT")


def test_report_names_each_value_its_source_and_what_was_missing(
    model: Path, images: list[Dataset], tmp_path: Path
) -> None:
    outcome = Pipeline(model, Layout(), site=site(tmp_path)).analyse(images, a_run())
    told = " ".join(words(outcome.objects).split())
    assert "age [years]: 91 (from the CT's header). The model was trained on 40 to 80: this value lies outside." in told
    assert "sex: female (from the CT's header)." in told
    assert "hb [g/dl]: 11.5 (from the table site.csv)." in told
    assert "unclear words" not in told
    age = outcome.summary["beside"][0]
    assert (age["value"], age["source"], age["outside_training"]) == (91.0, "the CT's header", True)
    without = Pipeline(model, Layout()).analyse(images, a_run())
    assert "hb [g/dl]: missing." in " ".join(words(without.objects).split())
    assert not np.allclose(outcome.summary["survival_percent"], without.summary["survival_percent"])


def test_model_that_cannot_do_without_refuses_with_its_reason(images: list[Dataset], tmp_path: Path) -> None:
    needy = Pipeline(checkpoint(tmp_path / "needy", absent=0.0), Layout())
    assert needy.analyse(images, a_run()).reason is None  # the header knows age and sex
    for ds in images:
        ds.PatientAge = ds.PatientSex = ds.PatientBirthDate = ""
    refused = needy.analyse(images, a_run())
    assert refused.reason is Reason.NOTHING_KNOWN
    assert "hb [g/dl]" in refused.detail


def test_checkpoint_whose_description_is_another_networks_is_refused(model: Path, tmp_path: Path) -> None:
    stored = load_checkpoint(model)
    save_checkpoint(tmp_path, stored.card.model_copy(update={"covariates": COVARIATES[:2]}), stored.members)
    with pytest.raises(CheckpointRefused, match="columns beside the image"):
        Pipeline(tmp_path, Layout())


def test_command_takes_a_table_and_refuses_one_that_lacks_what_the_model_takes(
    model: Path, images: list[Dataset], tmp_path: Path
) -> None:
    assert images
    words_ = ["predict", str(tmp_path / "ct"), "--model", str(model), "--out", str(tmp_path / "out"), "--features"]
    lacking = tmp_path / "lacking.csv"
    lacking.write_text("PatientID,hb\nP-1,9\n", encoding="utf-8")
    refused = CliRunner().invoke(app, [*words_, str(lacking)])
    assert refused.exit_code == 1
    whole = tmp_path / "whole.csv"
    whole.write_text("PatientID,age,sex,hb\nP-1,77,male,9.5\n", encoding="utf-8")
    assert CliRunner().invoke(app, [*words_, str(whole)]).exit_code == 0
    beside = json.loads((tmp_path / "out" / "prediction.json").read_text())["beside"]
    assert [value["value"] for value in beside] == [77.0, "male", 9.5]
