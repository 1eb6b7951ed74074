"""What is found in folders, and what is refused before any work."""

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.commands.study_folders import make_folder, studies_in
from survnode.node.errors import InputRefused


def phantom(folder: Path, seed: int = 1) -> list[Path]:
    return write_dicom(make_phantom(seed, shape=(2, 16, 16), spacing_mm=(3.0, 16.0, 16.0)), folder)


def test_studies_are_told_apart_wherever_their_files_lie(tmp_path: Path) -> None:
    phantom(tmp_path / "one")
    for number, path in enumerate(phantom(tmp_path / "two", seed=2)):
        shutil.move(path, tmp_path / "one" / f"two-{number}")
    first, second = studies_in([tmp_path])
    assert [len(study.headers) for study in (first, second)] == [2, 2]
    assert first.study_instance_uid != second.study_instance_uid
    assert first.folder == tmp_path / "one"


def test_a_file_below_two_of_the_folders_is_taken_once(tmp_path: Path) -> None:
    phantom(tmp_path / "one")
    (study,) = studies_in([tmp_path, tmp_path / "one"])
    assert len(study.headers) == 2


def test_a_second_copy_of_an_image_is_not_a_second_slice(tmp_path: Path) -> None:
    phantom(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (study,) = studies_in([tmp_path])
    assert study.folder == tmp_path / "one"
    assert len(study.headers) == 2


def test_what_is_no_dicom_image_is_passed_over(tmp_path: Path) -> None:
    phantom(tmp_path)
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "bytes.dcm").write_bytes(b"\0" * 128 + b"DICM" + bytes(range(256)))
    (tmp_path / "empty.dcm").touch()
    (study,) = studies_in([tmp_path])
    assert (len(study.headers), study.fault) == (2, "")


@pytest.mark.parametrize("value", [None, "", "../../etc", "..", "1.2.x", "1" * 65])
@pytest.mark.parametrize("keyword", ["SOPClassUID", "StudyInstanceUID"])
def test_a_study_with_an_invalid_uid_is_refused_by_its_file(tmp_path: Path, keyword: str, value: str | None) -> None:
    for path in phantom(tmp_path):
        ds = dcmread(path)
        with disable_value_validation():
            if value is None and keyword == "SOPClassUID":
                del ds[keyword]
            else:
                ds[keyword].value = value or ""
            ds.save_as(path)
    (study,) = studies_in([tmp_path])
    assert study.fault.startswith(str(tmp_path))
    assert f"has no valid {keyword}, which every DICOM image needs" in study.fault


def test_a_folder_without_images_is_named_after_the_studies_of_the_others(tmp_path: Path) -> None:
    phantom(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    (tmp_path / "empty").mkdir()
    study, nothing = studies_in([tmp_path / "one", tmp_path / "empty", tmp_path / "copy"])
    assert (study.folder, study.fault) == (tmp_path / "one", "")
    assert nothing.folder == tmp_path / "empty"
    assert nothing.fault == f"There are no DICOM images in {tmp_path / 'empty'}, nor in the folders below."


def test_no_study_is_refused_with_the_folders_that_were_named(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=f"no DICOM images in {tmp_path}"):
        studies_in([tmp_path])


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputRefused, match=r"The results cannot be written to .*/file/out: Not a directory\."):
        make_folder(tmp_path / "file" / "out", "The results")
    make_folder(tmp_path / "new" / "out", "The results")
    assert (tmp_path / "new" / "out").is_dir()
