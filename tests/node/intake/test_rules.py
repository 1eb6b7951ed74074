from typing import Any

import pytest

from survnode.node.config import NotAnalysed, Rule
from survnode.node.intake.header_facts import SeriesFacts
from survnode.node.intake.rules import Routes, StudyFacts, fits, may_be_chest, wants_report

CHEST = SeriesFacts(modality="CT", body_part="CHEST", series_description="Lung 3.0 B70f", age_years=63.4)
HEAD = SeriesFacts(modality="CT", body_part="HEAD", series_description="Cerebrum 5.0", age_years=63.4, contrast=True)
DOSE = SeriesFacts(modality="SR", series_description="Dose report")


def study(*series: SeriesFacts) -> StudyFacts:
    return StudyFacts("CT99", "SURVNODE", series or (CHEST, DOSE))


def rule(**values: Any) -> Rule:
    return Rule.model_validate({"name": "r", **values})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"calling_ae_title": "ct*"},
        {"called_ae_title": ["OTHER", "survnode"]},
        {"modality": "CT", "body_part": "chest"},
        {"series_description": "*LUNG*", "min_age_years": 63, "max_age_years": 63},
        {"modality": "SR"},
        {"contrast": False},
        {"body_part": "CHES?"},
    ],
)
def test_a_rule_fits_if_everything_that_it_names_is_true(values: dict[str, Any]) -> None:
    assert fits(rule(**values), study())


@pytest.mark.parametrize(
    "values",
    [
        {"calling_ae_title": "CT"},
        {"called_ae_title": "OTHER"},
        {"modality": "SR", "body_part": "CHEST"},  # no series is both
        {"min_age_years": 64},
        {"max_age_years": 62},
        {"contrast": True},
        {"study_description": "chest"},
        {"calling_ae_title": "CT*", "modality": "MR"},
    ],
)
def test_and_not_if_one_thing_is_not(values: dict[str, Any]) -> None:
    assert not fits(rule(**values), study())


def test_an_unknown_age_is_in_no_range() -> None:
    unknown = study(SeriesFacts(modality="CT"))
    assert not fits(rule(min_age_years=0), unknown)
    assert not fits(rule(max_age_years=120), unknown)


def test_an_age_counts_in_years_lived() -> None:
    assert fits(rule(max_age_years=17), study(SeriesFacts(age_years=17.9)))
    assert not fits(rule(max_age_years=17), study(SeriesFacts(age_years=18.0)))


def test_contrast_in_one_series_is_contrast_in_the_study() -> None:
    assert fits(rule(contrast=True), study(CHEST, HEAD))
    assert not fits(rule(contrast=False), study(CHEST, HEAD))


def test_brackets_in_a_pattern_mean_what_fnmatch_says_and_nothing_breaks() -> None:
    assert fits(rule(series_description="lung 3.0 b[67]0f"), study())


def test_the_first_rule_that_fits_decides() -> None:
    rules = (rule(name="a", modality="MR"), rule(name="b", action="ignore"), rule(name="c"))
    route = Routes(rules).route(study())
    assert (route.rule, route.ignore) == ("b", True)


def test_without_a_rule_the_defaults_decide() -> None:
    route = Routes((), 42.0, NotAnalysed.NEVER).route(study())
    assert (route.rule, route.ignore, route.quiet_period_s, route.destinations) == ("", False, 42.0, None)
    assert route.not_analysed is NotAnalysed.NEVER


def test_a_rule_may_change_period_destinations_and_report_or_send_nothing() -> None:
    changed = rule(quiet_period_s=5, destinations=["pacs"], not_analysed_report="always")
    route = Routes((changed,)).route(study())
    assert (route.quiet_period_s, route.destinations, route.not_analysed) == (5.0, ("pacs",), NotAnalysed.ALWAYS)
    assert Routes((rule(action="analyse-only"),)).route(study()).destinations == ()


@pytest.mark.parametrize(
    ("facts", "field_mm", "expected"),
    [
        (SeriesFacts(body_part="CHEST"), 200.0, True),
        (SeriesFacts(body_part="CHESTABDPELVIS"), None, True),
        (SeriesFacts(body_part="HEAD"), 500.0, False),
        (SeriesFacts(body_part="ABDOMEN", series_description="Thorax 1.0"), None, True),
        (SeriesFacts(body_part="HEAD", study_description="CT Thorax"), None, False),  # its own words count first
        (SeriesFacts(study_description="CT Thorax"), None, True),
        (SeriesFacts(study_description="CT Schädel nativ"), 500.0, False),
        (SeriesFacts(series_description="2.0 mm"), 500.0, True),
        (SeriesFacts(series_description="2.0 mm"), 230.0, False),
        (SeriesFacts(), None, False),
        (SeriesFacts(series_description="LungCAD"), None, True),
        (SeriesFacts(protocol="CAP w contrast"), None, True),
    ],
)
def test_what_may_be_a_chest_is_told_by_words_and_then_by_the_field(
    facts: SeriesFacts, field_mm: float | None, expected: bool
) -> None:
    assert may_be_chest(facts, field_mm) is expected


@pytest.mark.parametrize(
    ("wanted", "chest", "replaces", "report"),
    [
        (NotAnalysed.ALWAYS, False, False, True),
        (NotAnalysed.NEVER, True, False, False),
        (NotAnalysed.CHEST, True, False, True),
        (NotAnalysed.CHEST, False, False, False),
        (NotAnalysed.NEVER, False, True, True),  # what is in the PACS must not stand as if nothing had happened
    ],
)
def test_when_a_refusal_is_reported(wanted: NotAnalysed, chest: bool, replaces: bool, report: bool) -> None:
    assert wants_report(wanted, chest=chest, replaces=replaces) is report
