"""What is shown of deliveries and destinations."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, update

from survnode.node.state.database import Database
from survnode.node.state.delivery_summaries import FAILED, list_deliveries, read_destinations
from survnode.node.state.records import DeliveryState, Job
from survnode.node.state.summaries import DestinationSummary, Page
from survnode.node.state.tables import deliveries

from .conftest import plans

FinishJob = Callable[..., Job]


def change(database: Database, destination: str, *numbers: int, **values: object) -> None:
    """Change some of the five deliveries of a destination, oldest first."""
    ids = [row.delivery for row in reversed(list_deliveries(database, destination=destination).rows)]
    with database.transaction() as connection:
        wanted = deliveries.c.id.in_([ids[number] for number in numbers])
        connection.execute(update(deliveries).where(wanted).values(values))


def pacs(database: Database) -> DestinationSummary:
    (found,) = read_destinations(database, ["pacs"])
    return found


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.fixture
def waiting(database: Database, finish_job: FinishJob) -> Database:
    finish_job("1.1", "pacs")
    return database


def test_deliveries_are_listed_by_state_and_destination(database: Database, finish_job: FinishJob) -> None:
    finish_job("1.1", "pacs", "archive")
    change(database, "pacs", 0, 1, state=DeliveryState.REFUSED, status=0xA900, error="no")
    change(database, "pacs", 2, state=DeliveryState.SENT)
    assert len(list_deliveries(database).rows) == 10
    assert [row.status for row in list_deliveries(database, FAILED).rows] == ["0xA900"] * 2
    assert {row.destination for row in list_deliveries(database, FAILED).rows} == {"pacs"}
    found = list_deliveries(database, [DeliveryState.WAITING], "pacs", Page(1))
    assert (len(found.rows), found.more, found.rows[0].study_instance_uid) == (1, 1, "1.1")
    assert found.rows[0].due is not None
    assert list_deliveries(database, [DeliveryState.SENT]).rows[0].due is None


def test_a_destination_that_was_never_tried_is_not_down(waiting: Database) -> None:
    assert pacs(waiting) == DestinationSummary("pacs", 5, 0, None, None, "", None)


def test_a_destination_is_down_from_the_first_try_that_failed(waiting: Database) -> None:
    change(waiting, "pacs", 0, 1, tries=3, first_tried_at=20.0, error="It cannot be reached.")
    change(waiting, "pacs", 2, tries=1, first_tried_at=30.0, error="It cannot be reached.")
    found = pacs(waiting)
    assert (found.waiting, found.down_since, found.last_error) == (5, at(20.0), "It cannot be reached.")


def test_a_destination_that_took_something_since_is_not_down(waiting: Database) -> None:
    change(waiting, "pacs", 0, tries=3, first_tried_at=20.0, error="It cannot be reached.")
    change(waiting, "pacs", 1, state=DeliveryState.SENT, settled_at=40.0)
    found = pacs(waiting)
    assert (found.down_since, found.last_success, found.waiting) == (None, at(40.0), 4)
    change(waiting, "pacs", 2, tries=1, first_tried_at=50.0, error="It cannot be reached.")
    assert pacs(waiting).down_since == at(50.0)


def test_an_object_that_a_destination_fails_with_does_not_make_it_down(waiting: Database) -> None:
    change(waiting, "pacs", 0, tries=1, doubts=1, status=0x0110, first_tried_at=20.0, error="status 0x0110")
    assert pacs(waiting).down_since is None
    change(waiting, "pacs", 1, tries=1, status=0xA700, first_tried_at=30.0, error="status 0xA700")
    assert (pacs(waiting).down_since, pacs(waiting).last_error) == (at(30.0), "status 0xA700")


def test_what_was_refused_or_given_up_is_counted_and_the_last_named(waiting: Database) -> None:
    change(waiting, "pacs", 0, state=DeliveryState.REFUSED, settled_at=20.0, error="first")
    change(waiting, "pacs", 1, state=DeliveryState.FAILED, settled_at=30.0, error="second")
    found = pacs(waiting)
    assert (found.failed, found.last_error, found.last_error_at) == (2, "second", at(30.0))


def test_a_destination_that_left_the_configuration_is_shown_while_something_waits_for_it(waiting: Database) -> None:
    assert [found.destination for found in read_destinations(waiting, ["archive"])] == ["archive", "pacs"]
    change(waiting, "pacs", 0, 1, 2, 3, 4, state=DeliveryState.SENT, settled_at=20.0)
    assert [found.destination for found in read_destinations(waiting, ["archive"])] == ["archive"]


def test_destinations_and_what_failed_are_looked_up_in_indexes(waiting: Database) -> None:
    with waiting.transaction() as connection:
        row = {"job_id": 1, "state": DeliveryState.SENT, "created_at": 1.0, "due_at": 1.0, "settled_at": 1.0}
        rows = [row | {"result_id": 1, "destination": f"other-{number}"} for number in range(2000)]
        connection.execute(insert(deliveries), rows)
    with plans(waiting) as steps:
        read_destinations(waiting, ["pacs"])
        list_deliveries(waiting, FAILED)
        list_deliveries(waiting, [DeliveryState.WAITING], "pacs")
    assert steps
    assert not [step for step in steps if step.startswith("SCAN")]
