"""What is asked of an archive for a person, and what he is told of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from survnode.node.commands import fetch
from survnode.node.config import NodeConfig, RetrieveMethod, SourceConfig
from survnode.node.errors import InputRefused, SourceRefused
from survnode.node.intake.instance import Received
from survnode.node.intake.store import Store
from survnode.node.query.source import FoundStudy
from survnode.node.state.database import Database
from survnode.node.state.records import StudyState
from survnode.node.state.study_rows import find_study, settle_study
from survnode.node.state.summaries import Standing

from ..query.archives import Archive, running

MakeCT = Callable[..., Dataset]
STUDY, OTHER = FoundStudy("1.2.3", "20240102", "A1"), FoundStudy("4.5.6", "20250101", "A2")


def a_source(name: str) -> SourceConfig:
    return SourceConfig(name=name, ae_title="P", host="h", port=104)


@pytest.fixture
def archive(make_ct: MakeCT) -> Iterator[Archive]:
    of_study = [make_ct(number, StudyDate="20240102", AccessionNumber="A1") for number in (1, 2, 3)]
    of_other = [make_ct(1, study="4.5.6", series="4.5.6.1", StudyDate="20250101", AccessionNumber="A2")]
    with running(Archive([*of_study, *of_other])) as archive:
        yield archive


@pytest.fixture
def store(tmp_path: Path, database: Database) -> Iterator[Store]:
    store = Store(tmp_path / "store", database)
    yield store
    store.close()


def test_the_first_source_is_asked_unless_another_is_named(tmp_path: Path) -> None:
    config = NodeConfig(data_dir=tmp_path, sources=(a_source("a"), a_source("b")))
    assert fetch.named_source(config, None).name == "a"
    assert fetch.named_source(config, "b").name == "b"
    with pytest.raises(InputRefused, match="There is no source c; the configuration names: a, b"):
        fetch.named_source(config, "c")


def test_without_a_source_or_a_node_nothing_is_fetched(tmp_path: Path) -> None:
    config = NodeConfig(data_dir=tmp_path)
    with pytest.raises(InputRefused, match=r"names no \[\[sources\]\]"):
        fetch.named_source(config, None)
    with pytest.raises(InputRefused, match="No node runs"):
        fetch.require_receiver(config)


@pytest.mark.parametrize("value", ["*", "A?", "A1\\A2"])
def test_nothing_stands_for_more_than_itself(value: str) -> None:
    with pytest.raises(InputRefused, match="whole UID or accession number"):
        fetch.keys_of(None, value, None)
    with pytest.raises(InputRefused, match="whole UID or accession number"):
        fetch.keys_of(value, None, None)


def test_all_that_is_given_is_asked_for() -> None:
    assert fetch.keys_of("1.2.3", None, "20240101") == {"StudyInstanceUID": "1.2.3", "StudyDate": "20240101-"}


def test_nothing_found_is_a_refusal(archive: Archive) -> None:
    with pytest.raises(InputRefused, match="archive holds no study with CT that fits"):
        fetch.find_wanted(archive.source(), {"AccessionNumber": "A9"})


def test_what_would_come_is_shown_beside_what_is_here_and_nothing_comes(
    archive: Archive, store: Store, database: Database, make_received: Callable[..., Received]
) -> None:
    store.add(make_received(1))
    found = fetch.find_wanted(archive.source(), {"StudyDate": "20240101-"})
    rows = list(fetch.look_up(database, archive.source(), found))
    assert [(row.study_instance_uid, row.instances, row.received) for row in rows] == [("1.2.3", 3, 1), ("4.5.6", 1, 0)]
    assert [row.received for row in fetch.look_up(None, archive.source(), found)] == [0, 0]
    assert not {"MOVE", "GET"} & set(archive.asked)


def test_what_came_is_told_and_waited_for(archive: Archive, store: Store, database: Database) -> None:
    source = archive.source(RetrieveMethod.GET)
    (row,) = fetch.fetch_studies(database, source, [STUDY], store.add)
    assert (row.instances, row.received, row.standing, row.note) == (3, 3, Standing.RECEIVING, "")

    def judge(_: float) -> None:
        with database.transaction() as connection:
            study = find_study(connection, "1.2.3")
            assert study is not None
            settle_study(connection, study, StudyState.IGNORED)

    assert [it.standing for it in fetch.await_end(database, [row], judge)] == [Standing.IGNORED]


def test_of_several_studies_each_says_why_it_did_not_come(archive: Archive, store: Store, database: Database) -> None:
    rows = list(fetch.fetch_studies(database, archive.source(), [STUDY, OTHER], store.add))
    assert [(row.received, row.standing) for row in rows] == [(0, None), (0, None)]
    assert all("archive does not know SURVNODE" in row.note for row in rows)
    with pytest.raises(SourceRefused, match="does not know SURVNODE"):
        list(fetch.fetch_studies(database, archive.source(), [STUDY], store.add))


def test_images_that_are_not_kept_are_counted_as_missing(archive: Archive, database: Database, store: Store) -> None:
    def keep(received: object) -> None:
        if str(received.sop_instance_uid).endswith(".2"):  # type: ignore[attr-defined]  # of Received
            raise ZeroDivisionError
        store.add(received)  # type: ignore[arg-type]

    (row,) = fetch.fetch_studies(database, archive.source(RetrieveMethod.GET), [STUDY], keep)
    assert (row.received, row.note) == (2, "1 of 3 instances did not come.")
