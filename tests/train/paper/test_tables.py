"""The paper's tables as values: what is measured, tested, published, and why a row is empty."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from survnode.train.measure.significance import permutation_test, wilcoxon_signed_rank
from survnode.train.paper.experiments import REPEATS, experiments
from survnode.train.paper.results import Result
from survnode.train.paper.tables import (
    COMPARISON,
    TRANSFER,
    Findings,
    cohort_table,
    comparison_table,
    cost_table,
    mean_of_folds,
    measure,
    over_repeats,
    transfer_table,
    write_csv,
)
from survnode.train.runs.baselines import Compared
from survnode.train.runs.known import Baseline

from .findings import MISSING, REFERENCE, fusions, made_up_cohort, made_up_findings, made_up_result

PAPER = experiments()


def column(rows: tuple[tuple[object, ...], ...], header: tuple[str, ...], name: str) -> list[object]:
    return [row[header.index(name)] for row in rows]


def test_the_first_table_counts_outcomes_and_who_is_left_out() -> None:
    result = made_up_result(skill=0.5)
    ((name, patients, died, rest, left_out, published),) = cohort_table([made_up_cohort(result)]).rows
    assert (name, patients, left_out) == ("lung1", 60, 1)
    assert died == int((result.event & (result.time_months < 24)).sum())
    assert patients == died + rest  # type: ignore[operator]  # both are counts
    assert "251" in str(published)


def test_a_comparison_holds_measures_the_test_against_the_first_and_what_is_published() -> None:
    found = fusions()
    table = comparison_table(PAPER["q2-fusion"], found)
    ours, mean = found.results[REFERENCE], found.results["efficientnet_b0-mean"]
    test = permutation_test(
        mean.cif, ours.cif, ours.time_months, ours.event, np.random.default_rng(0), folds=ours.folds
    )
    assert column(table.rows, COMPARISON, "C-td, mean of folds")[0] == measure(ours).metrics["ctd_mean_of_folds"]
    assert column(table.rows, COMPARISON, "difference") == [None, test.difference, None]
    assert column(table.rows, COMPARISON, "p") == [None, test.p, None]
    assert test.p < 0.05
    assert column(table.rows, COMPARISON, "published C-td") == [0.584, None, None]


def test_a_row_that_could_not_run_says_why_and_the_others_stay() -> None:
    table = comparison_table(PAPER["q3-encoders"], fusions())
    remarks = dict(zip((row[0] for row in table.rows), column(table.rows, COMPARISON, "remark"), strict=True))
    assert remarks["ViT-B/16, soft attention"] == MISSING
    assert remarks["VGG16, soft attention"] == "Not run yet."
    assert remarks["EfficientNet-B0, soft attention"] == ""


def test_what_starts_from_random_weights_is_said() -> None:
    table = comparison_table(PAPER["q1-3d"], fusions())
    assert sum("random weights" in str(row[-1]) for row in table.rows) == 4


def test_what_is_predicted_without_a_network_has_its_rows_below_the_systems() -> None:
    evaluation = measure(made_up_result(skill=0.5))
    size = Compared(name=Baseline.TUMOUR_VOLUME, patients=50, evaluation=evaluation, difference=-0.1, p=0.04)
    absent = Compared(name=Baseline.AGE_AND_STAGE, absent="no column is named.")
    table = comparison_table(PAPER["q2-fusion"], replace(fusions(), baselines=(size, absent)))
    *_, drawn, clinical = (dict(zip(COMPARISON, row, strict=True)) for row in table.rows)
    assert (drawn["system"], drawn["strategy"]) == ("tumour volume as drawn, Cox", "no network")
    assert (drawn["difference"], drawn["p"], drawn["published C-td"]) == (-0.1, 0.04, 0.598)
    assert drawn["C-td, mean of folds"] == evaluation.metrics["ctd_mean_of_folds"]
    assert drawn["remark"] == "50 patients had all values."
    assert clinical["remark"] == "None: no column is named."


def test_without_the_first_system_there_is_no_test() -> None:
    table = comparison_table(PAPER["q2-fusion"], made_up_findings(**{"efficientnet_b0-mean": 0.5}))
    assert column(table.rows, COMPARISON, "p") == [None, None, None]
    assert column(table.rows, COMPARISON, "patients") == [None, 60, None]


def test_systems_are_compared_on_the_patients_of_both() -> None:
    found = fusions()
    results = dict(found.results)
    some = results["efficientnet_b0-mean"].patients[5:]
    results["efficientnet_b0-mean"] = results["efficientnet_b0-mean"].of(some)
    table = comparison_table(PAPER["q2-fusion"], Findings(results, {}))
    ours, mean = results[REFERENCE].of(some), results["efficientnet_b0-mean"]
    test = permutation_test(
        mean.cif, ours.cif, ours.time_months, ours.event, np.random.default_rng(0), folds=ours.folds
    )
    assert column(table.rows, COMPARISON, "difference")[1] == pytest.approx(test.difference)


def transfers() -> Mapping[str, Result]:
    better = {f"claro-transfer-{repeat}": made_up_result(skill=0.9, seed=repeat) for repeat in range(REPEATS)}
    return better | {f"claro-scratch-{repeat}": made_up_result(skill=0.1, seed=repeat) for repeat in range(REPEATS)}


def test_six_repeats_that_all_agree_give_the_published_test() -> None:
    table = transfer_table(PAPER["q4-transfer"], Findings(transfers(), {}))
    assert "over 6 repeats: W = 0, p = 0.03125, r = 0.899." in table.notes[0]
    assert column(table.rows, TRANSFER, "repeats") == [REPEATS, REPEATS, 0]
    assert column(table.rows, TRANSFER, "published C-td") == [0.579, 0.503, 0.5608]


def test_table_with_training_patients_says_so_in_the_row_and_in_a_figure() -> None:
    marked = {name: replace(result, remark="Contains training patients.") for name, result in transfers().items()}
    findings = Findings(marked, {})
    table = transfer_table(PAPER["q4-transfer"], findings)
    assert column(table.rows, TRANSFER, "remark")[:2] == ["Contains training patients."] * 2
    assert findings.remark(PAPER["q4-transfer"].systems) == "Contains training patients."
    assert findings.remark(PAPER["q2-fusion"].systems) == ""


def test_repeats_lead_with_the_mean_of_their_folds_and_an_interval_that_varies_the_training() -> None:
    ran = [result for name, result in transfers().items() if name.startswith("claro-transfer")]
    table = transfer_table(PAPER["q4-transfer"], Findings(transfers(), {}))
    (led, *_) = column(table.rows, TRANSFER, "C-td, mean of folds and repeats")
    assert led == over_repeats(ran)
    assert led.value == pytest.approx(np.mean([mean_of_folds(result) for result in ran]))
    assert "which of the 6 trainings count" in table.notes[1]


def test_only_repeats_with_both_are_tested() -> None:
    results = {
        name: result for name, result in transfers().items() if name not in ("claro-scratch-0", "claro-transfer-3")
    }
    differences = [
        mean_of_folds(results[f"claro-transfer-{k}"]) - mean_of_folds(results[f"claro-scratch-{k}"])
        for k in (1, 2, 4, 5)
    ]
    test = wilcoxon_signed_rank(np.array(differences))
    table = transfer_table(PAPER["q4-transfer"], Findings(results, {}))
    assert f"over 4 repeats: W = 0, p = {test.p:.5f}" in table.notes[0]


def test_without_a_second_cohort_the_rows_say_so_once() -> None:
    reasons = {system.name: "There is no second cohort." for system in PAPER["q4-transfer"].systems}
    table = transfer_table(PAPER["q4-transfer"], Findings({}, reasons))
    assert column(table.rows, TRANSFER, "remark") == ["There is no second cohort."] * 3
    assert table.notes[0].startswith("No repeat ran")


def test_a_cost_that_cannot_be_counted_gives_its_reason() -> None:
    table = cost_table({PAPER["attention"].reference: "needs MONAI"})
    assert table.rows[0][2:7] == (None,) * 5
    assert table.rows[0][-1] == "needs MONAI"
    assert 54.3 in table.rows[0]


def test_a_csv_file_has_three_columns_for_an_estimate(tmp_path: Path) -> None:
    found = fusions()
    write_csv(comparison_table(PAPER["q2-fusion"], found), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        first, *_ = csv.DictReader(file)
    pooled_ctd = measure(found.results[REFERENCE]).metrics["ctd"]
    names = ("C-td, pooled", "C-td, pooled, low", "C-td, pooled, high")
    assert [float(first[name]) for name in names] == [pooled_ctd.value, pooled_ctd.low, pooled_ctd.high]
