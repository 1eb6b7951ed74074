from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from survnode.node import errors
from survnode.node.commands.put_aside import put_aside
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.incoming_file import IncomingFile
from survnode.node.intake.instance import Received
from survnode.node.intake.register import Stored
from survnode.node.intake.store import Store
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Instance, Job, Quarantined, Study, StudyState
from survnode.node.state.tables import instances, quarantined, studies
from survnode.node.state.tables import jobs as job_table

MakeReceived = Callable[..., Received]

pytestmark = pytest.mark.usefixtures("three_slices_are_enough")


@pytest.fixture
def store(tmp_path: Path, database: Database) -> Store:
    return Store(tmp_path / "store", database, quiet_period_s=60, clock=lambda: 0.0)


@pytest.fixture
def assembly(store: Store, database: Database) -> Assembly:
    return Assembly(database, store.folder, "2.25.1", spacing_mm=3.0)


def study_of(database: Database) -> Study:
    with database.reading() as connection:
        (study,) = fetch(connection, Study, select(studies))
    return study


def a_conflict(store: Store, assembly: Assembly, make_received: MakeReceived) -> None:
    """Three images of one patient and a fourth of another."""
    for number, patient in enumerate(("P1", "P1", "P1", "P2"), start=1):
        store.add(make_received(number, PatientID=patient))
    assembly.assemble_due(1e6)


def send_again(store: Store, make_received: MakeReceived, patient: str, *numbers: int) -> list[Stored]:
    return [store.add(make_received(number, PatientID=patient)) for number in numbers]


def test_a_study_of_two_patients_that_was_put_aside_is_analysed_when_it_comes_again_corrected(
    store: Store, database: Database, assembly: Assembly, make_received: MakeReceived
) -> None:
    a_conflict(store, assembly, make_received)
    assert study_of(database).state is StudyState.PATIENT_CONFLICT
    assert put_aside(database, store.folder, "1.2.3", now=1e6) == 4
    assert send_again(store, make_received, "P2", 1, 2, 3, 4) == [Stored.NEW] * 4
    (job,) = assembly.assemble_due(2e6)
    with database.reading() as connection:
        (made,) = fetch(connection, Job, select(job_table).where(job_table.c.id == job))
    assert (made.reason, len(made.sop_instance_uids)) == (None, 4)
    assert study_of(database).patient_id == "P2"


def test_what_does_not_come_again_is_missed_by_nobody(
    store: Store, database: Database, assembly: Assembly, make_received: MakeReceived
) -> None:
    a_conflict(store, assembly, make_received)
    put_aside(database, store.folder, "1.2.3", now=1e6)
    send_again(store, make_received, "P1", 1, 2, 3)
    assert len(assembly.assemble_due(2e6)) == 1


def test_what_was_put_aside_is_kept_in_quarantine(
    store: Store, database: Database, assembly: Assembly, make_received: MakeReceived
) -> None:
    a_conflict(store, assembly, make_received)
    with database.reading() as connection:
        before = {
            it.sha256: (store.folder / it.path).read_bytes() for it in fetch(connection, Instance, select(instances))
        }
    put_aside(database, store.folder, "1.2.3", now=1e6)
    with database.reading() as connection:
        kept = fetch(connection, Quarantined, select(quarantined))
        assert fetch(connection, Instance, select(instances)) == []
    assert {it.sha256: (store.folder / it.path).read_bytes() for it in kept} == before
    assert not [path for path in (store.folder / "studies").rglob("*") if path.is_file()]
    store.sweep()
    assert len(list((store.folder / "quarantine").iterdir())) == 4
    store.close()


def test_a_study_that_had_a_result_begins_anew_with_its_next_version(
    store: Store, database: Database, assembly: Assembly, make_received: MakeReceived
) -> None:
    send_again(store, make_received, "P1", 1, 2, 3)
    assembly.assemble_due(1e6)
    send_again(store, make_received, "P2", 4)
    assembly.assemble_due(2e6)
    put_aside(database, store.folder, "1.2.3", now=2e6)
    send_again(store, make_received, "P2", 1, 2, 3, 4)
    assembly.assemble_due(3e6)
    study = study_of(database)
    assert (study.state, study.patient_id, study.patient_conflict) == (StudyState.ASSEMBLED, "P2", False)
    with database.reading() as connection:
        assert [job.version for job in fetch(connection, Job, select(job_table).order_by(job_table.c.id))] == [1, 2]


def test_a_study_of_one_patient_is_not_put_aside(store: Store, database: Database, make_received: MakeReceived) -> None:
    store.add(make_received(1))
    with pytest.raises(errors.PatientsAgree, match="not such a study. " + StudyState.RECEIVING.sentence[:20]):
        put_aside(database, store.folder, "1.2.3", now=0.0)
    with pytest.raises(errors.RecordNotFound):
        put_aside(database, store.folder, "7.7", now=0.0)


def test_an_image_that_comes_while_its_study_is_put_aside_is_not_lost(
    store: Store, database: Database, assembly: Assembly, make_received: MakeReceived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is written, then the study is put aside, then its row is written."""
    a_conflict(store, assembly, make_received)
    place = store._place

    def then_put_aside(file: IncomingFile, path: str) -> None:
        place(file, path)
        put_aside(database, store.folder, "1.2.3", now=1e6)

    monkeypatch.setattr(store, "_place", then_put_aside)
    assert store.add(make_received(1, PatientID="P1")) is Stored.NEW
    with database.reading() as connection:
        (instance,) = fetch(connection, Instance, select(instances))
    assert (store.folder / instance.path).exists()
