"""How tissues are put on a grid: shares of voxels, parts of slices, tubes of known volume."""

import numpy as np
import pytest

from survnode.model.phantom import anatomy as thorax
from survnode.model.phantom import painting
from survnode.model.phantom.painting import AIR, Canvas, Grid, Texture, Tubes

MM = (3.0, 1.0, 1.0)


@pytest.fixture
def grid() -> Grid:
    return Grid.of((20, 60, 80), MM)


@pytest.fixture
def texture() -> Texture:
    return Texture.draw(np.random.default_rng(0))


def test_a_grid_lies_around_the_middle(grid: Grid) -> None:
    assert (grid.z[0], grid.z[-1]) == (-28.5, 28.5)
    assert (grid.y.shape, grid.x.shape) == ((60, 1), (1, 80))
    assert grid.x.sum() == 0


def test_texture_is_smooth_and_of_the_patient_not_of_the_grid(texture: Texture) -> None:
    axis = np.arange(-30, 30, dtype=np.float32)
    y, x = axis[:, None], axis[None, :]
    fine, coarse = texture.on(5.0, y, x), texture.on(5.0, y[::3], x[:, ::3])
    np.testing.assert_allclose(fine[::3, ::3], coarse, atol=1e-5)
    assert np.abs(np.diff(fine, axis=1)).max() < 1.5
    assert 0.2 < fine.std() < 1


def test_a_voxel_at_the_edge_is_filled_in_part(grid: Grid, texture: Texture) -> None:
    canvas = Canvas.blank(grid, 10, texture)
    canvas.fill(np.broadcast_to(canvas.x - 0.25, canvas.hu.shape), 0.0)  # everything up to x = 0.25
    columns = dict(zip(canvas.x.ravel().tolist(), canvas.hu[0].tolist(), strict=True))
    assert (columns[-0.5], columns[0.5], columns[1.5]) == (0.0, pytest.approx(0.75 * AIR), AIR)


def test_a_part_of_a_slice_shares_its_pixels(grid: Grid, texture: Texture) -> None:
    canvas = Canvas.blank(grid, 0, texture)
    part = canvas.part((-10, 10), (0, 5))
    part.fill(np.full(part.hu.shape, -5, np.float32), 100.0)
    assert part.hu.shape == (20, 5)
    assert (canvas.hu == 100).sum() == 100
    assert (canvas.hu[canvas.hu != 100] == AIR).all()


def test_a_tube_has_the_volume_of_its_cylinder(grid: Grid) -> None:
    hu = np.zeros((20, 60, 80), np.float32)
    start, end = np.array([[-18, 0, 0]], np.float32), np.array([[18, 0, 0]], np.float32)
    painting.paint_tubes(hu, grid, Tubes(start, end, np.array([5], np.float32)), 1.0)
    middle = hu[np.abs(grid.z) < 12]
    assert middle.sum(axis=(1, 2)) == pytest.approx(np.pi * 25, rel=0.03)
    assert hu[0].max() == 0  # 10 mm past its end


def test_the_voxels_of_a_box_are_those_between_its_corners(grid: Grid) -> None:
    place = painting.box(grid, np.array([-2, -3, -4], np.float32), np.array([2, 3, 4], np.float32))
    assert grid.z[place[0]].tolist() == [-1.5, 1.5]
    assert np.abs(grid.y[place[1]]).max() == 2.5
    assert np.abs(grid.x[:, place[2]]).max() == 3.5


@pytest.mark.parametrize("seed", range(3))
def test_vessels_start_at_a_hilum_thin_out_and_stay_near_the_lungs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anatomy = thorax.draw_anatomy(rng)
    tubes = painting.vessels(anatomy, rng)
    assert (tubes.radius > painting.SMALLEST_VESSEL_MM).all()
    assert tubes.radius.max() < 5
    z, y, x = tubes.start.T
    outside = thorax.lungs(anatomy, z, y, x)
    hila = [np.array(thorax.hilum(anatomy, side)) for side in (thorax.RIGHT, thorax.LEFT)]
    near = np.min([np.linalg.norm(tubes.start - hilum, axis=1) for hilum in hila], axis=0)
    assert ((outside < 6) | (near < 40)).all()


def test_airways_fork_at_the_carina_and_their_wall_lies_around_them() -> None:
    anatomy = thorax.draw_anatomy(np.random.default_rng(0))
    lumen, wall = painting.airways(anatomy), painting.airways(anatomy, wall_mm=1.2)
    assert np.array_equal(lumen.end[0], lumen.start[1])
    assert np.array_equal(lumen.start[1], lumen.start[2])
    assert wall.radius - lumen.radius == pytest.approx(1.2)
    assert 50 < np.pi * lumen.radius[0] ** 2 < 500  # mm2, a trachea's


def test_a_slice_shows_lung_where_it_says_so(texture: Texture) -> None:
    anatomy = thorax.draw_anatomy(np.random.default_rng(0))
    canvas = Canvas.blank(Grid.of((3, 200, 220), (30.0, 2.0, 2.0)), 1, texture)
    lungs = painting.paint_slice(canvas, anatomy)
    assert 0.1 < lungs.mean() < 0.5
    assert np.median(canvas.hu[lungs]) == pytest.approx(anatomy.lung_hu, abs=30)
    assert (canvas.hu[~lungs] > -300).sum() > lungs.sum() / 2
