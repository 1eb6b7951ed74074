from datetime import UTC, datetime

from sqlalchemy import insert

from survnode.node.state.associations import list_associations
from survnode.node.state.database import Database, row_of
from survnode.node.state.records import Association, AssociationEnd
from survnode.node.state.summaries import Page
from survnode.node.state.tables import associations


def test_associations_are_listed_newest_first_and_those_turned_away_by_themselves(database: Database) -> None:
    ends = [AssociationEnd.RELEASED, AssociationEnd.REJECTED, AssociationEnd.ADDRESS_REFUSED, AssociationEnd.RELEASED]
    rows = [
        row_of(Association("192.0.2.7", f"CT{n}", "SURVNODE", n, n + 1.0, end, rejected=("1.2 no",)))
        for n, end in enumerate(ends)
    ]
    with database.transaction() as connection:
        connection.execute(insert(associations), rows)
    found = list_associations(database, page=Page(3))
    assert ([row.calling_ae_title for row in found.rows], found.more) == (["CT3", "CT2", "CT1"], 1)
    assert found.rows[0].ended == datetime.fromtimestamp(4.0, UTC)
    assert found.rows[0].rejected == ("1.2 no",)
    assert [row.calling_ae_title for row in list_associations(database, turned_away=True).rows] == ["CT2", "CT1"]
