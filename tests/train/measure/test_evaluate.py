"""One call gives every measure, with intervals, as JSON."""

import time as clock

import numpy as np
import pytest

from survnode.model.timegrid import TimeGrid
from survnode.train.measure.concordance import compare_on_grid
from survnode.train.measure.evaluate import FIGURES, Evaluation, evaluate
from survnode.train.measure.resampling import bootstrap_weights, interval
from survnode.train.measure.scores import pair_concordance

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]


def cohort(size: int, seed: int = 0) -> Drawn:
    rng = np.random.default_rng(seed)
    hazard = rng.uniform(0.005, 0.1, size)
    death, leaving = rng.exponential(1 / hazard), rng.exponential(80, size)
    return np.minimum(death, leaving), death <= leaving, 1 - np.exp(-hazard[:, None] * np.arange(1, 25))


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    time, event, cif = cohort(415)
    return evaluate(time, event, cif, folds=np.arange(415) % 10)


def test_every_measure_is_there_and_within_its_interval(evaluation: Evaluation) -> None:
    months = (6, 12, 18, 24)
    expected = {"ctd", "ctd_antolini", "ctd_adj_antolini", "ctd_released", "ctd_mean_of_folds", "harrell", "uno"}
    expected |= {f"{name}_{month}" for name in ("auc", "brier") for month in months}
    expected |= {"integrated_brier", "calibration_intercept", "calibration_slope"}
    assert set(evaluation.metrics) == expected
    for estimate in evaluation.metrics.values():
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.value < estimate.high


def test_every_measure_has_its_words(evaluation: Evaluation) -> None:
    assert list(evaluation.metrics) == list(FIGURES)  # in this order: the one that leads is the first


def test_concordance_and_its_interval_are_those_of_the_pairs(evaluation: Evaluation) -> None:
    time, event, cif = cohort(415)
    pairs = compare_on_grid(TimeGrid(24), cif, time, event)
    estimate = evaluation.metrics["ctd"]
    assert estimate.value == pytest.approx(pairs.concordance)
    drawn = pair_concordance(pairs, bootstrap_weights(len(event), np.random.default_rng(0)))
    assert (estimate.low, estimate.high) == pytest.approx(interval(drawn))


def test_mean_of_folds_is_the_mean_of_the_folds(evaluation: Evaluation) -> None:
    assert len(evaluation.ctd_by_fold) == 10
    values = [value for value in evaluation.ctd_by_fold if value is not None]
    assert evaluation.metrics["ctd_mean_of_folds"].value == pytest.approx(np.mean(values))


def test_true_model_is_calibrated_and_its_risk_groups_differ(evaluation: Evaluation) -> None:
    assert evaluation.d_calibration.p > 0.01
    assert sum(share.value or 0 for share in evaluation.d_calibration_shares) == pytest.approx(1)
    covered = [(share.low or 0) <= 0.1 <= (share.high or 0) for share in evaluation.d_calibration_shares]
    assert sum(covered) >= 8
    assert [point.patients for point in evaluation.calibration] == [83] * 5
    for point in evaluation.calibration:
        assert point.observed.low is not None
        assert point.observed.high is not None
        assert point.observed.low - 0.05 <= point.predicted <= point.observed.high + 0.05
    assert evaluation.log_rank.p < 1e-6
    low, _, high = evaluation.risk_groups
    assert low.survival[-1] > high.survival[-1]
    assert (low.months[0], low.survival[0], len(low.low)) == (0, 1, 25)


def test_evaluation_comes_back_from_json(evaluation: Evaluation) -> None:
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_same_seed_gives_the_same_figures_and_another_the_same_values() -> None:
    drawn = cohort(60)
    first, again, other = (evaluate(*drawn, seed=seed, resamples=50) for seed in (1, 1, 2))
    assert first == again
    assert first.metrics["uno"].value == other.metrics["uno"].value
    assert first.metrics["uno"].low != other.metrics["uno"].low


def test_mean_of_the_folds_leads_and_the_pooled_figure_stands_behind_it_with_its_bias(evaluation: Evaluation) -> None:
    assert evaluation.lead == evaluation.metrics["ctd_mean_of_folds"]
    mean, pooled = evaluation.lead.value, evaluation.metrics["ctd"].value
    assert mean is not None
    assert pooled is not None
    behind, left_out, power = evaluation.sentences
    assert behind.startswith(f"Pooled over the folds C-td is {pooled:.3f}, {pooled - mean:+.3f} against their mean.")
    assert "not the training" in left_out
    assert power.startswith("Power: with these patients")
    assert evaluation.called("Uno's C", "uno") == "Uno's C, mean of the folds"
    assert evaluation.called("C-td", "ctd") == "C-td, pooled over the folds"


def test_without_folds_all_patients_are_compared_and_nothing_is_called_pooled() -> None:
    found = evaluate(*cohort(60), resamples=20)
    assert found.lead == found.metrics["ctd"]
    assert found.called("C-td", "ctd") == "C-td"
    assert not any("Pooled" in sentence for sentence in found.sentences)


@pytest.mark.parametrize("dies", [False, True])
def test_tiny_cohort_where_little_is_defined_is_still_evaluated(dies: bool) -> None:
    time, event = np.array([3.0, 30.0]), np.array([dies, False])
    found = evaluate(time, event, np.tile(np.linspace(0.1, 0.5, 24), (2, 1)), resamples=20)
    assert {found.metrics[name].value for name in ("ctd", "harrell", "uno", "auc_24")} == {None}  # of a single pair
    assert found.power is None
    assert found.metrics["calibration_slope"].value is None
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


def test_shorter_horizon_leaves_out_what_it_does_not_reach() -> None:
    time, event, cif = cohort(80)
    found = evaluate(time, event, cif[:, :12], resamples=20)
    assert "auc_12" in found.metrics
    assert not {"auc_18", "ctd_released"} & set(found.metrics)


def test_thousand_resamples_of_lung1s_size_take_seconds() -> None:
    time, event, cif = cohort(415)
    begun = clock.monotonic()
    evaluate(time, event, cif, folds=np.arange(415) % 10)
    assert clock.monotonic() - begun < 30  # 1.5 s on one core of the machine it was written on
