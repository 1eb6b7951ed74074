"""What a value beside the image means to a model, and what is said of it."""

import math

import numpy as np
import pytest

from survnode.model.covariates import (
    Covariate,
    CovariateKind,
    CovariateValue,
    GivenValues,
    columns_of,
    covariate_row,
    gathered,
)

AGE = Covariate(name="age", kind=CovariateKind.NUMBER, unit="years").distributed(["60", "70", None, "80"])
STAGE = Covariate(name="stage", kind=CovariateKind.CATEGORY, levels=("I", "II")).distributed(["I", "II", "I", "NA"])


def test_numbers_are_one_column_and_categories_one_a_level() -> None:
    assert columns_of((AGE, STAGE)) == ("age", "stage=I", "stage=II")
    np.testing.assert_array_equal(covariate_row((AGE, STAGE), {"age": "64.5", "stage": "ii"}), [64.5, 0, 1])


@pytest.mark.parametrize("word", [None, "", "NA", "nan", "None", "inf", "sixty"])
def test_what_is_no_number_is_missing(word: str | None) -> None:
    assert math.isnan(AGE.row(word)[0])


def test_level_that_no_training_patient_had_is_missing_and_said() -> None:
    assert all(map(math.isnan, STAGE.row("IV")))
    (found,) = gathered((STAGE,), [GivenValues("the site's table", {"stage": "IV"})])
    assert found.sentence == "stage: missing: what the site's table says is no value that the model knows."


def test_first_source_that_has_a_value_is_taken_and_another_unit_is_no_value() -> None:
    header, table = GivenValues("the CT's header", {"age": ""}), GivenValues("the table", {"age [years]": "64"})
    months = GivenValues("the old table", {"age [months]": "768"})
    (age,) = gathered((AGE,), [header, months, table])
    assert (age.value, age.source) == (64.0, "the table")
    (none,) = gathered((AGE,), [header, months])
    assert none.sentence == "age [years]: missing: the old table has it in months, the model wants years."


def test_distribution_is_that_of_the_known_values() -> None:
    assert AGE.missing == 0.25
    assert (AGE.percentiles[0], AGE.percentiles[3], AGE.percentiles[-1]) == (60, 70, 80)
    assert STAGE.shares == pytest.approx((2 / 3, 1 / 3), abs=1e-4)


def test_value_beyond_all_training_patients_is_said_to_lie_outside() -> None:
    inside, outside = (CovariateValue(AGE, value, "the CT's header") for value in (80.0, 91.0))
    assert inside.sentence == "age [years]: 80 (from the CT's header)."
    assert outside.outside
    assert outside.sentence.endswith("The model was trained on 60 to 80: this value lies outside.")
