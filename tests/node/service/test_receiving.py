"""The process body's parts; the process itself is in tests/integration/test_receiver_process.py."""

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from structlog.testing import capture_logs

from survnode.node import errors
from survnode.node.config import ReceiverTLSConfig
from survnode.node.intake.instance import StoreRequest
from survnode.node.intake.store import Store
from survnode.node.intake.watermark import DiskWatermark
from survnode.node.service import receiving
from survnode.node.service.receiving import StoreWithRoom, server_tls
from survnode.node.state.database import Database

REQUEST = StoreRequest("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", "CT1")


@pytest.fixture
def store(tmp_path: Path, database: Database) -> Store:
    return Store(tmp_path / "store", database)


def test_nothing_is_begun_on_a_disk_without_room_and_again_once_there_is(store: Store) -> None:
    free = [100]
    spool = StoreWithRoom(store, DiskWatermark(50, 60, lambda: free[0]))
    assert spool.has_room()
    spool.begin(REQUEST).discard()
    free[0] = 40
    assert not spool.has_room()
    with pytest.raises(errors.StorageFull):
        spool.begin(REQUEST)
    free[0] = 70
    assert spool.has_room()


def test_a_store_that_another_still_drains_is_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [2]

    def sweep() -> int:
        if left[0]:
            left[0] -= 1
            raise errors.StoreInUse("Another process receives.")
        return 3

    monkeypatch.setattr(store, "sweep", sweep)
    monkeypatch.setattr(receiving, "WATCH_INTERVAL_S", 0.01)
    with capture_logs() as logged:
        receiving._sweep_when_free(store, Event())
    assert [(entry["event"], entry["removed"]) for entry in logged] == [("store.swept", 3)]


@pytest.mark.parametrize("stopped", [True, False])
def test_who_is_stopped_or_waits_too_long_gives_up(
    store: Store, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    def sweep() -> int:
        raise errors.StoreInUse("Another process receives.")

    monkeypatch.setattr(store, "sweep", sweep)
    monkeypatch.setattr(receiving, "LOCK_WAIT_S", 30.0 if stopped else 0.0)
    stop = Event()
    if stopped:
        stop.set()
    with pytest.raises(errors.StoreInUse):
        receiving._sweep_when_free(store, stop)


def test_files_that_cannot_be_adopted_now_end_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise errors.DatabaseBusy("busy")

    monkeypatch.setattr(receiving, "adopt_files", fail)
    with capture_logs() as logged:
        receiving._adopt(store, Event())
    assert [(entry["event"], entry["error"]) for entry in logged] == [("store.not_adopted", "DatabaseBusy")]


def test_tls_is_what_the_configuration_names() -> None:
    settings = ReceiverTLSConfig(certificate=Path("/c"), key=Path("/k"), client_ca=Path("/a"))
    tls = server_tls(settings)
    assert (tls.certificate, tls.key, tls.client_ca) == (Path("/c"), Path("/k"), Path("/a"))
