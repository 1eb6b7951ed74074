"""``survnode stress`` as a person uses it, on a coarse phantom and the demonstration's heads on coarse slices."""

import csv
import json
from pathlib import Path

import pytest

from survnode.model.checkpoint import checkpoint_folder, load_checkpoint, save_checkpoint
from survnode.model.ct.preprocess import Preprocessing
from survnode.model.errors import Reason
from survnode.model.phantom.phantom import Tumour, make_phantom, write_dicom

from ...command_line import Ended, survnode

NAME = "SECRET^PATIENT"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, a CT, and the results that the fixture ``done`` adds."""
    folder = tmp_path_factory.mktemp("stress")
    demo = load_checkpoint(checkpoint_folder("demo"))
    coarse = Preprocessing(spacing_mm=(12.0, 4.0, 4.0), size=32)
    save_checkpoint(folder / "model", demo.card.model_copy(update={"preprocessing": coarse}), demo.members)
    phantom = make_phantom(5, shape=(40, 90, 90), spacing_mm=(9.0, 5.0, 5.0), tumour=Tumour(25.0))
    write_dicom(phantom, folder / "ct", patient_id="SECRET-ID", patient_name=NAME)
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Ended:
    return survnode("stress", folder / "model", "--ct", folder / "ct", "--out", folder / "out", "--json")


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "stress.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_table_and_figure_are_written_and_what_is_shown_is_what_is_written(folder: Path, done: Ended) -> None:
    assert (done.returncode, sorted(path.name for path in (folder / "out").iterdir())) == (
        0,
        ["stress.csv", "stress.png", "stress.svg"],
    )
    shown, written = json.loads(done.stdout), rows_of(folder)
    assert [row["disturbance"] for row in shown["disturbances"]] == [row["disturbance"] for row in written]
    assert {row["survival before"] for row in written} == {str(shown["survival"][-1])}
    told = [row for row in written if not row["reason"]]
    assert len(told) >= 12
    for row in told:
        moved = float(row["survival after"]) - float(row["survival before"])
        assert float(row["change"]) == pytest.approx(moved, abs=1e-9)
        assert abs(float(row["largest change over the months"])) >= abs(float(row["change"]))


def test_a_crop_that_cuts_the_lungs_is_told_as_refused_with_its_reason(folder: Path, done: Ended) -> None:
    assert done.returncode == 0
    reasons = {(row["disturbance"], float(row["strength"])): row["reason"] for row in rows_of(folder)}
    assert reasons["top of the stack", -60.0] == Reason.LUNGS_INCOMPLETE
    assert reasons["base of the stack", -60.0] == Reason.LUNGS_INCOMPLETE
    assert reasons["top of the stack", 5.0] == ""
    assert reasons["noise", 10.0] == ""


def test_no_identity_is_shown_or_written(folder: Path, done: Ended) -> None:
    written = b"".join(path.read_bytes() for path in (folder / "out").iterdir())
    for word in ("SECRET", "2.25."):
        assert word.encode() not in written
    assert "SECRET" not in done.stdout + done.stderr


@pytest.mark.parametrize(("place", "said"), [("absent", "is not a folder"), ("model", "holds no CT")])
def test_a_wrong_folder_is_refused_in_words(folder: Path, place: str, said: str) -> None:
    ended = survnode("stress", folder / "model", "--ct", folder / place)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_that_is_no_checkpoint_is_refused_in_words(folder: Path) -> None:
    ended = survnode("stress", folder / "ct", "--ct", folder / "ct")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("refused: ")
