"""Several studies in one command, and what is refused before the model is loaded."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.commands.predict import OPTIONAL, PredictRequest, optional_roles, prepare
from survnode.node.errors import InputRefused
from survnode.node.roles import ResultRole

from ...command_line import survnode


def small(folder: Path) -> Path:
    """A CT of two slices: a study that is refused quickly."""
    write_dicom(make_phantom(1, shape=(2, 16, 16), spacing_mm=(3.0, 16.0, 16.0)), folder)
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, thorax64_series: list[Path]) -> Path:
    """A study that can be analysed, one of two slices, one whose files lack their SOP Class UID; and no study."""
    folder = tmp_path_factory.mktemp("three")
    shutil.copytree(thorax64_series[0].parent, folder / "a-thorax")
    small(folder / "b-small")
    study = generate_uid()
    for path in sorted(small(folder / "c-faulty").iterdir()):
        ds = dcmread(path)
        ds.StudyInstanceUID = study
        del ds.SOPClassUID
        ds.save_as(path)
    (folder / "d-empty").mkdir()
    return folder


def test_each_of_several_studies_has_its_results_and_a_refusal_holds_up_no_other(tmp_path: Path, three: Path) -> None:
    out = tmp_path / "out"
    done = survnode("predict", *sorted(three.iterdir()), "--out", out, "--json", "--objects", "all")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    rows = json.loads(done.stdout)
    assert [(Path(row["source"]).name, row["status"]) for row in rows] == [
        ("a-thorax", "analysed"),
        ("b-small", "not analysed"),
        ("c-faulty", "refused"),
        ("d-empty", "refused"),
    ]
    thorax, few, faulty, empty = rows
    assert 0 < thorax["survival_at_horizon_percent"] < 100
    made = {path.name for path in (out / thorax["study_instance_uid"]).iterdir()}
    assert {"summary.pdf.dcm", "lungs.dcm", "attention-report.dcm", "report.dcm", "prediction.json"} <= made
    assert few["why"].startswith("There are too few slices.")
    assert dcmread(out / few["study_instance_uid"] / "report.dcm").Modality == "SR"
    assert "no valid SOPClassUID" in faulty["why"]
    assert empty["why"] == f"There are no DICOM images in {three / 'd-empty'}, nor in the folders below."
    with (out / "studies.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == [row["status"] for row in rows]


def test_a_ct_without_sop_class_is_refused_in_one_sentence(tmp_path: Path, three: Path) -> None:
    done = survnode("predict", three / "c-faulty", "--out", tmp_path / "out", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("refused: ")
    assert done.stderr.count("\n") == 1
    assert "no valid SOPClassUID" in done.stderr


@pytest.mark.parametrize(
    ("lungs", "words"),
    [
        ("lungs.png", "The lung mask is written as .nii.gz or .nii"),
        ("folder.nii.gz", "The lung mask is a file"),
        ("file/lungs.nii.gz", "The lung mask cannot be written to"),
    ],
)
def test_a_mask_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, lungs: str, words: str) -> None:
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "file").touch()
    folder = small(tmp_path / "ct")
    request = PredictRequest([folder], tmp_path / "out", model="none", lungs=tmp_path / lungs)
    with pytest.raises(InputRefused, match=words):  # and not that there is no such model: that comes later
        prepare(request)


def test_one_mask_file_for_several_studies_is_refused(tmp_path: Path, three: Path) -> None:
    request = PredictRequest([three], tmp_path / "out", model="none", lungs=tmp_path / "lungs.nii.gz")
    with pytest.raises(InputRefused, match="there are 3 studies: --objects segmentation"):
        prepare(request)


def test_optional_objects_are_those_of_a_destinations_profile() -> None:
    assert optional_roles(["pdf", "segmentation"]) == (ResultRole.PDF, ResultRole.SEGMENTATION)
    assert optional_roles(["all"]) == OPTIONAL
    assert {role.value for role in OPTIONAL} == {"pdf", "segmentation", "attention_report"}
    for name in ("withdrawal", "report", "PDF"):
        with pytest.raises(InputRefused, match=f"--objects does not know {name}: expected pdf"):
            optional_roles([name])


def test_help_names_all_optional_objects() -> None:
    words = " ".join(survnode("predict", "--help").stdout.replace("│", " ").split())
    assert f"Also make this: {', '.join(OPTIONAL)} or all" in words
