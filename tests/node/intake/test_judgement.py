"""What becomes of a study by rules and headers; `test_assembly` shows when it is judged and what job comes of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset
from sqlalchemy import select

from survnode.model.errors import Reason
from survnode.node.config import NotAnalysed, Rule
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.instance import Received
from survnode.node.intake.rules import Routes
from survnode.node.intake.store import Store
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Job, JobState, Study, StudyState
from survnode.node.state.rejudging import judge_again
from survnode.node.state.tables import jobs as job_table
from survnode.node.state.tables import studies
from survnode.node.work import jobs

MakeCT = Callable[..., Dataset]
MakeReceived = Callable[..., Received]
Judge = Callable[..., tuple[Study, list[Job]]]

pytestmark = pytest.mark.usefixtures("three_slices_are_enough")


@pytest.fixture
def store(tmp_path: Path, database: Database) -> Store:
    return Store(tmp_path / "store", database, clock=lambda: 0.0)


@pytest.fixture
def judge(store: Store, database: Database) -> Judge:
    """Judges the one study by rules; the study and its jobs."""

    def judged(*rules: Rule, not_analysed: NotAnalysed = NotAnalysed.CHEST) -> tuple[Study, list[Job]]:
        routes = Routes(rules, not_analysed=not_analysed)
        Assembly(database, store.folder, "2.25.1", 3.0, routes).assemble_due(60.0)
        with database.reading() as connection:
            (study,) = fetch(connection, Study, select(studies))
            return study, fetch(connection, Job, select(job_table))

    return judged


def add(store: Store, make_received: MakeReceived, number: int = 3, **attributes: object) -> None:
    for each in range(1, number + 1):
        store.add(make_received(each, **attributes))


def test_a_chest_that_cannot_be_analysed_gets_a_report(store: Store, make_received: MakeReceived, judge: Judge) -> None:
    add(store, make_received, 2)
    study, (job,) = judge()
    assert (study.state, job.reason) == (StudyState.ASSEMBLED, Reason.TOO_FEW_SLICES)


def test_a_head_that_cannot_be_analysed_gets_none_and_says_so(
    store: Store, make_received: MakeReceived, judge: Judge
) -> None:
    add(store, make_received, 2, BodyPartExamined="HEAD")
    study, made = judge()
    assert (study.state, study.due_at, made) == (StudyState.IGNORED, None, [])
    assert study.detail == (
        "There are too few slices. Found 2, at least 3 are needed. "
        "No report is made: its headers name no chest, and the configuration asks for reports on chests only."
    )


def test_a_head_that_looks_like_a_series_to_analyse_is_tried_but_its_refusal_is_not_reported(
    store: Store, database: Database, make_received: MakeReceived, judge: Judge
) -> None:
    """Body parts are often wrong: the images decide whether there are lungs, the header whether anybody waits."""
    add(store, make_received, BodyPartExamined="HEAD")
    study, (job,) = judge()
    assert (study.state, job.reports_refusal) == (StudyState.ASSEMBLED, False)
    claimed = jobs.claim(database, "w", now=60.0, lease_s=60.0)
    assert claimed is not None
    jobs.finish(database, claimed, [], [], now=61.0, reason=Reason.NO_LUNGS)
    study, (job,) = judge()
    assert (study.state, job.state) == (StudyState.IGNORED, JobState.FINISHED)
    assert study.detail.startswith("No lungs were found in the images.")

    # Judged again it ends as before, until a rule asks for the report.
    assert judge_again(database, "1.2.3", now=60.0)
    again, unchanged = judge()
    assert (again.state, again.detail, len(unchanged)) == (StudyState.IGNORED, study.detail, 1)
    assert judge_again(database, "1.2.3", now=60.0)
    study, (_, reported) = judge(Rule(name="all", not_analysed_report=NotAnalysed.ALWAYS))
    assert (study.state, reported.reports_refusal) == (StudyState.ASSEMBLED, True)


def test_a_rule_can_ask_for_the_report(store: Store, make_received: MakeReceived, judge: Judge) -> None:
    add(store, make_received, 2, BodyPartExamined="HEAD")
    study, (job,) = judge(Rule(name="all", not_analysed_report=NotAnalysed.ALWAYS))
    assert (study.rule, job.reports_refusal) == ("all", True)


def test_a_rule_can_ignore_a_study(store: Store, make_received: MakeReceived, judge: Judge) -> None:
    add(store, make_received)
    study, made = judge(Rule.model_validate({"name": "not-ours", "calling_ae_title": "SEND*", "action": "ignore"}))
    assert (study.state, study.rule, study.detail) == (StudyState.IGNORED, "not-ours", "The rule not-ours ignores it.")
    assert made == []


def test_a_rule_says_where_results_go(store: Store, make_received: MakeReceived, judge: Judge) -> None:
    add(store, make_received)
    _, (job,) = judge(Rule(name="r", body_part=("chest",), destinations=("archive",)))
    assert job.destinations == ("archive",)


def test_a_rule_can_have_a_study_analysed_and_nothing_sent(
    store: Store, make_received: MakeReceived, judge: Judge
) -> None:
    add(store, make_received)
    _, (job,) = judge(Rule.model_validate({"name": "shadow", "action": "analyse-only"}))
    assert job.destinations == ()


def test_a_study_without_ct_is_shown_with_what_it_holds(
    store: Store, make_received: MakeReceived, make_ct: MakeCT, judge: Judge
) -> None:
    mr = "1.2.840.10008.5.1.4.1.1.4"
    for number in (1, 2):
        ds = make_ct(number, SOPClassUID=mr)
        store.add(replace(make_received(ds=ds), sop_class_uid=mr))
    study, made = judge(Rule(name="all", not_analysed_report=NotAnalysed.ALWAYS))
    assert (study.state, study.detail, made) == (StudyState.IGNORED, "It holds no CT, but 2 MR Image Storage.", [])


def test_a_study_of_our_results_alone_is_ignored(
    store: Store, make_received: MakeReceived, make_ct: MakeCT, judge: Judge
) -> None:
    sr = "1.2.840.10008.5.1.4.1.1.88.34"
    store.add(replace(make_received(ds=make_ct(1, SOPClassUID=sr, Manufacturer="survnode")), sop_class_uid=sr))
    study, _ = judge()
    assert (study.state, study.detail) == (StudyState.IGNORED, "It holds nothing but results of this software.")


def test_what_is_not_ct_takes_part_in_rules(
    store: Store, make_received: MakeReceived, make_ct: MakeCT, judge: Judge
) -> None:
    add(store, make_received)
    pet = "1.2.840.10008.5.1.4.1.1.128"
    ds = make_ct(9, SOPClassUID=pet, Modality="PT", series="1.2.3.8")
    store.add(replace(make_received(ds=ds), sop_class_uid=pet))
    study, _ = judge(Rule.model_validate({"name": "pet", "modality": "PT", "action": "ignore"}))
    assert study.state is StudyState.IGNORED


def test_a_rule_that_only_the_whole_study_shows_can_make_it_wait_longer(
    store: Store, make_received: MakeReceived, judge: Judge
) -> None:
    add(store, make_received)
    slow = Rule(name="slow", quiet_period_s=300.0)
    study, made = judge(slow)
    assert (study.state, study.due_at, made) == (StudyState.RECEIVING, 300.0, [])


def test_an_ignored_study_can_be_judged_again(
    store: Store, database: Database, make_received: MakeReceived, judge: Judge
) -> None:
    add(store, make_received)
    judge(Rule.model_validate({"name": "r", "action": "ignore"}))
    assert judge_again(database, "1.2.3", now=60.0)
    study, (job,) = judge()
    assert (study.state, study.detail, study.rule, job.reason) == (StudyState.ASSEMBLED, "", "", None)


def test_a_file_that_cannot_be_read_is_a_fault_to_be_seen_whatever_it_may_show(
    store: Store, make_received: MakeReceived, judge: Judge
) -> None:
    add(store, make_received, 1, BodyPartExamined="HEAD")
    (path,) = (store.folder / "studies").rglob("*.dcm")
    path.write_bytes(b"nothing")
    study, (job,) = judge()
    assert (study.state, job.reason) == (StudyState.ASSEMBLED, Reason.NO_ELIGIBLE_SERIES)
