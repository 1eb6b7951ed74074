from dataclasses import dataclass

import pytest
from sqlalchemy import func, insert, select

from survnode.node.state.database import Database
from survnode.node.state.paging import listing
from survnode.node.state.summaries import Page
from survnode.node.state.tables import profiles


@dataclass(frozen=True)
class Destination:
    destination: str


@pytest.mark.parametrize(
    ("page", "shown", "more"),
    [
        (Page(2, 1), "ab", 3),
        (Page(2, 3), "e", 0),
        (Page(5, 1), "abcde", 0),
        (Page(2, 4), "", 0),  # behind the end
    ],
)
def test_a_page_holds_its_rows_and_says_how_many_come_after_it(
    database: Database, page: Page, shown: str, more: int
) -> None:
    with database.transaction() as connection:
        for name in "abcde":
            connection.execute(insert(profiles).values(destination=name, accepted=(), probed_at=0.0))
        rows = select(profiles.c.destination).order_by(profiles.c.destination)
        listed = listing(connection, Destination, rows, select(func.count()).select_from(profiles), page)
    assert "".join(row.destination for row in listed.rows) == shown
    assert listed.more == more
