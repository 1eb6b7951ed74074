import pytest
from sqlalchemy import insert

from survnode.node.errors import RecordNotFound
from survnode.node.state.database import Database, row_of
from survnode.node.state.records import Study, StudyState
from survnode.node.state.short_uids import find_study, shorten
from survnode.node.state.tables import studies

LONG = "1.3.6.1.4.1.32722.99.99.2393413539117147773108858522"


def put(database: Database, *uids: str) -> None:
    rows = [row_of(Study(uid, "P1", False, 0.0, 0.0, None, 1, StudyState.ASSEMBLED)) for uid in uids]
    with database.transaction() as connection:
        connection.execute(insert(studies), rows)


def test_a_short_name_is_the_end_of_the_uid_and_finds_it(database: Database) -> None:
    put(database, LONG, "1.2.840.113619.2.55.4711.3")
    short = shorten(database, [LONG, "1.2.840.113619.2.55.4711.3"])
    assert short == {LONG: "...08858522", "1.2.840.113619.2.55.4711.3": "...5.4711.3"}
    assert {find_study(database, name) for name in short.values()} == set(short)


def test_a_short_name_is_longer_where_studies_end_alike_even_if_only_one_is_listed(database: Database) -> None:
    put(database, "1.2.840.10.12345678.1.1", "1.2.840.20.12345678.1.1")
    (name,) = shorten(database, ["1.2.840.10.12345678.1.1"]).values()
    assert name == "...10.12345678.1.1"
    assert find_study(database, name) == "1.2.840.10.12345678.1.1"


def test_a_uid_that_is_the_end_of_another_is_that_study(database: Database) -> None:
    put(database, "1.2.3", "9.1.2.3")
    assert shorten(database, ["1.2.3", "9.1.2.3"]) == {"1.2.3": "1.2.3", "9.1.2.3": "9.1.2.3"}
    assert find_study(database, "1.2.3") == "1.2.3"


def test_an_end_that_several_share_is_refused_with_their_uids(database: Database) -> None:
    put(database, "1.2.840.1.7", "1.2.840.2.7")
    with pytest.raises(RecordNotFound, match=r"1\.2\.840\.1\.7, 1\.2\.840\.2\.7"):
        find_study(database, ".7")


@pytest.mark.parametrize("name", ["4.5", "", "...", "%", "LONG' OR 1=1"])
def test_what_no_study_ends_in_is_not_found(database: Database, name: str) -> None:
    put(database, LONG)
    with pytest.raises(RecordNotFound):
        find_study(database, name)
