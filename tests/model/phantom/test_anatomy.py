"""The distances of the made-up thorax at points whose place is known."""

import numpy as np
import pytest

from survnode.model.phantom import anatomy as thorax
from survnode.model.phantom.anatomy import LEFT, RIGHT, Anatomy, draw_anatomy

SEEDS = range(20)


def patient(seed: int) -> Anatomy:
    return draw_anatomy(np.random.default_rng(seed))


def test_distance_to_a_circle_is_true_everywhere_and_to_an_ellipse_on_its_axes() -> None:
    u, v = np.array([0.0, 3.0, 10.0, 6.0]), np.array([0.0, 4.0, 0.0, 8.0])
    assert thorax.ellipse(u, v, 5.0, 5.0)[1:] == pytest.approx([0, 5, 5], abs=2e-3)
    assert thorax.ellipse(np.array([25.0, 0.0]), np.array([0.0, 8.0]), 20.0, 10.0) == pytest.approx([5, -2], abs=2e-3)


def test_an_ellipsoid_is_negative_inside_and_zero_on_its_surface() -> None:
    points = np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0], [0, 0, 5], [0, 0, 10]], np.float32).T
    distance = thorax.ellipsoid(points[0], points[1], points[2], (3.0, 4.0, 5.0))
    assert distance == pytest.approx([-4, 0, 0, 0, 4], abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_patient_has_an_adult_s_proportions(seed: int) -> None:
    a = patient(seed)
    right_dome, left_dome = a.domes
    assert right_dome > left_dome  # the liver lifts the right one
    assert left_dome < a.carina < a.apex
    assert 140 < a.apex - right_dome < 200  # the right lung's height above its dome; it reaches lower behind
    assert a.heart[2] > 0  # the heart lies to the left ...
    assert a.heart[1] < 0  # ... and to the front


@pytest.mark.parametrize("seed", SEEDS)
def test_organs_lie_where_they_belong(seed: int) -> None:
    a = patient(seed)
    heart = a.heart
    assert thorax.heart(a, *heart) < 0
    assert thorax.lungs(a, *heart) > 0
    assert thorax.lungs(a, 30.0, 0.0, -80.0) < 0  # the middle of the right lung ...
    assert thorax.lungs(a, 30.0, 0.0, 80.0) < 0  # ... and of the left
    assert thorax.lungs(a, -130.0, 0.0, -80.0) > 0  # the abdomen
    assert thorax.lungs(a, a.apex + 20, 0.0, 40.0) > 0  # the neck
    spine = (0.0, float(thorax.spine_y(a, 0.0)), 0.0)
    assert thorax.mediastinum(a, *spine) < 0
    assert thorax.body(a, *spine) < 0
    assert thorax.body(a, 0.0, 0.0, 250.0) > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_lungs_keep_off_the_inside_of_the_rib_cage(seed: int) -> None:
    a = patient(seed)
    y, x = np.arange(-120, 120, 2.0)[:, None], np.arange(-170, 170, 2.0)[None, :]
    lungs, cavity = thorax.lungs(a, 20.0, y, x), thorax.cavity(a, 20.0, y, x)
    assert cavity[lungs < 0].max() <= -thorax.PLEURA_MM
    assert thorax.body(a, 20.0, y, x)[lungs < 0].max() < -a.fat


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_a_hilum_lies_on_its_side_below_the_carina(side: int) -> None:
    a = patient(1)
    z, _, x = thorax.hilum(a, side)
    assert z < a.carina
    assert (x < 0) == (side == RIGHT)


def test_ribs_are_as_far_apart_as_the_patient_has_them() -> None:
    a = patient(1)
    z = np.arange(-60, 60, 0.5)
    y = float(thorax.spine_y(a, 0.0))
    distance, way = thorax.ribs(a, z, y, 60.0, np.full(z.shape, 5.5, np.float32))
    inside = distance < 0
    starts = z[1:][inside[1:] & ~inside[:-1]]
    assert np.diff(starts) == pytest.approx(a.rib_spacing, abs=1.0)
    assert (way < 0.5).all()  # nearer to the spine than to the sternum


def test_one_point_costs_one_call_and_says_what_a_volume_says() -> None:
    a = patient(3)
    z, y, x = np.linspace(-50, 50, 3)[:, None, None], np.linspace(-40, 40, 4)[:, None], np.linspace(-90, 90, 5)[None, :]
    volume = thorax.lungs(a, z, y, x)
    assert volume.shape == (3, 4, 5)
    assert volume[1, 2, 3] == pytest.approx(float(thorax.lungs(a, z[1, 0, 0], y[2, 0], x[0, 3])), abs=1e-3)
