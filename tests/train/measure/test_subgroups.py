"""Each subgroup has its own figures, and of a handful nothing but their number is told."""

import numpy as np
import pytest

from survnode.train.measure.figures import FIGURES
from survnode.train.measure.subgroups import WITHIN, subgroups

from .nothing import of_noise


def test_model_that_knows_one_half_of_the_patients_is_seen_to() -> None:
    known, other = of_noise(1, effect=1.2), of_noise(2)
    time, event, cif = (
        np.concatenate([getattr(known, name), getattr(other, name)]) for name in ("time", "event", "cif")
    )
    folds, sex = np.concatenate([known.folds, other.folds]), ["f"] * 119 + ["m"] * 119
    women, men = subgroups(time, event, cif, folds, {"sex": sex}, resamples=100)
    assert (women.name, women.value, women.patients, men.patients) == ("sex", "f", 119, 119)
    assert women.deaths_by_horizon == int((known.event & (known.time < 24)).sum())
    assert set(women.metrics) == {WITHIN, *FIGURES}
    low, high = women.metrics[WITHIN].low, men.metrics[WITHIN].high
    assert low is not None
    assert high is not None
    assert low > 0.5
    assert men.metrics[WITHIN].value == pytest.approx(0.5, abs=0.06)


def test_pairs_across_folds_do_not_count() -> None:
    time, event = np.arange(1.0, 13.0), np.ones(12, np.bool_)
    cif = np.linspace(0.9, 0.1, 12)[:, None] * np.linspace(0.1, 1, 24)
    folds = np.arange(12) // 6
    cif[folds == 1] = 0.95  # ties within the fold; wrong against the other
    (group,) = subgroups(time, event, cif, folds, {"stage": ["I"] * 12}, resamples=5)
    assert group.metrics[WITHIN].value == pytest.approx((15 + 7.5) / 30)


def test_of_fewer_than_ten_patients_only_the_number_is_told() -> None:
    drawn = of_noise(1)
    values = {"kernel": ["B30f"] * 5 + ["B50f"] * 114}
    few, many = subgroups(drawn.time, drawn.event, drawn.cif, drawn.folds, values, resamples=5)
    assert (few.patients, few.metrics) == (5, {})
    assert many.metrics
