from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from sqlalchemy import select, update

from survnode.model.ct.selection import choose
from survnode.model.errors import Reason
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.instance import Received
from survnode.node.intake.store import Store
from survnode.node.retry import GiveUp
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import (
    DeliveryState,
    Instance,
    InstanceState,
    Job,
    JobState,
    PlannedDelivery,
    StoredObject,
    Study,
    StudyState,
)
from survnode.node.state.rejudging import judge_again
from survnode.node.state.tables import deliveries, instances, studies
from survnode.node.state.tables import jobs as job_table
from survnode.node.work import jobs

MakeCT = Callable[..., Dataset]
MakeReceived = Callable[..., Received]

QUIET_S = 60.0

pytestmark = pytest.mark.usefixtures("three_slices_are_enough")


@pytest.fixture
def times() -> list[float]:
    return [0.0]


@pytest.fixture
def store(tmp_path: Path, database: Database, times: list[float]) -> Store:
    return Store(tmp_path / "store", database, quiet_period_s=QUIET_S, clock=lambda: times[-1])


@pytest.fixture
def assembly(store: Store, database: Database) -> Assembly:
    return Assembly(database, store.folder, "2.25.1", spacing_mm=3.0)


def jobs_of(database: Database) -> list[Job]:
    with database.reading() as connection:
        return fetch(connection, Job, select(job_table).order_by(job_table.c.id))


def study_of(database: Database) -> Study:
    with database.reading() as connection:
        (study,) = fetch(connection, Study, select(studies))
    return study


def add(store: Store, make_received: MakeReceived, *numbers: int, **attributes: object) -> None:
    for number in numbers:
        store.add(make_received(number, **attributes))


def test_a_study_is_judged_once_its_quiet_period_is_over(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3, 4)
    assert assembly.assemble_due(QUIET_S - 0.1) == []
    assert assembly.assemble_due(QUIET_S) == [1]
    assert assembly.assemble_due(1e9) == []
    (job,) = jobs_of(database)
    assert (job.series_instance_uid, job.version, job.state, job.device_uid) == (
        "1.2.3.1",
        1,
        JobState.QUEUED,
        "2.25.1",
    )
    assert job.sop_instance_uids == ("1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3", "1.2.3.1.4")
    assert [verdict.chosen for verdict in job.verdicts] == [True]
    assert (study_of(database).state, study_of(database).due_at) == (StudyState.ASSEMBLED, None)


def test_the_same_study_sent_twice_makes_nothing_new(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    for _ in range(2):
        add(store, make_received, 1, 2, 3)
        assembly.assemble_due(1e3)
    assert len(jobs_of(database)) == 1


def test_a_job_that_failed_is_tried_again_when_its_study_is_judged_again(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3)
    assembly.assemble_due(1e3)
    running = jobs.claim(database, "w", now=1e3, lease_s=60)
    assert running is not None
    jobs.fail(database, running, "Its images were altered.", GiveUp("No."), now=1e3)
    judge_again(database, "1.2.3", now=2e3)
    assert assembly.assemble_due(2e3) == []
    (job,) = jobs_of(database)
    assert (job.state, job.due_at, job.attempts, job.failures) == (JobState.QUEUED, 2e3, 0, 0)


def test_one_late_image_makes_a_new_version(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3)
    assembly.assemble_due(1e3)
    running = jobs.claim(database, "w", now=1e3, lease_s=60)
    assert running is not None
    jobs.finish(database, running, [], [], now=1e3)
    add(store, make_received, 4)
    assembly.assemble_due(2e3)
    first, second = jobs_of(database)
    assert [(job.version, job.state, len(job.sop_instance_uids)) for job in (first, second)] == [
        (1, JobState.FINISHED, 3),
        (2, JobState.QUEUED, 4),
    ]


def test_a_version_that_was_not_started_gives_way_to_the_next(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3)
    assembly.assemble_due(1e3)
    add(store, make_received, 4)
    assembly.assemble_due(2e3)
    assert [job.state for job in jobs_of(database)] == [JobState.SUPERSEDED, JobState.QUEUED]


def test_an_unrelated_series_makes_no_new_job(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3)
    assembly.assemble_due(1e3)
    add(store, make_received, 1, series="1.2.3.2", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert assembly.assemble_due(2e3) == []
    assert len(jobs_of(database)) == 1
    assert study_of(database).state is StudyState.ASSEMBLED


def choose_first_and_back(assembly: Assembly, store: Store, make_received: MakeReceived, finish: bool) -> None:
    """A study whose choice is one series, then a second one, then the first again."""
    for now, (numbers, series) in enumerate(
        [
            ((1, 2, 3), "1.2.3.1"),
            ((11, 12, 13, 14), "1.2.3.2"),  # a better one: more slices
            ((17,), "1.2.3.2"),  # with a gap, it is refused
        ],
        start=1,
    ):
        add(store, make_received, *numbers, series=series)
        assembly.assemble_due(now * 1e3)
        if finish:
            finish_waiting(assembly.database)


def finish_waiting(database: Database) -> None:
    job = jobs.claim(database, "worker", now=1e9, lease_s=60)
    assert job is not None
    jobs.finish(database, job, [], [], now=1e9)


def versions_of(database: Database) -> list[tuple[str, int, JobState]]:
    return [(job.series_instance_uid, job.version, job.state) for job in jobs_of(database)]


def test_a_choice_that_came_back_is_run_as_the_newest_version(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    choose_first_and_back(assembly, store, make_received, finish=False)
    assert versions_of(database) == [
        ("1.2.3.1", 1, JobState.SUPERSEDED),
        ("1.2.3.2", 2, JobState.SUPERSEDED),
        ("1.2.3.1", 3, JobState.QUEUED),
    ]


def test_a_choice_that_came_back_after_the_other_had_a_result_gets_a_newer_one(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    choose_first_and_back(assembly, store, make_received, finish=True)
    assert versions_of(database) == [
        ("1.2.3.1", 1, JobState.FINISHED),
        ("1.2.3.2", 2, JobState.FINISHED),
        ("1.2.3.1", 3, JobState.FINISHED),
    ]
    assert judge_again(database, "1.2.3", now=9e3)
    assert assembly.assemble_due(9e3) == []  # now the newest version says what the study is


def test_a_choice_that_came_back_before_the_other_was_started_keeps_its_result(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3)
    assembly.assemble_due(1e3)
    finish_waiting(database)
    add(store, make_received, 11, 12, 13, 14, series="1.2.3.2")
    assembly.assemble_due(2e3)
    add(store, make_received, 17, series="1.2.3.2")
    assert assembly.assemble_due(3e3) == []
    assert versions_of(database) == [("1.2.3.1", 1, JobState.FINISHED), ("1.2.3.2", 2, JobState.SUPERSEDED)]


def test_a_result_that_was_withdrawn_is_made_anew_when_the_study_is_judged_again(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3)
    assembly.assemble_due(1e3)
    job = jobs.claim(database, "worker", now=1e9, lease_s=60)
    assert job is not None
    report = StoredObject(ResultRole.REPORT, 0, "1.2", "9.1", "9", "report.dcm")
    jobs.finish(database, job, [report], [PlannedDelivery("9.1", "pacs")], now=1e9)
    assert judge_again(database, "1.2.3", now=2e3)
    assert assembly.assemble_due(2e3) == []
    with database.transaction() as connection:
        connection.execute(update(deliveries).values(state=DeliveryState.WITHDRAWN))
    assert judge_again(database, "1.2.3", now=3e3)
    assembly.assemble_due(3e3)
    assert versions_of(database) == [("1.2.3.1", 1, JobState.FINISHED), ("1.2.3.1", 2, JobState.QUEUED)]


def test_another_model_makes_a_job_of_its_own(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3)
    assembly.assemble_due(1e3)
    newer = Assembly(database, store.folder, "2.25.2", spacing_mm=3.0)
    assert judge_again(database, "1.2.3", now=2e3)
    newer.assemble_due(2e3)
    assert [(job.device_uid, job.version) for job in jobs_of(database)] == [("2.25.1", 1), ("2.25.2", 2)]


def test_a_study_that_cannot_be_analysed_gets_a_job_that_says_why(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3, 5)
    assembly.assemble_due(1e3)
    (job,) = jobs_of(database)
    assert (job.reason, job.series_instance_uid) == (Reason.IRREGULAR_SPACING, "1.2.3.1")
    assert "6.00 mm" in job.detail
    add(store, make_received, 4)  # the missing slice
    assembly.assemble_due(2e3)
    assert [(job.version, job.reason) for job in jobs_of(database)] == [(1, Reason.IRREGULAR_SPACING), (2, None)]


def test_an_unreadable_file_is_marked_and_the_study_goes_on(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3, 4)
    with database.reading() as connection:
        (last,) = fetch(connection, Instance, select(instances).where(instances.c.sop_instance_uid == "1.2.3.1.4"))
    (store.folder / last.path).write_bytes(b"rotten")
    assembly.assemble_due(1e3)
    (job,) = jobs_of(database)
    assert (job.reason, len(job.sop_instance_uids)) == (None, 3)
    with database.reading() as connection:
        marked = fetch(connection, Instance, select(instances).where(instances.c.state == InstanceState.UNREADABLE))
    assert [item.sop_instance_uid for item in marked] == ["1.2.3.1.4"]


def test_a_study_of_two_patients_is_not_judged_but_shown(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3)
    add(store, make_received, 4, PatientID="P2")
    assert assembly.assemble_due(1e3) == []
    assert (study_of(database).state, study_of(database).due_at) == (StudyState.PATIENT_CONFLICT, None)
    assert jobs_of(database) == []


def test_a_study_of_which_only_a_part_is_left_is_not_judged_but_shown(
    assembly: Assembly, store: Store, database: Database, make_received: MakeReceived
) -> None:
    add(store, make_received, 1, 2, 3)
    with database.transaction() as connection:
        connection.execute(update(instances).values(state=InstanceState.DELETED))
    add(store, make_received, 4)
    assert assembly.assemble_due(1e3) == []
    assert study_of(database).state is StudyState.PARTLY_DELETED


def test_an_image_that_comes_while_its_study_is_judged_starts_a_new_quiet_period(
    assembly: Assembly,
    store: Store,
    database: Database,
    make_received: MakeReceived,
    times: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(store, make_received, 1, 2, 3)

    def choose_slowly(*args: object, **options: object) -> object:
        monkeypatch.undo()
        times.append(100.0)
        add(store, make_received, 4)
        return choose(*args, **options)  # type: ignore[arg-type]  # whatever it was called with

    monkeypatch.setattr("survnode.node.intake.judgement.choose", choose_slowly)
    assert assembly.assemble_due(100.0) == []
    assert (study_of(database).state, study_of(database).due_at) == (StudyState.RECEIVING, 160.0)
    assert assembly.assemble_due(160.0) == [1]
    assert len(jobs_of(database)[0].sop_instance_uids) == 4


def test_a_study_that_breaks_the_judge_is_shown_and_the_next_is_judged(
    assembly: Assembly,
    store: Store,
    database: Database,
    make_received: MakeReceived,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def break_once(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError

    add(store, make_received, 1, 2, 3)
    add(store, make_received, 1, 2, 3, study="1.5", series="1.5.1")
    monkeypatch.setattr("survnode.node.intake.judgement.choose", break_once)
    assembly.assemble_due(1e3)
    with database.reading() as connection:
        found = fetch(connection, Study, select(studies).order_by(studies.c.study_instance_uid))
    assert {study.state for study in found} == {StudyState.UNASSEMBLED, StudyState.ASSEMBLED}
    (broken,) = [study for study in found if study.state is StudyState.UNASSEMBLED]
    assert "ZeroDivisionError" in broken.error
    assert judge_again(database, broken.study_instance_uid, now=2e3)
    assembly.assemble_due(2e3)
    assert len(jobs_of(database)) == 2
