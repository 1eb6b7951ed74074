"""Short names of studies: the end of the UID, long enough that no other study ends alike."""

from collections.abc import Collection

from sqlalchemy import Connection, func, select, text

from survnode.node.errors import RecordNotFound
from survnode.node.state.database import Database
from survnode.node.state.tables import studies

SHORTEST = 8  # characters; the index on the ends of UIDs is of as many
SIGN = "..."  # that the beginning was left out
MAX_NAMED = 5

_uid = studies.c.study_instance_uid
_end = func.substr(_uid, text(f"-{SHORTEST}"))  # a literal: SQLite takes the index for this expression only


def shorten(database: Database, uids: Collection[str]) -> dict[str, str]:
    """A short name for each of the studies, all of one length, by which `find_study` knows it."""
    with database.reading() as connection:
        alike = select(_uid).where(_end.in_({uid[-SHORTEST:] for uid in uids}))
        rivals = set(connection.execute(alike).scalars()) | set(uids)
    length = next(
        (length for length in range(SHORTEST, 64) if len({uid[-length:] for uid in rivals}) == len(rivals)), 64
    )
    return {uid: uid if len(uid) <= length + len(SIGN) else SIGN + uid[-length:] for uid in uids}


def find_study(database: Database, name: str) -> str:
    """The Study Instance UID that ``name`` is or ends.

    Raises
    ------
    RecordNotFound
        There is none, or there are several.
    """
    end = name.strip().lstrip(".…")
    with database.reading() as connection:
        if end and connection.execute(select(_uid).where(_uid == end)).first():
            return end
        uids = _ending_in(connection, end) if end else []
    if len(uids) == 1:
        return uids[0]
    if not uids:
        raise RecordNotFound(f"There is no study {name}.")
    listed = ", ".join(uids[:MAX_NAMED]) + (", ..." if len(uids) > MAX_NAMED else "")
    raise RecordNotFound(f"Several studies end in {end}; give more of the UID: {listed}.")


def _ending_in(connection: Connection, end: str) -> list[str]:
    alike = select(_uid).where(func.substr(_uid, -len(end)) == end)
    if len(end) >= SHORTEST:
        alike = alike.where(_end == end[-SHORTEST:])
    return list(connection.execute(alike.order_by(_uid).limit(MAX_NAMED + 1)).scalars())
