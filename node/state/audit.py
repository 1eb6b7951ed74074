"""What the audit trail says, and whether it is whole."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.sqlite import insert

from survnode.node.state.audit_trail import CHAINED, chained_hash
from survnode.node.state.database import Database, fetch, fetch_one
from survnode.node.state.records import AuditEntry
from survnode.node.state.tables import audit, audit_sent

BATCH = 1000  # rows that are in memory at once


@dataclass(frozen=True)
class AuditVerdict:
    """Whether the audit trail is whole.

    Parameters
    ----------
    entries : how many were looked at
    head : the hash of the last of them that is as it was written; whoever keeps it elsewhere can tell later whether
        entries were cut off
    fault : what is wrong; empty if nothing is
    """

    entries: int
    head: str
    fault: str = ""


def read_entries(database: Database, since: float | None = None, until: float | None = None) -> Iterator[AuditEntry]:
    """The entries of a time span, oldest first."""
    where: list[ColumnElement[bool]] = []
    if since is not None:
        where.append(audit.c.at >= since)
    if until is not None:
        where.append(audit.c.at < until)
    last = 0
    while True:
        batch = select(audit).where(audit.c.id > last, *where).order_by(audit.c.id).limit(BATCH)
        with database.reading() as connection:
            entries = fetch(connection, AuditEntry, batch)
        yield from entries
        if not entries:
            return
        last = entries[-1].id


def entries_after(database: Database, last: int, most: int) -> list[AuditEntry]:
    """The next entries after the one of that number."""
    with database.reading() as connection:
        return fetch(connection, AuditEntry, select(audit).where(audit.c.id > last).order_by(audit.c.id).limit(most))


def last_sent(database: Database, server: str) -> int:
    """The number of the last entry that a server for audit messages has; 0: none."""
    with database.reading() as connection:
        found = connection.execute(select(audit_sent.c.last).where(audit_sent.c.server == server)).scalar()
        return int(found or 0)


def _last_sent_anywhere(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.max(audit_sent.c.last))).scalar() or 0)


def note_sent(database: Database, server: str, last: int) -> None:
    """Remember what a server has."""
    row = insert(audit_sent).values(server=server, last=last)
    with database.transaction() as connection:
        connection.execute(row.on_conflict_do_update(index_elements=[audit_sent.c.server], set_={"last": last}))


def newest_entry(database: Database) -> AuditEntry | None:
    """The entry whose hash is the head of the trail; None if there is none."""
    with database.reading() as connection:
        return fetch_one(connection, AuditEntry, select(audit).order_by(audit.c.id.desc()).limit(1))


def verify(database: Database, known_head: str = "") -> AuditVerdict:
    """Read the whole trail, and hold each row against its hash and its place.

    Parameters
    ----------
    known_head : a head that was noted before, and must be in the trail
    """
    head, number, seen = "", 0, not known_head
    for number, entry in enumerate(read_entries(database), start=1):
        if entry.id != number:
            return AuditVerdict(number - 1, head, f"Entry {number} is missing.")
        if entry.hash != chained_hash(head, *(getattr(entry, name) for name in CHAINED)):
            return AuditVerdict(number - 1, head, f"Entry {number} is not as it was written, or the one before it.")
        head = entry.hash
        seen = seen or head == known_head
    sent = _last_sent_anywhere(database)
    if sent > number:
        return AuditVerdict(number, head, f"It was cut off: entries up to {sent} have been sent to an audit server.")
    if not seen:
        return AuditVerdict(number, head, "The head that was noted is not in the trail: it was cut off or made anew.")
    return AuditVerdict(number, head)
