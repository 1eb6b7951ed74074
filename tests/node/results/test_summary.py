import json
from dataclasses import replace

import numpy as np
import pytest

from survnode.model.certainty import LowerBound
from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason
from survnode.model.likeness import Difference, Unlikeness
from survnode.node.results.bundle import not_analysed
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.summary import analysed_summary, not_analysed_summary
from survnode.node.state.records import CheckState, Completeness

from .conftest import N_SLICES, Predict, a_run

SECRETS = ("Doe", "SECRET-1", "A1", "House", "19500102")


def test_a_summary_holds_the_numbers_of_the_report_and_no_identity(
    source: SourceStudy, volume: Volume, predict: Predict, results: tuple[ResultObject, ...]
) -> None:
    summary = analysed_summary(predict(), volume, source, results, a_run())
    assert summary["status"] == "analysed"
    assert summary["months"] == list(range(1, 25))
    assert len(summary["attention"]) == N_SLICES
    assert sum(item["weight_percent"] for item in summary["attention"]) == pytest.approx(100, abs=0.2)
    alive = np.array(summary["survival_percent"])
    np.testing.assert_allclose(alive + np.array(summary["cumulative_incidence_percent"]), 100, atol=0.011)
    assert summary["survival_at_horizon_percent"] == alive[-1]
    text = json.dumps(summary)
    assert [secret for secret in SECRETS if f'"{secret}' in text or f" {secret}" in text] == []


def test_a_lower_bound_is_told_in_months_with_its_coverage(
    source: SourceStudy, volume: Volume, predict: Predict, results: tuple[ResultObject, ...]
) -> None:
    bound = LowerBound(level=0.9, incidence=0.2, coverage=0.91, low=0.88, high=0.94, patients=415)
    told = analysed_summary(predict(lower_bound=bound), volume, source, results, a_run())
    assert json.loads(json.dumps(told))["lower_bound"]["coverage"] == 0.91
    assert 0 < told["lower_bound"]["months"] < 24
    assert "lower_bound" not in analysed_summary(predict(), volume, source, results, a_run())


def test_the_ranked_slices_are_those_of_the_captures_with_their_images(
    source: SourceStudy, volume: Volume, predict: Predict, results: tuple[ResultObject, ...]
) -> None:
    ranked = analysed_summary(predict(), volume, source, results, a_run())["ranked_slices"]
    assert [item["rank"] for item in ranked] == [1, 2, 3, 4, 5]
    weights = [item["weight_percent"] for item in ranked]
    assert weights == sorted(weights, reverse=True)
    assert ranked[0]["sop_instance_uid"] == f"1.2.3.4.{2 * N_SLICES // 3 + 1}"
    assert ranked[0]["position_mm"] == 3.0 * (2 * N_SLICES // 3)


def test_a_refusal_says_its_reason_in_words_and_has_no_numbers(source: SourceStudy) -> None:
    run = a_run(completeness=Completeness(CheckState.INCOMPLETE, 40, 41))
    made = not_analysed(source, Reason.TOO_FEW_SLICES, "Found 3.", run, None)
    summary = not_analysed_summary(Reason.TOO_FEW_SLICES, "Found 3.", made, run)
    assert (summary["status"], summary["reason"], summary["detail"]) == ("not analysed", "TOO_FEW_SLICES", "Found 3.")
    assert summary["sentence"] == Reason.TOO_FEW_SLICES.sentence
    assert summary["completeness"] == {"state": "INCOMPLETE", "received": 40, "expected": 41, "others_lacking": 0}
    assert [item["file"] for item in summary["objects"]] == ["report.dcm"]
    assert not {"survival_percent", "months", "model"} & set(summary)


def test_how_a_patient_is_unlike_the_training_is_told_and_nothing_where_not(
    source: SourceStudy, volume: Volume, predict: Predict, results: tuple[ResultObject, ...]
) -> None:
    prediction = replace(predict(), unlike=(Unlikeness(Difference.SCAN, ("a",)),))
    told = analysed_summary(prediction, volume, source, results, a_run())
    assert told["unlike_training"] == [{"code": "SCAN", "sentence": f"{Difference.SCAN.sentence} A."}]
    assert "unlike_training" not in analysed_summary(predict(), volume, source, results, a_run())
