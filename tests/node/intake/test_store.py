import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset
from sqlalchemy import select, update

from survnode.node import errors
from survnode.node.config import Rule
from survnode.node.intake.instance import Received
from survnode.node.intake.register import Stored
from survnode.node.intake.rules import Routes
from survnode.node.intake.store import Store
from survnode.node.state.database import Database, fetch, fetch_one
from survnode.node.state.records import (
    Instance,
    InstanceState,
    Job,
    Keeping,
    OtherSeries,
    Quarantined,
    Study,
    StudyState,
)
from survnode.node.state.tables import instances, other_series, quarantined, studies

MakeReceived = Callable[..., Received]
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


@pytest.fixture
def times() -> list[float]:
    """The clock shows the last of them."""
    return [100.0]


@pytest.fixture
def store(tmp_path: Path, database: Database, times: list[float]) -> Store:
    return Store(tmp_path / "store", database, quiet_period_s=60, clock=lambda: times[-1])


def study_of(database: Database) -> Study:
    with database.reading() as connection:
        (study,) = fetch(connection, Study, select(studies))
    return study


def rows_of(database: Database) -> list[Instance]:
    with database.reading() as connection:
        return fetch(connection, Instance, select(instances).order_by(instances.c.sop_instance_uid))


def files_of(store: Store) -> list[Path]:
    return sorted(
        path for name in ("incoming", "studies") for path in (store.folder / name).rglob("*") if path.is_file()
    )


def test_a_stored_instance_is_its_bytes_and_its_row(
    store: Store, database: Database, make_received: MakeReceived
) -> None:
    received = make_received()
    assert store.add(received) is Stored.NEW
    (row,) = rows_of(database)
    assert files_of(store) == [store.folder / row.path]
    assert (store.folder / row.path).read_bytes() == received.part10
    assert (row.sha256, row.size_bytes) == (received.sha256, len(received.encoded))
    assert (row.state, row.received_at, row.calling_ae_title) == (InstanceState.STORED, 100.0, "SENDER")


def test_every_image_pushes_the_due_time_of_its_study(
    store: Store, database: Database, make_received: MakeReceived, times: list[float]
) -> None:
    store.add(make_received(1))
    times.append(150.0)
    store.add(make_received(2))
    study = study_of(database)
    assert (study.first_received_at, study.last_received_at, study.due_at) == (100.0, 150.0, 210.0)
    assert (study.revision, study.state, study.patient_conflict) == (2, StudyState.RECEIVING, False)


def test_the_second_copy_of_an_instance_changes_nothing(
    store: Store, database: Database, make_received: MakeReceived, times: list[float]
) -> None:
    store.add(make_received())
    before = (study_of(database), rows_of(database), files_of(store))
    times.append(150.0)
    assert store.add(make_received()) is Stored.DUPLICATE
    assert (study_of(database), rows_of(database), files_of(store)) == before


def test_other_bytes_under_a_known_uid_are_kept_apart_and_the_first_stay(
    store: Store, database: Database, make_received: MakeReceived, times: list[float]
) -> None:
    first, other = make_received(), make_received(InstanceNumber=99)
    store.add(first)
    before = (study_of(database), rows_of(database), files_of(store))
    times.append(150.0)
    assert [store.add(other), store.add(other)] == [Stored.QUARANTINED] * 2
    assert (study_of(database), rows_of(database), files_of(store)) == before
    with database.reading() as connection:
        (kept,) = fetch(connection, Quarantined, select(quarantined))
    assert (store.folder / kept.path).read_bytes() == other.part10
    assert [path.name for path in (store.folder / "quarantine").iterdir()] == [Path(kept.path).name]


@pytest.mark.parametrize("attributes", [{"StudyInstanceUID": "9.9"}, {"SeriesInstanceUID": "9.9"}])
def test_a_known_uid_in_another_study_or_series_is_refused(
    store: Store, database: Database, make_received: MakeReceived, attributes: dict[str, str]
) -> None:
    store.add(make_received())
    before = (rows_of(database), files_of(store))
    with pytest.raises(errors.InstanceMismatch):
        store.add(make_received(**attributes))
    assert (rows_of(database), files_of(store)) == before


def test_a_second_patient_in_a_study_is_flagged(store: Store, database: Database, make_received: MakeReceived) -> None:
    store.add(make_received(1))
    store.add(make_received(2, PatientID="P2"))
    store.add(make_received(3))
    assert study_of(database).patient_conflict


def test_no_uid_becomes_a_path(store: Store, make_received: MakeReceived) -> None:
    with pytest.raises(errors.UIDInvalid):
        store.add(make_received(command_uid="../../../x"))
    store.add(make_received())
    (path,) = files_of(store)
    assert "1.2.3" not in str(path.relative_to(store.folder))


def test_one_instance_from_many_senders_at_once_is_stored_once(
    store: Store, database: Database, make_received: MakeReceived
) -> None:
    copies = [make_received() for _ in range(8)] + [make_received(InstanceNumber=5) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(store.add, copies))
    assert outcomes.count(Stored.NEW) == 1
    assert outcomes.count(Stored.DUPLICATE) == 7
    assert outcomes.count(Stored.QUARANTINED) == 8
    (row,) = rows_of(database)
    assert (store.folder / row.path).read_bytes() in {copies[0].part10, copies[-1].part10}
    assert len(files_of(store)) == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, errors.StorageFull),
        (errno.EDQUOT, errors.StorageFull),
        (errno.EIO, errors.StorageFailed),
        (errno.EROFS, errors.StorageFailed),
        (errno.EMFILE, errors.StorageFailed),
    ],
)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "link"])
def test_a_disk_that_fails_takes_nothing_and_says_so(
    store: Store,
    database: Database,
    make_received: MakeReceived,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
    error: type[errors.NodeError],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(
            *{"open": (os, "open"), "write": (os, "write"), "fsync": (os, "fsync"), "link": (os, "link")}[call],
            fail,
        )
        with pytest.raises(error) as caught:
            store.add(make_received())
    assert type(caught.value) is error
    assert rows_of(database) == []
    assert files_of(store) == []
    assert store.add(make_received()) is Stored.NEW


def test_what_a_crash_left_unfinished_is_swept_and_nothing_else(store: Store, make_received: MakeReceived) -> None:
    store.add(make_received(1))
    (store.folder / "incoming" / "half").write_bytes(b"half a file")
    whole = store.folder / "studies" / "a" / "b" / "c.dcm"  # renamed, but its row was not written, or is lost
    whole.parent.mkdir(parents=True)
    whole.write_bytes(b"whole")
    before = [path for path in files_of(store) if path.name != "half"]
    assert store.sweep() == 1
    assert files_of(store) == before
    assert store.add(make_received(2)) is Stored.NEW


def test_an_instance_whose_file_cannot_be_read_is_mended_by_sending_it_again(
    store: Store, database: Database, make_received: MakeReceived, times: list[float]
) -> None:
    store.add(make_received())
    (row,) = rows_of(database)
    (store.folder / row.path).write_bytes(b"rotten")
    with database.transaction() as connection:
        connection.execute(update(instances).values(state=InstanceState.UNREADABLE))
        connection.execute(update(studies).values(state=StudyState.ASSEMBLED, due_at=None))
    times.append(500.0)
    assert store.add(make_received()) is Stored.NEW
    assert (store.folder / row.path).read_bytes() == make_received().part10
    (mended,) = rows_of(database)
    assert (mended.state, study_of(database).due_at) == (InstanceState.STORED, 560.0)


def test_only_one_process_receives_into_a_store(tmp_path: Path, store: Store, database: Database) -> None:
    other = Store(tmp_path / "store", database, quiet_period_s=60)
    store.sweep()
    with pytest.raises(errors.StoreInUse):
        other.sweep()
    store.close()
    assert other.sweep() == 0
    other.close()


def test_an_instance_whose_file_was_deleted_is_stored_again(
    store: Store, database: Database, make_received: MakeReceived, times: list[float]
) -> None:
    store.add(make_received())
    (row,) = rows_of(database)
    with database.transaction() as connection:
        connection.execute(update(instances).values(state=InstanceState.DELETED))
        connection.execute(update(studies).values(state=StudyState.DELETED, due_at=None))
    (store.folder / row.path).unlink()
    times.append(900.0)
    assert store.add(make_received()) is Stored.NEW
    assert (store.folder / row.path).exists()
    study = study_of(database)
    assert (study.state, study.due_at) == (StudyState.RECEIVING, 960.0)
    with database.reading() as connection:
        again = fetch_one(connection, Instance, select(instances))
    assert again is not None
    assert again.state is InstanceState.STORED


def test_an_instance_whose_file_was_altered_is_mended_when_it_comes_again(
    store: Store, database: Database, make_received: MakeReceived, times: list[float]
) -> None:
    store.add(make_received())
    (row,) = rows_of(database)
    whole = (store.folder / row.path).read_bytes()
    (store.folder / row.path).write_bytes(whole[:-1])
    with database.transaction() as connection:
        connection.execute(update(instances).values(state=InstanceState.UNREADABLE))
        connection.execute(update(studies).values(state=StudyState.ASSEMBLED, due_at=None))
    times.append(900.0)
    assert store.add(make_received()) is Stored.NEW
    assert (store.folder / row.path).read_bytes() == whole
    assert [it.state for it in rows_of(database)] == [InstanceState.STORED]
    assert (study_of(database).state, study_of(database).due_at) == (StudyState.RECEIVING, 960.0)


def test_a_study_remembers_what_people_search_for_and_how_its_first_image_came(
    store: Store, database: Database, make_received: MakeReceived
) -> None:
    store.add(replace(make_received(1, AccessionNumber="A1 ", StudyDate="20260102"), called_ae_title="CHEST"))
    store.add(replace(make_received(2), called_ae_title="OTHER", calling_ae_title="SECOND"))
    study = study_of(database)
    assert (study.accession_number, study.study_date) == ("A1", "20260102")
    assert (study.calling_ae_title, study.called_ae_title) == ("SENDER", "CHEST")
    assert study.rule == ""


def others_of(database: Database) -> list[OtherSeries]:
    with database.reading() as connection:
        return fetch(connection, OtherSeries, select(other_series))


@pytest.fixture
def make_other(make_received: MakeReceived, make_ct: Callable[..., Dataset]) -> MakeReceived:
    """An RTSTRUCT of the study, or another instance that is no CT."""

    def make(number: int = 1, sop_class: str = RTSTRUCT, **attributes: object) -> Received:
        ds = make_ct(number, series="1.2.3.77", SOPClassUID=sop_class, Modality="RTSTRUCT", **attributes)
        return replace(make_received(ds=ds), sop_class_uid=sop_class)

    return make


def test_what_is_not_ct_is_counted_and_dropped(store: Store, database: Database, make_other: MakeReceived) -> None:
    assert [store.add(make_other(1)), store.add(make_other(2))] == [Stored.OTHER] * 2
    (other,) = others_of(database)
    assert (other.sop_class_uid, other.series_instance_uid, other.modality) == (RTSTRUCT, "1.2.3.77", "RTSTRUCT")
    assert (other.instances, other.keeping) == (2, Keeping.DROPPED)
    assert files_of(store) == []
    assert rows_of(database) == []


def test_what_is_not_ct_makes_a_study_wait_and_names_it_until_its_ct_comes(
    store: Store, database: Database, make_other: MakeReceived, make_received: MakeReceived, times: list[float]
) -> None:
    store.add(make_other(1, PatientID="P9", AccessionNumber="A9"))
    study = study_of(database)
    assert (study.state, study.due_at, study.patient_id) == (StudyState.RECEIVING, 160.0, "P9")
    times.append(150.0)
    store.add(make_received(1, AccessionNumber="A1"))
    study = study_of(database)
    assert (study.due_at, study.patient_id, study.accession_number) == (210.0, "P1", "A1")
    assert not study.patient_conflict
    times.append(200.0)
    store.add(make_other(2))
    assert study_of(database).due_at == 260.0


@pytest.mark.parametrize("state", [StudyState.ASSEMBLED, StudyState.DELETED, StudyState.IGNORED])
def test_what_is_not_ct_opens_no_study_again_that_was_judged(
    store: Store, database: Database, make_received: MakeReceived, make_other: MakeReceived, state: StudyState
) -> None:
    store.add(make_received(1))
    with database.transaction() as connection:
        connection.execute(update(studies).values(state=state, due_at=None))
    before = study_of(database)
    store.add(make_other(1))
    assert study_of(database) == before
    assert others_of(database)[0].instances == 1


@pytest.mark.parametrize(
    "attributes", [{"Manufacturer": "survnode"}, {"SOPInstanceUID": "9.1.1"}, {"series": "9.1.10"}]
)
def test_our_own_results_that_come_back_change_nothing(
    store: Store,
    database: Database,
    make_received: MakeReceived,
    make_ct: Callable[..., Dataset],
    finish_job: Callable[..., Job],
    attributes: dict[str, str],
) -> None:
    """By manufacturer, by UID, by series: a PACS may coerce any of them."""
    finish_job()
    before = study_of(database)
    sr = "1.2.840.10008.5.1.4.1.1.88.34"
    ds = make_ct(5, SOPClassUID=sr, **attributes)
    assert store.add(replace(make_received(ds=ds), sop_class_uid=sr)) is Stored.OTHER
    assert study_of(database) == before
    assert others_of(database)[0].keeping is Keeping.OWN


def test_what_is_not_ct_is_kept_if_the_site_wants_it_and_survives_a_start(
    tmp_path: Path, database: Database, make_other: MakeReceived
) -> None:
    store = Store(tmp_path / "store", database, keep_other=True)
    received = make_other(1)
    store.add(received)
    store.add(received)
    store.sweep()
    (kept,) = [path for path in (store.folder / "other").rglob("*") if path.is_file()]
    assert kept.read_bytes() == received.part10
    assert others_of(database)[0].keeping is Keeping.KEPT
    store.close()


def test_a_rule_gives_its_studies_their_own_quiet_period(
    tmp_path: Path, database: Database, make_received: MakeReceived
) -> None:
    rules = (Rule(name="fast", calling_ae_title=("SENDER",), quiet_period_s=5.0),)
    store = Store(tmp_path / "store", database, routes=Routes(rules), clock=lambda: 100.0)
    store.add(make_received(1))
    store.add(replace(make_received(2, study="1.5", series="1.5.1"), calling_ae_title="OTHER"))
    with database.reading() as connection:
        found = {study.study_instance_uid: study.due_at for study in fetch(connection, Study, select(studies))}
    assert found == {"1.2.3": 105.0, "1.5": 160.0}
