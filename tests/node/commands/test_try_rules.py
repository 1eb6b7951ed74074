import json
from pathlib import Path

import pytest
from pydicom import dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from survnode.node.cli import app
from survnode.node.commands.try_rules import Fate, foresee, lines_of
from survnode.node.config import NodeConfig, load_config
from survnode.node.errors import InputRefused

from ..conftest import MakeCT

CONFIG = """
data_dir = "data"
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = 104
[[destinations]]
name = "research"
ae_title = "RESEARCH"
host = "127.0.0.1"
port = 105
[[rules]]
name = "trial"
calling_ae_title = "CT4*"
destinations = ["research"]
[[rules]]
name = "no-children"
max_age_years = 17
action = "ignore"
"""

pytestmark = pytest.mark.usefixtures("three_slices_are_enough")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "survnode.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def config(path: Path) -> NodeConfig:
    return load_config(path)


@pytest.fixture
def folder(tmp_path: Path, make_ct: MakeCT) -> Path:
    """A chest, a child's chest, a head, an RTSTRUCT alone, and a file that is none of DICOM."""
    folder = tmp_path / "studies"
    folder.mkdir()
    studies = [
        *(make_ct(n, study="1.1", series="1.1.1") for n in (1, 2, 3)),
        *(make_ct(n, study="1.2", series="1.2.1", PatientAge="007Y") for n in (1, 2, 3)),
        *(make_ct(n, study="1.3", series="1.3.1", BodyPartExamined="HEAD") for n in (1, 2)),
        make_ct(1, study="1.4", series="1.4.1", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3", Modality="RTSTRUCT"),
        make_ct(9, study="1.1", series="1.1.9", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.67", Modality="SR"),
    ]
    for number, ds in enumerate(studies):
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dcmwrite(folder / f"{number}", ds, enforce_file_format=True)
    (folder / "notes.txt").write_text("nothing")
    return folder


def test_each_study_is_told_what_would_become_of_it(folder: Path, config: NodeConfig) -> None:
    chest, child, head, struct = foresee(folder, config, "PACS", "SURVNODE")
    assert (chest.fate, chest.rule, chest.series_instance_uid) == (Fate.ANALYSED, "", "1.1.1")
    assert (chest.destinations, chest.other) == (("pacs", "research"), {"X-Ray Radiation Dose SR Storage": 1})
    assert (child.fate, child.rule, child.destinations) == (Fate.IGNORED, "no-children", ())
    assert (head.fate, "headers name no chest" in head.detail) == (Fate.IGNORED, True)
    assert (struct.fate, struct.detail) == (Fate.IGNORED, "It holds no CT, but 1 RT Structure Set Storage.")


def test_who_sends_it_decides(folder: Path, config: NodeConfig) -> None:
    chest, child, _, _ = foresee(folder, config, "CT4B", "SURVNODE")
    assert (chest.rule, chest.destinations) == ("trial", ("research",))
    assert (child.rule, child.fate) == ("trial", Fate.ANALYSED)  # the first that fits


def test_what_a_person_reads_names_rule_series_and_destinations(folder: Path, config: NodeConfig) -> None:
    text = "\n".join(line for study in foresee(folder, config, "CT4B", "SURVNODE") for line in lines_of(study))
    for words in ("by rule trial", "series 1.1.1, 3 images: chosen", "results go to: research"):
        assert words in text


def test_a_folder_without_dicom_is_refused(tmp_path: Path, config: NodeConfig) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputRefused, match="There are no DICOM files in"):
        foresee(tmp_path / "empty", config, "", "")


def test_the_command_prints_json(folder: Path, path: Path) -> None:
    done = CliRunner().invoke(app, ["rules", "test", str(folder), "--config", str(path), "--calling", "CT4", "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert [study["fate"] for study in found] == ["analysed", "analysed", "ignored", "ignored"]
    assert found[0]["series"][0]["chosen"] is True


def test_the_command_writes_nothing(folder: Path, path: Path) -> None:
    before = sorted(path.parent.rglob("*"))
    CliRunner().invoke(app, ["rules", "test", str(folder), "--config", str(path)])
    assert sorted(path.parent.rglob("*")) == before
