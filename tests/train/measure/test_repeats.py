"""An interval over repeats varies the training too."""

import numpy as np
import pytest

from survnode.train.measure.repeats import Training, repeated_concordance

from .nothing import of_noise


def test_trainings_that_differ_widen_the_interval_and_equal_ones_do_not() -> None:
    one = of_noise(3, effect=0.5)
    rng = np.random.default_rng(0)
    noisy = [Training(np.clip(one.cif + rng.normal(0, 0.3, (len(one.event), 1)), 0, 1), one.folds) for _ in range(2)]
    single, again, other = (
        repeated_concordance(one.time, one.event, trainings, resamples=300)
        for trainings in ([noisy[0]], [noisy[0]] * 2, noisy)
    )
    assert single == again
    assert other.value is not None
    assert other.low is not None
    assert other.high is not None
    alone = [repeated_concordance(one.time, one.event, [it], resamples=10).value for it in noisy]
    assert other.value == pytest.approx(np.mean([value for value in alone if value is not None]))
    assert other.low < other.value < other.high


def test_patients_without_an_order_have_no_figure() -> None:
    none = Training(np.full((3, 24), 0.5), np.zeros(3, np.int64))
    found = repeated_concordance(np.full(3, 30.0), np.zeros(3, np.bool_), [none], resamples=5)
    assert found.bounds == (None, None, None)
