"""The CT of a folder: of one study, the series that the node would take."""

from pathlib import Path

import numpy as np
import pytest

from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.model.phantom.phantom import Phantom, make_phantom, write_dicom
from survnode.train.cohorts.errors import OneCtExpected, TreeMissing
from survnode.train.cohorts.one_ct import read_one_ct


def phantom(slices: int, seed: int = 1) -> Phantom:
    return make_phantom(seed, shape=(slices, 8, 8), spacing_mm=(6.0, 40.0, 40.0))


def test_the_longer_series_of_a_study_is_read(tmp_path: Path) -> None:
    write_dicom(phantom(20), tmp_path / "short", patient_id="P", study="s", series_number=1)
    longer = phantom(30)
    write_dicom(longer, tmp_path / "long", patient_id="P", study="s", series_number=2)
    volume = read_one_ct(tmp_path, 3.0)
    assert np.array_equal(volume.hu, longer.hu)
    assert volume.spacing_mm == (6.0, 40.0, 40.0)


def test_a_folder_without_ct_or_with_several_studies_is_refused_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(OneCtExpected, match="holds no CT"):
        read_one_ct(tmp_path, 3.0)
    for seed in (1, 2):
        write_dicom(phantom(2, seed), tmp_path / str(seed), patient_id=f"SECRET-{seed}")
    with pytest.raises(OneCtExpected, match="holds 2 studies with CT") as refusal:
        read_one_ct(tmp_path, 3.0)
    assert "SECRET" not in str(refusal.value)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TreeMissing, match="is not a folder"):
        read_one_ct(tmp_path / "absent", 3.0)


def test_ct_that_cannot_be_analysed_is_refused_with_its_reason(tmp_path: Path) -> None:
    write_dicom(phantom(3), tmp_path)
    with pytest.raises(SeriesUnsuitable) as refusal:
        read_one_ct(tmp_path, 3.0)
    assert refusal.value.reason is Reason.TOO_FEW_SLICES
