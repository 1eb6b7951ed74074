from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import delete, insert, select, update

from survnode.node.intake.adoption import Adoption, adopt_files
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.instance import Received
from survnode.node.intake.register import Stored
from survnode.node.intake.store import Store
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch, row_of
from survnode.node.state.files import other_folder
from survnode.node.state.records import (
    Association,
    AssociationEnd,
    CommitmentState,
    Delivery,
    DeliveryState,
    InstanceState,
    Job,
    JobState,
    PlannedDelivery,
    StoredObject,
    Study,
    StudyState,
)
from survnode.node.state.retention import delete_associations, delete_expired, delete_reports, has_arrived, may_delete
from survnode.node.state.tables import associations, deliveries, instances, studies
from survnode.node.state.tables import jobs as job_table
from survnode.node.state.tables import results as results_table
from survnode.node.work import jobs

from .conftest import plans

MakeReceived = Callable[..., Received]

HOME = "00000001"  # the folder of job 1
STUDY = Study("1.2", "P1", False, 0.0, 100.0, None, 1, StudyState.ASSEMBLED)
JOB = Job(1, "1.2", "1.3", (), "d", "2.25.1", 1, None, "", (), JobState.FINISHED, 0.0, 0.0, ended_at=200.0)
SENT = Delivery(1, 1, 1, "pacs", DeliveryState.SENT, 0.0, 0.0, settled_at=300.0)


def test_a_study_may_go_a_retention_time_after_the_last_of_all() -> None:
    assert not may_delete(STUDY, [JOB], [SENT], now=1299.0, retention_s=1000)
    assert may_delete(STUDY, [JOB], [SENT], now=1300.0, retention_s=1000)


@pytest.mark.parametrize(
    ("study", "job", "delivery"),
    [
        (replace(STUDY, state=StudyState.RECEIVING, due_at=150.0), JOB, SENT),
        (replace(STUDY, state=StudyState.PATIENT_CONFLICT), JOB, SENT),
        (replace(STUDY, state=StudyState.UNASSEMBLED), JOB, SENT),
        (STUDY, replace(JOB, state=JobState.QUEUED), SENT),
        (STUDY, replace(JOB, state=JobState.RUNNING), SENT),
        (STUDY, replace(JOB, state=JobState.FAILED), SENT),
        (STUDY, replace(JOB, state=JobState.QUARANTINED), SENT),
        (STUDY, replace(JOB, state=JobState.SUPERSEDED), SENT),
        (STUDY, JOB, replace(SENT, state=DeliveryState.WAITING)),
        (STUDY, JOB, replace(SENT, commitment=CommitmentState.REQUESTED, commitment_due_at=400.0)),
    ],
)
def test_a_study_that_is_still_needed_stays_for_ever(study: Study, job: Job, delivery: Delivery) -> None:
    assert not may_delete(study, [job], [delivery], now=1e12, retention_s=0)


def test_an_ignored_study_goes_with_or_without_a_job_that_ended() -> None:
    ignored = replace(STUDY, state=StudyState.IGNORED)
    assert may_delete(ignored, [], [], now=1100.0, retention_s=1000)
    assert may_delete(ignored, [JOB], [], now=1200.0, retention_s=1000)
    assert not may_delete(ignored, [replace(JOB, state=JobState.FAILED)], [], now=1e12, retention_s=0)


def test_a_study_without_a_job_stays_for_ever() -> None:
    assert not may_delete(STUDY, [], [], now=1e12, retention_s=0)


@pytest.mark.parametrize(
    ("of_deliveries", "arrived"),
    [
        ([], False),
        ([SENT], True),
        ([SENT, replace(SENT, state=DeliveryState.WITHDRAWN)], True),
        ([SENT, replace(SENT, state=DeliveryState.REFUSED)], False),
        ([replace(SENT, commitment=CommitmentState.COMMITTED)], True),
        ([replace(SENT, commitment=CommitmentState.FAILED)], False),
    ],
)
def test_a_file_is_needed_until_every_destination_keeps_it(of_deliveries: list[Delivery], arrived: bool) -> None:
    assert has_arrived(of_deliveries) is arrived


@pytest.fixture
def store(tmp_path: Path, database: Database) -> Store:
    return Store(tmp_path / "store", database, quiet_period_s=60, clock=lambda: 0.0)


def run_study(store: Store, database: Database, make_received: MakeReceived, results: Path) -> None:
    """Receive, judge, work and deliver: a report that arrived and a curve that was refused."""
    for number in (1, 2, 3):
        store.add(make_received(number))
    Assembly(database, store.folder, "2.25.1", spacing_mm=3.0).assemble_due(60.0)
    job = jobs.claim(database, "w", now=60.0, lease_s=60)
    assert job is not None
    (results / HOME).mkdir(parents=True)
    (results / HOME / "prediction.json").write_text("{}")
    made = []
    for role in (ResultRole.REPORT, ResultRole.CURVE):
        path = f"{HOME}/{role.value}.dcm"
        (results / path).write_bytes(b"DICM")
        made.append(StoredObject(role, 0, "1.2", f"9.{role.value}", "9", path))
    planned = [PlannedDelivery(item.sop_instance_uid, "pacs") for item in made]
    jobs.finish(database, job, made, planned, now=70.0)
    with database.transaction() as connection:
        refused = {"state": DeliveryState.REFUSED, "settled_at": 80.0}
        connection.execute(update(deliveries).values(refused))
        connection.execute(update(deliveries).where(deliveries.c.id == 1).values(state=DeliveryState.SENT))


def result_files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def ct_files(store: Store) -> int:
    return sum(path.is_file() for path in (store.folder / "studies").rglob("*"))


def test_files_go_rows_stay_and_what_did_not_arrive_is_kept(
    tmp_path: Path, store: Store, database: Database, make_received: MakeReceived
) -> None:
    results = tmp_path / "results"
    run_study(store, database, make_received, results)
    bystander = store.folder / "quarantine" / "evidence.dcm"
    bystander.write_bytes(b"kept")
    store.add(make_received(1, study="5.5", series="5.5.1"))
    assert delete_expired(database, store.folder, results, now=1079.0, retention_s=1000) == []
    assert delete_expired(database, store.folder, results, now=1080.0, retention_s=1000) == ["1.2.3"]
    assert ct_files(store) == 1  # of the other study
    assert result_files(results) == {"curve.dcm", "report.dcm", "prediction.json"}
    assert bystander.exists()
    with database.reading() as connection:
        states = connection.execute(
            select(instances.c.state).where(instances.c.study_instance_uid == "1.2.3")
        ).scalars()
        assert set(states) == {InstanceState.DELETED}
        found = fetch(connection, Study, select(studies).where(studies.c.study_instance_uid == "1.2.3"))
    assert found[0].state is StudyState.DELETED


def test_a_report_stays_longer_so_that_it_can_be_withdrawn(
    tmp_path: Path, store: Store, database: Database, make_received: MakeReceived
) -> None:
    results = tmp_path / "results"
    run_study(store, database, make_received, results)
    assert delete_reports(database, results, now=1e9, retention_s=5000) == 0  # its study is still there
    delete_expired(database, store.folder, results, now=2000.0, retention_s=1000)
    assert delete_reports(database, results, now=5069.0, retention_s=5000) == 0
    assert delete_reports(database, results, now=5070.0, retention_s=5000) == 1
    assert result_files(results) == {"curve.dcm", "prediction.json"}


def test_what_was_made_of_a_report_later_goes_with_it_and_nothing_of_the_job_is_left(
    tmp_path: Path, store: Store, database: Database, make_received: MakeReceived
) -> None:
    results = tmp_path / "results"
    run_study(store, database, make_received, results)
    with database.transaction() as connection:
        connection.execute(update(deliveries).values(state=DeliveryState.SENT))
    delete_expired(database, store.folder, results, now=2000.0, retention_s=1000)
    assert result_files(results) == {"report.dcm", "prediction.json"}
    add_later(database, results, ResultRole.REPORT, "enhanced", variant_of=1, state=DeliveryState.SENT)
    note = add_later(database, results, ResultRole.WITHDRAWAL, "withdrawal", state=DeliveryState.WAITING)
    assert delete_reports(database, results, now=9000.0, retention_s=5000) == 2
    assert result_files(results) == {"withdrawal.dcm", "prediction.json"}  # it has not arrived yet
    with database.transaction() as connection:
        connection.execute(update(deliveries).where(deliveries.c.id == note).values(state=DeliveryState.SENT))
    assert delete_reports(database, results, now=9000.0, retention_s=5000) == 1
    assert list(results.iterdir()) == []
    with plans(database) as steps:  # of the many that were deleted over the years no row is read again
        assert delete_reports(database, results, now=9000.0, retention_s=5000) == 0
    assert steps == []


def add_later(
    database: Database,
    folder: Path,
    role: ResultRole,
    name: str,
    *,
    state: DeliveryState,
    variant_of: int | None = None,
) -> int:
    """The delivery of an object of job 1 that was made after its study was deleted."""
    path = f"{HOME}/{name}.dcm"
    (folder / path).write_bytes(b"DICM")
    row = row_of(StoredObject(role, 0, "1.2", f"9.{name}", "9", path))
    extra = {"job_id": 1, "created_at": 3000.0, "variant_of": variant_of}
    with database.transaction() as connection:
        made = connection.execute(insert(results_table).values(row | extra).returning(results_table.c.id)).scalar_one()
        delivery = {"result_id": made, "job_id": 1, "destination": "pacs", "created_at": 3000.0, "due_at": 3000.0}
        sent = insert(deliveries).values(delivery | {"state": state}).returning(deliveries.c.id)
        return int(connection.execute(sent).scalar_one())


def test_a_deleted_study_that_is_sent_again_makes_no_second_result_and_goes_again(
    tmp_path: Path, store: Store, database: Database, make_received: MakeReceived
) -> None:
    results = tmp_path / "results"
    run_study(store, database, make_received, results)
    delete_expired(database, store.folder, results, now=2000.0, retention_s=1000)
    again = Store(store.folder, database, quiet_period_s=60, clock=lambda: 3000.0)
    assert [again.add(make_received(number)) for number in (1, 2, 3)] == [Stored.NEW] * 3
    assert Assembly(database, store.folder, "2.25.1", spacing_mm=3.0).assemble_due(3060.0) == []
    with database.reading() as connection:
        assert len(fetch(connection, Job, select(job_table))) == 1
    assert ct_files(store) == 3
    assert delete_expired(database, store.folder, results, now=3999.0, retention_s=1000) == []
    assert delete_expired(database, store.folder, results, now=4000.0, retention_s=1000) == ["1.2.3"]
    assert ct_files(store) == 0


def test_a_crash_in_the_middle_of_a_deletion_leaves_files_that_the_next_start_takes_up_again(
    tmp_path: Path, store: Store, database: Database, make_received: MakeReceived, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    run_study(store, database, make_received, tmp_path / "results")
    monkeypatch.setattr("survnode.node.state.retention._unlink_deleted", die)
    with pytest.raises(Killed):
        delete_expired(database, store.folder, tmp_path / "results", now=2000.0, retention_s=1000)
    assert ct_files(store) == 3
    assert store.sweep() == 0
    assert adopt_files(store, Event()) == Adoption(adopted=3)
    assert ct_files(store) == 3
    with database.reading() as connection:
        (study,) = fetch(connection, Study, select(studies))
    assert study.state is StudyState.RECEIVING
    store.close()


def test_what_was_analysed_for_nobody_goes_with_its_study_and_its_report_later(
    tmp_path: Path, store: Store, database: Database, make_received: MakeReceived
) -> None:
    results = tmp_path / "results"
    run_study(store, database, make_received, results)
    with database.transaction() as connection:
        connection.execute(delete(deliveries))
        connection.execute(update(job_table).values(destinations=()))
    assert delete_expired(database, store.folder, results, now=1080.0, retention_s=1000) == ["1.2.3"]
    assert result_files(results) == {"report.dcm", "prediction.json"}
    assert delete_reports(database, results, now=1080.0, retention_s=1000) == 1
    assert result_files(results) == set()


def test_what_is_kept_besides_ct_goes_with_its_study(
    tmp_path: Path, store: Store, database: Database, make_received: MakeReceived
) -> None:
    results = tmp_path / "results"
    run_study(store, database, make_received, results)
    kept = store.folder / other_folder("1.2.3") / "series" / "struct.dcm"
    another = store.folder / other_folder("9.9") / "series" / "struct.dcm"
    for path in (kept, another):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"DICM")
    delete_expired(database, store.folder, results, now=1080.0, retention_s=1000)
    assert not kept.exists()
    assert another.exists()


def test_associations_are_forgotten_after_their_time(database: Database) -> None:
    with database.transaction() as connection:
        for ended_at in (10.0, 20.0):
            record = Association("192.0.2.1", "A", "B", 1.0, ended_at, AssociationEnd.RELEASED)
            connection.execute(insert(associations).values(row_of(record)))
    assert delete_associations(database, now=110.0, retention_s=100.0) == 1
    with database.reading() as connection:
        (left,) = fetch(connection, Association, select(associations))
    assert left.ended_at == 20.0
