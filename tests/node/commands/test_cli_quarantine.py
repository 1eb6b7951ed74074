import json
from collections.abc import Callable
from pathlib import Path

import pytest

from survnode.node.intake.store import Store
from survnode.node.state.database import Database

from .asking import Ask, asking


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "survnode.db")


@pytest.fixture
def ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Database, make_received: Callable[..., object]
) -> Ask:
    """Asks of a node to which one image came twice, of two patients."""
    store = Store(tmp_path / "received", database, quiet_period_s=60.0)
    for patient in ("P1", "P2"):
        store.add(make_received(1, PatientID=patient))  # type: ignore[arg-type]  # as the fixture makes it
    store.close()
    return asking(tmp_path, monkeypatch)


def listed(ask: Ask) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(ask("quarantine", "list", "--json").stdout)
    return rows


def test_what_came_second_is_listed_and_waits(ask: Ask) -> None:
    (row,) = listed(ask)
    assert (row["sop_instance_uid"], row["waits"]) == ("1.2.3.1.1", True)
    shown = ask("quarantine", "list").stdout
    assert str(row["sha256"])[:12] in shown
    assert "P2" not in shown


def test_what_is_accepted_changes_places_and_says_so(ask: Ask) -> None:
    (before,) = listed(ask)
    done = ask("quarantine", "accept", "--study", "1.2.3")
    assert done.stdout == "Accepted 1 image; what stood before is in quarantine.\n"
    (after,) = listed(ask)
    assert after["sha256"] != before["sha256"]
    assert after["waits"] is False


def test_what_is_dropped_is_gone(ask: Ask) -> None:
    (row,) = listed(ask)
    done = ask("quarantine", "drop", str(row["sha256"])[:12], "--json")
    assert json.loads(done.stdout) == {"dropped": 1}
    assert ask("quarantine", "list").stdout.strip().endswith("no images in quarantine")


def test_an_image_that_is_not_there_is_refused(ask: Ask) -> None:
    assert ask("quarantine", "drop", "4711").exit_code == 1
    assert len(listed(ask)) == 1
