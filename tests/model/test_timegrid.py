import numpy as np
import pytest

from survnode.model.timegrid import TimeGrid, cif_from_pmf, median_months


def test_a_death_falls_into_the_month_that_it_happens_in() -> None:
    bins, event = TimeGrid(24).bins(np.array([0.0, 0.99, 1.0, 23.9]), np.array([True] * 4))
    assert bins.tolist() == [0, 0, 1, 23]
    assert event.all()


def test_whoever_is_followed_to_the_horizon_is_a_survivor_and_not_censored() -> None:
    bins, event = TimeGrid(24).bins(np.array([24.0, 60.0, 24.0, 23.9]), np.array([False, True, True, False]))
    assert bins.tolist() == [24, 24, 24, 23]
    assert event.tolist() == [True, True, True, False]


def test_incidence_adds_up_the_mass_and_leaves_the_survivors_out() -> None:
    np.testing.assert_allclose(cif_from_pmf(np.array([0.1, 0.2, 0.3, 0.4])), [0.1, 0.3, 0.6])


@pytest.mark.parametrize(
    ("cif", "expected"),
    [([0.1, 0.3, 0.6], 2 + 2 / 3), ([0.5, 0.6, 0.7], 1.0), ([0.8, 0.9, 0.9], 0.625), ([0.1, 0.2, 0.3], None)],
)
def test_the_median_is_where_half_have_died(cif: list[float], expected: float | None) -> None:
    assert median_months(np.array(cif)) == (None if expected is None else pytest.approx(expected))
