from dataclasses import replace

import pytest
from pydicom import Dataset

from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason
from survnode.node.results import words
from survnode.node.results.bundle import analysed, not_analysed
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.findings import findings_of
from survnode.node.results.inspection.content import content_items, texts
from survnode.node.results.inspection.inspection import inspect
from survnode.node.results.summary import analysed_summary
from survnode.node.state.records import CheckState, Completeness

from .conftest import Predict, a_model, a_run, a_series

WHOLE = Completeness(CheckState.WHOLE, 134, 134)
LACKING = Completeness(CheckState.INCOMPLETE, 120, 134)


@pytest.mark.parametrize(
    ("completeness", "expected"),
    [
        (None, []),
        (WHOLE, ["134 of 134 instances, checked with the PACS"]),
        (LACKING, ["WARNING: 120 of 134 instances, checked with the PACS: the others did not come"]),
        (replace(WHOLE, received=140), ["140 instances, checked with the PACS, which holds 134"]),
        (
            Completeness(CheckState.UNANSWERED, 120, None),
            ["120 instances, not checked with the PACS: the PACS did not answer"],
        ),
        (
            Completeness(CheckState.UNKNOWN, 120, None),
            ["120 instances, not checked with the PACS: the PACS does not hold them"],
        ),
        (
            replace(WHOLE, others_lacking=2),
            [
                "134 of 134 instances, checked with the PACS",
                "WARNING: other CT series of the study that did not come whole: 2",
            ],
        ),
    ],
)
def test_whether_all_images_came_is_said_in_a_line(completeness: Completeness | None, expected: list[str]) -> None:
    assert list(words.received(completeness)) == expected


def codes_of(report: Dataset) -> set[str]:
    return {item.ConceptCodeSequence[0].CodeValue for item in content_items(report) if "ConceptCodeSequence" in item}


def test_a_report_says_in_words_and_as_a_code_that_images_are_missing(
    source: SourceStudy, volume: Volume, predict: Predict, results: tuple[ResultObject, ...]
) -> None:
    run = replace(a_run(), completeness=LACKING)
    made = analysed(source, volume, predict(), run)
    summary = analysed_summary(predict(), volume, source, made, run)
    inspect(made, source, summary)
    assert "WARNING: 120 of 134 instances" in texts(made[0].dataset)
    assert "W-MISSING" in codes_of(made[0].dataset)
    assert summary["completeness"]["expected"] == 134
    assert not {item.sop_instance_uid for item in made} & {item.sop_instance_uid for item in results}
    assert "instances" not in texts(results[0].dataset)
    assert "W-MISSING" not in codes_of(results[0].dataset)


def test_a_report_of_a_whole_series_says_so_without_a_warning(
    source: SourceStudy, volume: Volume, predict: Predict
) -> None:
    (report, *_) = analysed(source, volume, predict(), replace(a_run(), completeness=WHOLE))
    assert "134 of 134 instances, checked with the PACS" in texts(report.dataset)
    assert "W-MISSING" not in codes_of(report.dataset)


def test_a_refusal_says_it_too(source: SourceStudy) -> None:
    run = replace(a_run(), completeness=LACKING)
    (report,) = not_analysed(source, Reason.IRREGULAR_SPACING, "6 mm", run, a_model())
    inspect((report,), source)
    assert "WARNING: 120 of 134 instances" in texts(report.dataset)
    assert {"W-MISSING", "NA-SPACING"} <= codes_of(report.dataset)


@pytest.mark.parametrize(("cohort", "share"), [((0.001, 0.002), "almost all"), ((0.98, 0.99), "almost none")])
def test_nobody_is_said_to_be_above_a_whole_cohort_or_below_it(
    predict: Predict, cohort: tuple[float, ...], share: str
) -> None:
    findings = findings_of(predict(cohort_survival=cohort), a_series(), 5)
    assert f"At 24 months it is higher than in {share} of the training cohort." in words.summary(findings)


@pytest.mark.parametrize(
    ("share", "part"), [(0.2, "almost none"), (0.6, "1 %"), (57.4, "57 %"), (99.4, "99 %"), (99.8, "almost all")]
)
def test_a_prediction_is_never_higher_than_more_than_a_share(share: float, part: str) -> None:
    assert words.of_cohort(share) == part
