"""Where files lie and what the rows of one instance are; what becomes of it together with its file is in test_store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from survnode.node import errors
from survnode.node.config import Rule
from survnode.node.intake.instance import Received
from survnode.node.intake.instance_header import read_header
from survnode.node.intake.register import Placed, Register, Stored, path_of
from survnode.node.intake.rules import Routes
from survnode.node.intake.store import Store
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Study
from survnode.node.state.tables import studies

MakeReceived = Callable[..., Received]


@pytest.fixture
def store(tmp_path: Path, database: Database) -> Store:
    return Store(tmp_path / "store", database, quiet_period_s=60.0, clock=lambda: 100.0)


def test_a_path_holds_no_uid_and_other_bytes_have_another(make_received: MakeReceived) -> None:
    first, other = make_received(1), make_received(1, PatientID="P2")
    paths = [path_of(read_header(received), received) for received in (first, make_received(1), other)]
    assert paths[0] == paths[1] != paths[2]
    assert Path(paths[0]).parent == Path(paths[2]).parent
    assert not any("1.2.3" in path for path in paths)
    assert all(path.startswith("studies/") and path.endswith(".dcm") for path in paths)


def test_a_file_that_is_gone_is_written_again_or_refused(store: Store, make_received: MakeReceived) -> None:
    received = make_received(1)
    header = read_header(received)
    path = path_of(header, received)
    with pytest.raises(errors.StorageFailed, match="The file is gone"):
        store._register.add(Placed(header, received, path, None))  # type: ignore[arg-type]  # as spooled
    written: list[Path] = []
    placed = Placed(header, received, path, written.append)  # type: ignore[arg-type]  # as spooled
    assert store._register.add(placed) is Stored.NEW
    assert written == [store.folder / path]


def test_an_instance_of_another_study_is_refused_alone(store: Store, make_received: MakeReceived) -> None:
    assert store.add(make_received(1)) is Stored.NEW
    with pytest.raises(errors.InstanceMismatch, match="another study or series"):
        store.add(make_received(1, StudyInstanceUID="1.2.99"))
    assert store.add(make_received(2)) is Stored.NEW


def test_a_study_waits_as_long_as_the_rule_of_its_image_says(
    tmp_path: Path, database: Database, make_received: MakeReceived
) -> None:
    rule = Rule.model_validate({"name": "slow", "calling_ae_title": "SEND*", "quiet_period_s": 600})
    store = Store(tmp_path / "store", database, routes=Routes((rule,), quiet_period_s=60.0), clock=lambda: 100.0)
    assert isinstance(store._register, Register)
    store.add(make_received(1))
    with database.reading() as connection:
        (study,) = fetch(connection, Study, select(studies))
    assert study.due_at == 700.0
