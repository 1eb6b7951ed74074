"""The parts of the demonstration; the whole of it is in tests/integration/test_main_job.py."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.commands import demo
from survnode.node.errors import DemonstrationFailed, InputRefused


def test_only_ct_images_are_sent_as_a_pacs_routes_them(tmp_path: Path) -> None:
    paths = write_dicom(make_phantom(1, shape=(2, 16, 16), spacing_mm=(3.0, 16.0, 16.0)), tmp_path)
    (tmp_path / "notes.txt").write_text("no DICOM")
    other = dcmread(paths[0])
    other.SOPClassUID = SecondaryCaptureImageStorage
    other.save_as(tmp_path / "capture.dcm")
    assert demo._ct_files(tmp_path) == sorted(paths)


def test_a_folder_without_ct_is_refused_before_a_node_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(demo, "_node", started)
    with pytest.raises(InputRefused, match="holds no CT images"):
        demo.run_demo(tmp_path, tmp_path / "out")
    with pytest.raises(InputRefused, match="--objects does not know x-ray"):
        demo.run_demo(None, tmp_path / "out", ["x-ray"])


def node(folder: Path, *, exit_code: int | None) -> demo._Node:
    (folder / "node.log").write_text("".join(f"line {number}\n" for number in range(100)))
    process = SimpleNamespace(poll=lambda: exit_code)
    return demo._Node(process, folder / "data", folder / "node.log")  # type: ignore[arg-type]  # all that is asked


@pytest.mark.parametrize(("exit_code", "timeout_s"), [(1, 60.0), (None, 0.0)])
def test_a_node_that_dies_or_is_too_slow_shows_the_end_of_its_log(
    tmp_path: Path, exit_code: int | None, timeout_s: float
) -> None:
    with pytest.raises(DemonstrationFailed) as failed:
        node(tmp_path, exit_code=exit_code).await_value("life", timeout_s, lambda: None)
    assert str(failed.value).splitlines()[0] == "The node did not get as far as life. The end of its log:"
    assert str(failed.value).splitlines()[-1] == "line 99"


def test_what_is_there_is_not_waited_for(tmp_path: Path) -> None:
    assert node(tmp_path, exit_code=1).await_value("life", 0.0, lambda: 4711) == 4711


def test_what_the_pacs_got_is_kept_under_names_for_people_without_what_an_earlier_run_left(tmp_path: Path) -> None:
    home, received, out = tmp_path / "data" / "results" / "00000003", tmp_path / "pacs", tmp_path / "out"
    for folder in (home, received, out / "captures"):
        folder.mkdir(parents=True)
    (out / "captures" / "09.dcm").touch()
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 4, 5, 3, "RGB"
    ds.PlanarConfiguration, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 0, 8, 8, 7, 0
    ds.PixelData = np.zeros((4, 5, 3), np.uint8).tobytes()
    ds.save_as(received / "1.2.3.dcm", enforce_file_format=True)
    summary = {"objects": [{"file": "captures/01.dcm", "sop_instance_uid": "1.2.3"}]}
    (home / "prediction.json").write_text(json.dumps(summary))
    assert demo._keep(node(tmp_path, exit_code=None), 3, received, out) == summary
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "prediction.json", "captures/01.dcm", "previews/captures-01.png",
    }  # fmt: skip
