"""A model card names whom the model learned from, on whom it was measured, and what it cannot do."""

from dataclasses import replace

import numpy as np
import pytest

from survnode.model.ct.coverage import CoverageWarning
from survnode.model.errors import Reason
from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.cohorts.exclusions import Exclusion, ExclusionReason, Warned
from survnode.train.cohorts.folds import make_folds
from survnode.train.measure.evaluate import Evaluation, evaluate
from survnode.train.presets import PRESETS, Preset
from survnode.train.runs.model_card import INTENDED_USE, OF_FOLDS, model_card

PAPER = PRESETS[Preset.PAPER]
PATIENTS = tuple(
    DicomPatient(
        f"P{k}",
        3.0 * k,
        event=k % 2 > 0,
        died_within_two_years=k in (1, 3, 5, 7),
        series_instance_uid="1.2",
        paths=(),
        key="ab",
    )
    for k in range(12)
)
COHORT = Cohort("mine", PATIENTS)
FOLDS = make_folds(COHORT.ids, COHORT.died_within_two_years, count=2, seed=1)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    cif = np.linspace(0.9, 0.1, 12)[:, None] * np.linspace(0.04, 1, 24)
    return evaluate(COHORT.time_months, COHORT.event, cif, resamples=20)


def test_card_says_whom_it_learned_from_and_that_each_was_tested_by_a_fold(evaluation: Evaluation) -> None:
    card = model_card("survnode mine", PAPER, COHORT, evaluation, folds=FOLDS)
    assert card.startswith(f"# survnode mine\n\n{INTENDED_USE}\n")
    assert f"mine: 12 patients, 6 deaths, 4 within 24 months. sha256 {COHORT.sha256}." in card
    assert "2 folds, stratified by death within two years; each patient was tested by one of them." in card
    assert OF_FOLDS in card
    assert "Not in the cohort: 0 patients" in card


def test_card_of_a_model_measured_on_others_names_both_cohorts_and_makes_no_excuse(evaluation: Evaluation) -> None:
    card = model_card("m", PAPER, COHORT, evaluation, folds=FOLDS, unseen="theirs")
    assert "All folds together were measured on another cohort, theirs: 12 patients, 6 deaths" in card
    assert "each of which left another part out to choose its epoch by" in card
    assert OF_FOLDS not in card


def test_exclusions_are_counted_by_reason_and_nobody_is_named(evaluation: Evaluation) -> None:
    left_out = [Exclusion("SECRET-1", ExclusionReason.NO_CT), Exclusion("SECRET-2", ExclusionReason.NO_CT)]
    left_out.append(Exclusion("SECRET-3", Reason.TOO_FEW_SLICES))
    card = model_card("m", PAPER, COHORT, evaluation, exclusions=left_out)
    assert f"- 2 x NO_CT: {ExclusionReason.NO_CT.sentence}" in card
    assert f"- 1 x TOO_FEW_SLICES: {Reason.TOO_FEW_SLICES.sentence}" in card
    assert "SECRET" not in card


def test_warnings_are_counted_and_nobody_is_named(evaluation: Evaluation) -> None:
    warned = replace(COHORT, warned=(Warned("SECRET-1", CoverageWarning.ONE_LUNG),))
    card = model_card("m", PAPER, warned, evaluation)
    assert f"- 1 x ONE_LUNG: {CoverageWarning.ONE_LUNG.sentence}" in card
    assert "SECRET" not in card


def test_figures_that_are_not_defined_are_called_so(evaluation: Evaluation) -> None:
    nobody_died = evaluate(COHORT.time_months, np.zeros(12, bool), np.full((12, 24), 0.1), resamples=20)
    card = model_card("m", PAPER, COHORT, nobody_died)
    assert "| C-td (Antolini, ties half) | not defined | not defined to not defined |" in card
    assert "| Harrell's C | 1.000 |" not in card
    ctd = evaluation.lead.value
    assert f"| C-td (Antolini, ties half) | {ctd:.3f} |" in model_card("m", PAPER, COHORT, evaluation)
