"""The phantom is a chest, the same in every sampling, and survives the way through DICOM."""

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage

from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.model.ct.volume import load_volume, read_series
from survnode.model.phantom.phantom import Phantom, Tumour, make_phantom, write_dicom

COARSE = (100, 96, 96)
SPACING_MM = (3.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(7, shape=COARSE, spacing_mm=SPACING_MM, tumour=Tumour(20.0))


@pytest.fixture(scope="module")
def paths(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_dicom(phantom, tmp_path_factory.mktemp("phantom"))


def test_the_same_seed_gives_the_same_patient(phantom: Phantom) -> None:
    again = make_phantom(7, shape=COARSE, spacing_mm=SPACING_MM, tumour=Tumour(20.0))
    assert np.array_equal(phantom.hu, again.hu)
    assert np.array_equal(phantom.tumour_mask, again.tumour_mask)


def test_another_seed_gives_another_patient(phantom: Phantom) -> None:
    other = make_phantom(8, shape=COARSE, spacing_mm=SPACING_MM)
    assert np.mean((other.lungs > 0) != (phantom.lungs > 0)) > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_lungs_have_the_volume_of_an_adult_s_and_the_density_of_air_and_tissue(seed: int) -> None:
    phantom = make_phantom(seed, shape=COARSE, spacing_mm=SPACING_MM)
    voxel_ml = np.prod(SPACING_MM) / 1000
    for side in (1, 2):
        assert 1300 < voxel_ml * (phantom.lungs == side).sum() < 3500
        assert -890 < np.median(phantom.hu[phantom.lungs == side]) < -810


def test_right_lung_has_the_lower_columns_and_sternum_lies_in_front_of_spine(phantom: Phantom) -> None:
    columns = [np.nonzero(phantom.lungs == side)[2].mean() for side in (1, 2)]
    assert columns[0] < COARSE[2] / 2 < columns[1]
    bone = np.nonzero(phantom.hu > 250)[1]
    assert (bone > COARSE[1] / 2).sum() > 2 * (bone < COARSE[1] / 2).sum()


def test_lungs_taper_to_the_apex_and_end_on_a_higher_right_dome(phantom: Phantom) -> None:
    areas = (phantom.lungs > 0).sum(axis=(1, 2))
    shown = np.flatnonzero(areas)
    assert shown[0] > 0
    assert shown[-1] < COARSE[0] - 1
    assert areas[shown[-1]] < areas.max() / 5
    middle = [np.flatnonzero(phantom.lungs[:, 45, column] > 0)[0] for column in (32, 63)]
    assert middle[0] > middle[1]


def test_anatomy_does_not_depend_on_the_sampling(phantom: Phantom) -> None:
    fine = make_phantom(7, shape=(100, 192, 192), spacing_mm=(3.0, 2.0, 2.0), tumour=Tumour(20.0))
    assert fine.tumour == phantom.tumour
    ratio = (fine.lungs > 0).sum() * 4.0 / ((phantom.lungs > 0).sum() * 16.0)
    assert ratio == pytest.approx(1, abs=0.01)
    pooled = fine.lungs.reshape(100, 96, 2, 96, 2)[:, :, 0, :, 0] > 0
    assert np.mean(pooled == (phantom.lungs > 0)) > 0.98


@pytest.mark.parametrize("seed", range(6))
def test_tumour_has_its_volume_lies_in_a_lung_and_is_soft_tissue(seed: int) -> None:
    phantom = make_phantom(seed, shape=COARSE, spacing_mm=SPACING_MM, tumour=Tumour(15.0))
    sphere = 4 / 3 * np.pi * 15.0**3
    assert phantom.tumour_mask.sum() * np.prod(SPACING_MM) == pytest.approx(sphere, rel=0.35)
    assert np.mean(phantom.lungs[phantom.tumour_mask] > 0) > 0.5
    core = ndimage.binary_erosion(phantom.tumour_mask)
    assert np.median(phantom.hu[core]) == pytest.approx(38, abs=5)
    assert phantom.tumour_slices == range(*_ends(phantom.tumour_mask))


def _ends(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> tuple[int, int]:
    found = np.nonzero(mask)[0]
    return int(found.min()), int(found.max()) + 1


def test_tumour_stands_where_it_was_asked_for() -> None:
    phantom = make_phantom(1, shape=COARSE, spacing_mm=SPACING_MM, tumour=Tumour(16.0, (20.0, 10.0, -80.0)))
    centre = (np.mean(np.nonzero(phantom.tumour_mask), axis=1) - (np.array(COARSE) - 1) / 2) * SPACING_MM
    assert centre == pytest.approx((20.0, 10.0, -80.0), abs=3)


def test_without_a_tumour_no_slice_shows_one() -> None:
    assert len(make_phantom(1, shape=COARSE, spacing_mm=SPACING_MM).tumour_slices) == 0


def test_volume_read_back_from_dicom_is_the_phantom_whatever_the_order(phantom: Phantom, paths: list[Path]) -> None:
    volume = load_volume(read_series(paths[::-1]))
    assert np.array_equal(volume.hu, phantom.hu)
    assert volume.spacing_mm == pytest.approx(SPACING_MM)
    assert volume.directions == pytest.approx(np.eye(3))
    assert volume.origin_mm == pytest.approx((-190, -190, -148.5))


def test_uids_are_valid_unique_and_the_same_every_time(phantom: Phantom, paths: list[Path], tmp_path: Path) -> None:
    again = write_dicom(phantom, tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]
    uids = [dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in paths]
    assert len(set(uids)) == len(paths)
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)


def test_another_series_shares_study_and_frame_of_reference(
    phantom: Phantom, paths: list[Path], tmp_path: Path
) -> None:
    first, second = dcmread(paths[0]), dcmread(write_dicom(phantom, tmp_path / "2", series_number=2)[0])
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    third = dcmread(write_dicom(phantom, tmp_path / "3", study="2")[0])
    assert third.StudyInstanceUID != first.StudyInstanceUID


def test_phantom_does_not_pass_for_this_software_s_own_output(paths: list[Path]) -> None:
    assert OWN_MANUFACTURER not in str(dcmread(paths[0]).Manufacturer).lower()


def test_slices_follow_each_other_to_the_head(paths: list[Path]) -> None:
    heights = [float(dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]) for path in paths]
    assert all(above - below == pytest.approx(3.0) for below, above in pairwise(heights))


def test_dciodvfy_finds_no_fault(paths: list[Path]) -> None:
    program = shutil.which("dciodvfy", path=str(Path(sys.executable).parent)) or shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    done = subprocess.run([program, paths[50]], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]
    assert complaints == []
