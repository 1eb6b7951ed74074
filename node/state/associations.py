"""The writes of associations, and the queries for what a person is shown of them."""

from collections.abc import Iterable

from sqlalchemy import func, insert, select

from survnode.node.state.database import Database, Transaction, row_of
from survnode.node.state.paging import listing
from survnode.node.state.readable_columns import moment
from survnode.node.state.records import Association, AssociationEnd
from survnode.node.state.summaries import AssociationSummary, Listing, Page
from survnode.node.state.tables import associations

TURNED_AWAY = (AssociationEnd.REJECTED, AssociationEnd.ADDRESS_REFUSED, AssociationEnd.TLS_REFUSED)

_columns = select(
    associations.c.id.label("association"),
    moment(associations.c.began_at, "began"),
    moment(associations.c.ended_at, "ended"),
    associations.c.peer,
    associations.c.calling_ae_title,
    associations.c.called_ae_title,
    associations.c.end,
    associations.c.contexts_accepted,
    associations.c.contexts_rejected,
    associations.c.rejected,
    associations.c.echoes,
    associations.c.images,
    associations.c.refused,
    associations.c.size_bytes,
    associations.c.detail,
)


def record_associations(connection: Transaction, ended: Iterable[Association]) -> None:
    """Remember associations that have ended, at least one."""
    connection.execute(insert(associations), [row_of(association) for association in ended])


def list_associations(
    database: Database,
    *,
    turned_away: bool = False,
    page: Page = Page(),  # noqa: B008  frozen
) -> Listing[AssociationSummary]:
    """The associations that ended, or only those that this node turned away, newest first."""
    where = [associations.c.end.in_(TURNED_AWAY)] if turned_away else []
    rows = _columns.where(*where).order_by(associations.c.id.desc())
    counted = select(func.count()).select_from(associations).where(*where)
    with database.reading() as connection:
        return listing(connection, AssociationSummary, rows, counted, page)
