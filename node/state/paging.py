"""One page of a list, and how much comes after it."""

from typing import Any

from sqlalchemy import Connection, Select

from survnode.node.state.database import RecordT, fetch
from survnode.node.state.summaries import Listing, Page


def listing(
    connection: Connection, record: type[RecordT], rows: Select[Any], counted: Select[Any], page: Page
) -> Listing[RecordT]:
    """The records of one page of ``rows``; ``counted`` selects how many rows there are."""
    records = fetch(connection, record, rows.limit(page.limit).offset(page.offset))
    more = int(connection.execute(counted).scalar_one()) - page.offset - len(records)
    return Listing(tuple(records), max(0, more))
