"""Ten images are ten images, whatever became of the database."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import select

from survnode.node.intake.adoption import Adoption, adopt_files
from survnode.node.intake.instance import Received
from survnode.node.intake.register import Stored
from survnode.node.intake.store import Store
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Instance, Quarantined, Study, StudyState
from survnode.node.state.tables import instances, quarantined, studies

MakeReceived = Callable[..., Received]
OpenStore = Callable[[], Store]


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    """The node's store with the database that is there, as a start finds it."""

    def open_it() -> Store:
        store = Store(tmp_path / "store", Database(tmp_path / "node.sqlite"), quiet_period_s=60, clock=lambda: 900.0)
        store.sweep()
        return store

    return open_it


def rows(tmp_path: Path) -> list[Instance]:
    with Database(tmp_path / "node.sqlite").reading() as connection:
        return fetch(connection, Instance, select(instances).order_by(instances.c.sop_instance_uid))


def files(tmp_path: Path) -> dict[str, bytes]:
    store = tmp_path / "store"
    found = (path for name in ("studies", "quarantine") for path in (store / name).rglob("*") if path.is_file())
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in found}


def fill(store: Store, make_received: MakeReceived, numbers: range) -> None:
    for number in numbers:
        assert store.add(make_received(number)) is Stored.NEW


def test_a_deleted_database_loses_no_image(tmp_path: Path, open_store: OpenStore, make_received: MakeReceived) -> None:
    store = open_store()
    fill(store, make_received, range(1, 11))
    store.close()
    rows_before, files_before = rows(tmp_path), files(tmp_path)
    for path in tmp_path.glob("node.sqlite*"):
        path.unlink()
    again = open_store()
    assert adopt_files(again, Event()) == Adoption(adopted=10)
    assert files(tmp_path) == files_before
    adopted = rows(tmp_path)
    assert [(row.sop_instance_uid, row.sha256, row.path, row.calling_ae_title, row.size_bytes) for row in adopted] == [
        (row.sop_instance_uid, row.sha256, row.path, row.calling_ae_title, row.size_bytes) for row in rows_before
    ]
    with Database(tmp_path / "node.sqlite").reading() as connection:
        (study,) = fetch(connection, Study, select(studies))
    assert (study.state, study.due_at, study.patient_id) == (StudyState.RECEIVING, 960.0, "P1")
    assert again.add(make_received(3)) is Stored.DUPLICATE
    again.close()


def test_an_older_copy_of_the_database_loses_no_image(
    tmp_path: Path, open_store: OpenStore, make_received: MakeReceived
) -> None:
    store = open_store()
    fill(store, make_received, range(1, 6))
    store.close()
    with closing(sqlite3.connect(tmp_path / "node.sqlite")) as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "copy"),))
    store = open_store()
    fill(store, make_received, range(6, 11))
    store.close()
    for path in tmp_path.glob("node.sqlite*"):
        path.unlink()
    (tmp_path / "copy").rename(tmp_path / "node.sqlite")
    again = open_store()
    assert adopt_files(again, Event()) == Adoption(adopted=5)
    assert len(rows(tmp_path)) == len(files(tmp_path)) == 10
    assert adopt_files(again, Event()) == Adoption()
    again.close()


def test_a_lost_write_ahead_log_loses_no_image(
    tmp_path: Path, open_store: OpenStore, make_received: MakeReceived
) -> None:
    """The store and its log are copied while the node runs, the copy without the log: as a backup may be."""
    store = open_store()
    fill(store, make_received, range(1, 11))
    copy = tmp_path / "restored"
    copy.mkdir()
    shutil.copytree(tmp_path / "store", copy / "store")
    shutil.copy(tmp_path / "node.sqlite", copy / "node.sqlite")
    store.close()
    again = Store(copy / "store", Database(copy / "node.sqlite"))
    told = adopt_files(again, Event())
    assert told.quarantined == 0
    assert len(rows(copy)) == len(files(copy)) == 10
    again.close()


def test_what_cannot_be_read_or_is_not_what_its_name_says_goes_to_quarantine(
    tmp_path: Path, open_store: OpenStore, make_received: MakeReceived
) -> None:
    store = open_store()
    fill(store, make_received, range(1, 3))
    first, second = sorted((tmp_path / "store/studies").rglob("*.dcm"))
    store.close()
    for path in tmp_path.glob("node.sqlite*"):
        path.unlink()
    first.write_bytes(first.read_bytes()[:-1] + b"\xff")  # another byte than its name was made of
    second.write_bytes(b"rotten")
    again = open_store()
    assert adopt_files(again, Event()) == Adoption(quarantined=2)
    assert sorted(files(tmp_path)) == [f"quarantine/{name}" for name in sorted((first.name, second.name))]
    with Database(tmp_path / "node.sqlite").reading() as connection:
        kept = fetch(connection, Quarantined, select(quarantined))
    assert {it.path for it in kept} == set(files(tmp_path))
    again.close()


def test_what_lies_in_quarantine_is_listed_again(
    tmp_path: Path, open_store: OpenStore, make_received: MakeReceived
) -> None:
    store = open_store()
    fill(store, make_received, range(1, 3))
    assert store.add(make_received(1, PixelData=bytes(32))) is Stored.QUARANTINED
    assert store.add(make_received(2, PatientID="P2")) is Stored.QUARANTINED
    store.close()
    (tmp_path / "store/quarantine/rotten").write_bytes(b"rotten")
    before = apart(tmp_path)
    for path in tmp_path.glob("node.sqlite*"):
        path.unlink()
    again = open_store()
    assert adopt_files(again, Event()) == Adoption(adopted=2, relisted=3)
    assert [(it.sop_instance_uid, it.sha256, it.path) for it in apart(tmp_path) if it.sop_instance_uid] == [
        (it.sop_instance_uid, it.sha256, it.path) for it in before
    ]
    assert {it.path for it in apart(tmp_path)} == {path for path in files(tmp_path) if path.startswith("quarantine")}
    with Database(tmp_path / "node.sqlite").reading() as connection:
        (study,) = fetch(connection, Study, select(studies))
    assert study.patient_conflict  # a person decides again
    assert adopt_files(again, Event()) == Adoption()
    again.close()


def apart(tmp_path: Path) -> list[Quarantined]:
    with Database(tmp_path / "node.sqlite").reading() as connection:
        return fetch(connection, Quarantined, select(quarantined).order_by(quarantined.c.sop_instance_uid))


def test_a_file_that_is_missing_is_counted(tmp_path: Path, open_store: OpenStore, make_received: MakeReceived) -> None:
    store = open_store()
    fill(store, make_received, range(1, 4))
    next((tmp_path / "store/studies").rglob("*.dcm")).unlink()
    assert adopt_files(store, Event()) == Adoption(missing=1)
    store.close()


def test_empty_folders_are_removed_and_made_again(
    tmp_path: Path, open_store: OpenStore, make_received: MakeReceived
) -> None:
    store = open_store()
    fill(store, make_received, range(1, 2))
    for path in (tmp_path / "store/studies").rglob("*.dcm"):
        path.unlink()
    assert adopt_files(store, Event()) == Adoption(missing=1)
    assert list((tmp_path / "store/studies").iterdir()) == []
    fill(store, make_received, range(2, 3))
    store.close()


def test_images_may_come_while_files_are_adopted(
    tmp_path: Path, open_store: OpenStore, make_received: MakeReceived
) -> None:
    store = open_store()
    fill(store, make_received, range(1, 41))
    store.close()
    for path in tmp_path.glob("node.sqlite*"):
        path.unlink()
    again = open_store()
    thread = Thread(target=adopt_files, args=(again, Event()))
    thread.start()
    sent = [again.add(make_received(number)) for number in range(60, 0, -1)]
    thread.join(60)
    assert set(sent) <= {Stored.NEW, Stored.DUPLICATE}
    assert len(rows(tmp_path)) == len(files(tmp_path)) == 60
    again.close()


def test_a_node_that_stops_adopts_no_more(tmp_path: Path, open_store: OpenStore, make_received: MakeReceived) -> None:
    store = open_store()
    fill(store, make_received, range(1, 3))
    for path in tmp_path.glob("node.sqlite*"):
        path.unlink()
    stop = Event()
    stop.set()
    assert adopt_files(open_store_again(store, tmp_path), stop) == Adoption()


def open_store_again(store: Store, tmp_path: Path) -> Store:
    store.close()
    return Store(tmp_path / "store", Database(tmp_path / "node.sqlite"))
