"""The lungs are found on real and made-up chests, and nowhere else."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from lungmask.resunet import UNet
from numpy.typing import NDArray

from survnode.model.ct.lungs import R231_FILE, LungMethod, lung_segmenter
from survnode.model.ct.volume import Mask, Volume, load_volume, read_series
from survnode.model.errors import Reason, SeriesUnsuitable, WeightsChanged, WeightsMissing
from survnode.model.phantom.phantom import Phantom, Tumour, make_phantom

Array = NDArray[np.float32]
_T = TypeVar("_T", bound=np.generic)
Spacing = tuple[float, float, float]

COARSE, SPACING_MM = (100, 192, 192), (3.0, 2.0, 2.0)
MIN_DICE = 0.95


def find_lungs(hu: NDArray[np.generic], spacing_mm: Spacing = SPACING_MM) -> Mask:
    return lung_segmenter(LungMethod.THRESHOLD)(hu.astype(np.float32), spacing_mm)


def dice(found: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    one, other = found.astype(bool), truth.astype(bool)
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def dices(found: Mask, truth: Mask) -> tuple[float, float, float]:
    """Of both lungs, the right and the left."""
    return dice(found > 0, truth > 0), dice(found == 1, truth == 1), dice(found == 2, truth == 2)


def on_grid(volume: Volume, array: NDArray[_T], interpolation: int, spacing_mm: Spacing) -> NDArray[_T]:
    """``array`` in the geometry of ``volume``, resampled by SimpleITK."""
    image = volume.as_image(array)
    steps = spacing_mm[::-1]
    size = [
        int((n - 1) * old / new) + 1 for n, old, new in zip(image.GetSize(), image.GetSpacing(), steps, strict=True)
    ]
    args = (size, sitk.Transform(), interpolation, image.GetOrigin(), steps, image.GetDirection())
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, *args)), array.dtype)


def reference(volume: Volume, path: Path) -> Mask:
    """A stored mask brought to the volume's voxels by its own position in space."""
    if not path.is_file():
        pytest.skip(f"there is no {path.name}")
    image = sitk.ReadImage(str(path))
    return np.asarray(
        sitk.GetArrayFromImage(sitk.Resample(image, volume.as_image(), sitk.Transform(), sitk.sitkNearestNeighbor)),
        np.uint8,
    )


@pytest.fixture(scope="module")
def lung1(lung1_series: list[Path], shared_data: Path) -> tuple[Volume, Mask]:
    volume = load_volume(read_series(lung1_series))
    return volume, reference(volume, shared_data / "masks" / "LUNG1-001_lungs_from_rtstruct.nii.gz")


@pytest.fixture(scope="module")
def thorax64(thorax64_series: list[Path], shared_data: Path) -> tuple[Volume, Mask]:
    volume = load_volume(read_series(thorax64_series))
    return volume, reference(volume, shared_data / "thorax-64" / "lungs.nrrd")


@pytest.fixture(scope="module")
def chest() -> Phantom:
    return make_phantom(1, shape=COARSE, spacing_mm=SPACING_MM)


def test_lung1_patient_agrees_with_the_contours_on_the_scanner_s_grid(
    lung1: tuple[Volume, Mask],
) -> None:
    volume, truth = lung1
    assert min(dices(find_lungs(volume.hu, volume.spacing_mm), truth)) >= MIN_DICE


def test_lung1_patient_agrees_with_the_contours_on_the_model_s_grid(lung1: tuple[Volume, Mask]) -> None:
    volume, truth = lung1
    grid = (3.0, 1.0, 1.0)
    hu = on_grid(volume, volume.hu, sitk.sitkLinear, grid)
    assert min(dices(find_lungs(hu, grid), on_grid(volume, truth, sitk.sitkNearestNeighbor, grid))) >= MIN_DICE


def test_throat_above_the_lungs_is_not_taken_for_the_trachea_on_either_grid(lung1: tuple[Volume, Mask]) -> None:
    """Trachea and main bronchi are 50 ml of LUNG1-001: lungs that held them would be 1 % larger."""
    volume, _ = lung1
    grid = (3.0, 1.0, 1.0)
    own = (find_lungs(volume.hu, volume.spacing_mm) > 0).sum() * np.prod(volume.spacing_mm)
    resampled = (find_lungs(on_grid(volume, volume.hu, sitk.sitkLinear, grid), grid) > 0).sum() * np.prod(grid)
    assert resampled == pytest.approx(own, rel=0.004)


@pytest.mark.parametrize("grid", [None, (3.0, 1.0, 1.0)])
def test_coarse_thorax_agrees_with_its_reference(thorax64: tuple[Volume, Mask], grid: Spacing | None) -> None:
    volume, truth = thorax64
    spacing_mm = grid or volume.spacing_mm
    found = find_lungs(on_grid(volume, volume.hu, sitk.sitkLinear, spacing_mm), spacing_mm)
    # The reference does not tell right from left.
    assert dice(found, on_grid(volume, truth, sitk.sitkNearestNeighbor, spacing_mm)) >= MIN_DICE
    right, left = (np.nonzero(found == side)[2].mean() for side in (1, 2))
    assert right < left
    assert (found == 1).sum() == pytest.approx((found == 2).sum(), rel=0.3)


@pytest.mark.parametrize(("seed", "tumour"), [(0, None), (2, None), (3, Tumour(20.0)), (4, Tumour(20.0))])
def test_phantom_s_lungs_are_found_with_and_without_a_tumour(seed: int, tumour: Tumour | None) -> None:
    phantom = make_phantom(seed, shape=COARSE, spacing_mm=SPACING_MM, tumour=tumour)
    assert min(dices(find_lungs(phantom.hu), phantom.lungs)) >= MIN_DICE


@pytest.mark.parametrize(
    ("shape", "spacing_mm"), [((60, 96, 96), (5.0, 4.0, 4.0)), ((240, 160, 160), (1.25, 2.4, 2.4))]
)
def test_other_grids_do(shape: tuple[int, int, int], spacing_mm: Spacing) -> None:
    phantom = make_phantom(3, shape=shape, spacing_mm=spacing_mm)
    assert min(dices(find_lungs(phantom.hu, spacing_mm), phantom.lungs)) >= MIN_DICE


def test_tumour_within_a_lung_belongs_to_it() -> None:
    phantom = make_phantom(1, shape=COARSE, spacing_mm=SPACING_MM, tumour=Tumour(20.0, (20.0, 10.0, -85.0)))
    assert np.mean(find_lungs(phantom.hu)[phantom.tumour_mask] == 1) > 0.95


def test_small_nodule_at_the_pleura_belongs_to_the_lung() -> None:
    phantom = make_phantom(1, shape=COARSE, spacing_mm=SPACING_MM, tumour=Tumour(7.0, (0.0, 0.0, -118.0)))
    inside = phantom.tumour_mask & (phantom.lungs > 0)
    assert np.mean(find_lungs(phantom.hu)[inside] == 1) > 0.8


def test_trachea_is_no_lung(chest: Phantom) -> None:
    trachea = np.s_[70:, 90:97, 93:99]
    assert (chest.hu[trachea] < -900).any()
    assert not find_lungs(chest.hu)[trachea].any()


def test_gas_in_the_stomach_is_no_lung(chest: Phantom) -> None:
    gas = (chest.hu < -950) & (np.arange(100) < 16)[:, None, None]
    gas[:, :70] = gas[:, 98:] = False  # rows of the stomach
    gas[:, :, :110] = gas[:, :, 150:] = False
    assert gas.sum() * 0.012 > 20  # ml
    assert not find_lungs(chest.hu)[gas & (chest.lungs == 0)].any()


def _disc(radius_mm: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[:192, :192]
    return np.hypot(rows - 95.5, columns - 95.5) * 2 <= radius_mm


@pytest.mark.parametrize("padding_hu", [-1024, -2000])
def test_padding_around_a_field_of_view_that_cuts_the_arms_is_no_lung(chest: Phantom, padding_hu: int) -> None:
    hu = np.where(_disc(156), chest.hu, padding_hu)
    assert min(dices(find_lungs(hu), chest.lungs)) >= MIN_DICE


def test_field_of_view_that_cuts_through_the_lungs_shows_the_rest_of_them(chest: Phantom) -> None:
    shown = np.s_[:, 30:170, 25:165]
    assert min(dices(find_lungs(chest.hu[shown]), chest.lungs[shown])) >= MIN_DICE


def test_lungs_that_touch_are_parted(chest: Phantom) -> None:
    sides = np.maximum.accumulate(chest.lungs > 0, axis=2)
    other = np.maximum.accumulate((chest.lungs > 0)[:, :, ::-1], axis=2)[:, :, ::-1]
    septum = sides & other & (chest.lungs == 0) & (chest.hu < -40)
    septum[:, 84:] = septum[:, :, :92] = septum[:, :, 101:] = False
    assert septum.sum() * 0.012 > 30  # ml
    found = find_lungs(np.where(septum, -850, chest.hu))
    assert min(dices(found, chest.lungs)) >= MIN_DICE


def test_one_lung_is_enough(chest: Phantom) -> None:
    found = find_lungs(np.where(chest.lungs == 2, 40, chest.hu))
    assert dice(found == 1, chest.lungs == 1) >= MIN_DICE
    assert not (found == 2).any()


@pytest.mark.parametrize("change_hu", [-90, 250])
def test_emphysema_and_a_short_breath_do(chest: Phantom, change_hu: int) -> None:
    hu = np.where(chest.lungs > 0, chest.hu + change_hu, chest.hu)
    assert min(dices(find_lungs(hu), chest.lungs)) >= MIN_DICE


def test_noise_of_a_low_dose_ct_does(chest: Phantom) -> None:
    noise = np.random.default_rng(0).normal(0, 60, COARSE)
    assert min(dices(find_lungs(chest.hu + noise), chest.lungs)) >= MIN_DICE


def _water(inside_hu: float) -> Array:
    """A cylinder of water with a tube of 680 ml."""
    hu = np.where(_disc(160), 0, -1000).astype(np.float32) * np.ones((100, 1, 1), np.float32)
    hu[20:80, _disc(60)] = inside_hu
    return hu


def _head() -> Array:
    """Skull, brain and an air-filled sinus."""
    z, y, x = np.ogrid[-150:150:100j, -192:192:192j, -192:192:192j]
    rho = np.sqrt((z / 110) ** 2 + (y / 95) ** 2 + (x / 75) ** 2)
    hu = np.select([rho < 0.93, rho < 1], [35.0, 900.0], -1000.0)
    hu[np.sqrt((z / 15) ** 2 + ((y + 70) / 15) ** 2 + (x / 20) ** 2) < 1] = -1000
    return hu.astype(np.float32)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: np.full(COARSE, -1024, np.float32), id="air"),
        pytest.param(lambda: np.zeros(COARSE, np.float32), id="water without end"),
        pytest.param(lambda: _water(0), id="a bottle"),
        pytest.param(lambda: _water(-1000), id="a bottle with a tube of air"),
        pytest.param(_head, id="a head"),
        pytest.param(lambda: make_phantom(1, shape=COARSE, spacing_mm=SPACING_MM).hu[:30], id="an upper abdomen"),
        pytest.param(lambda: make_phantom(1, shape=COARSE, spacing_mm=SPACING_MM).hu[82:], id="a neck"),
    ],
)
def test_no_lungs_are_found_where_there_are_none(make: Callable[[], Array]) -> None:
    with pytest.raises(SeriesUnsuitable, match=Reason.NO_LUNGS.sentence):
        find_lungs(make())


def test_refusal_says_what_was_found() -> None:
    with pytest.raises(SeriesUnsuitable, match=r"Found 0 ml .* expected 600 to 12000 ml"):
        find_lungs(np.zeros(COARSE, np.float32))


def test_ct_is_left_as_it_was(chest: Phantom) -> None:
    hu = chest.hu.astype(np.float32)
    lung_segmenter(LungMethod.THRESHOLD)(hu, SPACING_MM)
    assert np.array_equal(hu, chest.hu)


def test_classical_method_needs_no_weights_and_loads_no_torch() -> None:
    program = (
        "import sys; from survnode.model.ct.lungs import lung_segmenter, LungMethod; "
        "assert lung_segmenter(LungMethod.THRESHOLD).weights_sha256 is None; "
        "assert not {'torch', 'lungmask'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# R231: a network of its shape with made-up weights. All slices are one class, by the bias of the last layer.


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = UNet(n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
    state = net.state_dict()
    state["last.bias"] = torch.tensor([0.0, 1000.0, 0.0])
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(state, path)
    return path


def test_r231_runs_on_the_given_weights_and_names_their_hash(weights: Path) -> None:
    segment = lung_segmenter(LungMethod.LUNGMASK, weights=weights)
    found = segment(np.full((2, 32, 32), -800, np.float32), (30.0, 10.0, 10.0))
    assert found.dtype == np.uint8
    assert (found[:, :-1, :-1] == 1).all()  # lungmask's resampling leaves the last row and column
    assert segment.weights_sha256 is not None
    assert len(segment.weights_sha256) == 64


def test_r231_s_result_must_look_like_lungs_too(weights: Path) -> None:
    segment = lung_segmenter(LungMethod.LUNGMASK, weights=weights)
    with pytest.raises(SeriesUnsuitable, match="HU in the middle"):
        segment(np.full((2, 32, 32), 40, np.float32), (30.0, 10.0, 10.0))


def test_missing_weights_are_named_with_the_place_and_the_way_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsMissing) as caught:
        lung_segmenter(LungMethod.LUNGMASK)
    assert caught.value.places == (tmp_path / "hub" / "checkpoints" / R231_FILE,)
    assert all(part in str(caught.value) for part in ("d5d2fc3d", "https://github.com/JoHof/lungmask/releases"))


def test_file_of_the_published_name_with_other_contents_is_refused(tmp_path: Path) -> None:
    path = tmp_path / R231_FILE
    path.write_bytes(b"something else")
    with pytest.raises(WeightsChanged):
        lung_segmenter(LungMethod.LUNGMASK, weights=path)


class _Exploit:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.target,)


def test_weights_that_would_run_code_are_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path, target = tmp_path / "weights.pth", tmp_path / "ran"
    torch.save({"last.bias": _Exploit(target)}, path)
    with pytest.raises(pickle.UnpicklingError):
        lung_segmenter(LungMethod.LUNGMASK, weights=path)
    assert not target.exists()
