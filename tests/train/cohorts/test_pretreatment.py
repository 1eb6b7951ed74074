"""Which CT of a patient counts: by the day of the treatment, by order, by words; and what a description may say."""

import pytest
from pydantic import ValidationError

from survnode.train.cohorts.clinical import PatientOutcome
from survnode.train.cohorts.dicom_tree import TreeSeries
from survnode.train.cohorts.pretreatment import Pretreatment


def series(uid: str, day: str, study: str = "", description: str = "thorax") -> TreeSeries:
    return TreeSeries("A", study or f"study {day}", uid, "CT", day, description, (), "key")


def outcome(begun: str) -> PatientOutcome:
    return PatientOutcome("A", 5.0, True, 2, {"begun": begun})


def chosen(rule: Pretreatment, begun: str, *candidates: TreeSeries) -> list[str]:
    return [candidate.series_instance_uid for candidate in rule.of(outcome(begun), candidates)]


BY_DAY = Pretreatment(treatment_column="begun", day_format="%d.%m.%Y")
THREE = series("1", "20200105"), series("2", "20200201"), series("3", "20200301")


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        ("01.02.2020", ["2"]),  # the day itself is before the treatment
        ("31.01.2020", ["1"]),
        ("31.12.2021", ["3"]),
        ("04.01.2020", []),
        ("", []),
        ("2020-02-01", []),
    ],
)
def test_last_study_up_to_the_day_counts_and_none_where_the_day_is_not_known(begun: str, expected: list[str]) -> None:
    assert chosen(BY_DAY, begun, *THREE) == expected


def test_study_without_a_date_is_never_before_a_day_but_is_the_earliest() -> None:
    undated = series("9", "")
    assert chosen(BY_DAY, "01.02.2020", undated, *THREE) == ["2"]
    assert chosen(Pretreatment(), "", *THREE, undated) == ["9"]


def test_all_series_of_the_study_are_in_question_and_none_of_another_of_the_same_day() -> None:
    of_one_study = series("1", "20200105", "a"), series("2", "20200105", "a"), series("3", "20200105", "b")
    assert chosen(Pretreatment(), "", *of_one_study) == ["1", "2"]


def test_words_are_looked_for_in_any_case_before_the_study_is_chosen() -> None:
    rule = Pretreatment(description="planning|staging")
    assert chosen(rule, "", series("1", "20200101"), series("2", "20200202", description="CT PLANNING")) == ["2"]
    assert chosen(rule, "", series("1", "20200101")) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"description": "("}, "regular expression"),
        ({"treatment_column": "begun", "day_format": "%m.%Y"}, "a year, a month and a day"),
        ({"day_format": "%d.%m.%Y"}, "does nothing without treatment_column"),
        ({"day": "%d"}, "Extra inputs"),
    ],
)
def test_rule_that_could_choose_nothing_is_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Pretreatment.model_validate(values)
