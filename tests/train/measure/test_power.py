"""A cohort is said to show what four of five studies of its size would find, and no less."""

import numpy as np
import pytest
from scipy.stats import norm

from survnode.train.measure.power import power_of


def test_detectable_difference_is_found_in_four_of_five_studies() -> None:
    rng = np.random.default_rng(0)
    power = power_of(rng.normal(0.6, 0.05, 1000))
    assert power is not None
    assert power.standard_error == pytest.approx(0.05, abs=0.003)
    found = norm.sf(norm.ppf(0.975) - power.over_chance / power.standard_error)
    assert found == pytest.approx(0.8, abs=1e-6)
    assert power.between_models == pytest.approx(np.sqrt(2) * power.over_chance)
    assert f"under {0.5 + power.over_chance:.2f} is hard to tell from chance" in power.sentence


def test_figure_that_is_hardly_ever_defined_has_no_power() -> None:
    assert power_of(np.array([0.5, np.nan, np.nan])) is None
