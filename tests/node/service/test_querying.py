from collections.abc import Callable
from pathlib import Path

import pytest

from survnode.node.config import NodeConfig, ReceiverConfig, SourceConfig
from survnode.node.errors import StorageFull
from survnode.node.intake.instance import Received
from survnode.node.intake.register import Stored
from survnode.node.service import querying
from survnode.node.state.database import Database

MakeReceived = Callable[..., Received]


def a_config(folder: Path, **receiver: object) -> NodeConfig:
    sources = tuple(
        SourceConfig(name=name, ae_title=name.upper(), host="h", port=104, reconcile=reconcile)
        for name, reconcile in (("a", True), ("b", False), ("c", True))
    )
    return NodeConfig(data_dir=folder, receiver=ReceiverConfig.model_validate(receiver), sources=sources)


def test_only_those_that_reconcile_are_asked(tmp_path: Path, database: Database) -> None:
    config = a_config(tmp_path)
    asked = querying.asked_sources(config)
    assert [source.name for source in asked] == ["a", "c"]
    work = querying.reconciliation_of(config, asked[1], database, lambda _: None)
    assert (work.ae_titles, work.source.peer.ae_title, work.source.peer.calling_ae_title) == (
        ["A", "C"], "C", "SURVNODE",
    )  # fmt: skip


def test_what_comes_by_c_get_is_kept_as_what_comes_to_the_receiver(
    tmp_path: Path, database: Database, make_received: MakeReceived
) -> None:
    keep = querying.keep_of(a_config(tmp_path, min_free_gib=0), database)
    assert [keep(make_received(1)), keep(make_received(1))] == [Stored.NEW, Stored.DUPLICATE]


def test_what_comes_by_c_get_is_refused_when_the_disk_is_nearly_full(
    tmp_path: Path, database: Database, make_received: MakeReceived
) -> None:
    keep = querying.keep_of(a_config(tmp_path, min_free_gib=1e9), database)
    with pytest.raises(StorageFull):
        keep(make_received(1))
