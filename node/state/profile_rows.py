"""Reads and writes of what destinations said that they take."""

from sqlalchemy import select
from sqlalchemy.dialects import sqlite

from survnode.node.state.database import Transaction, fetch_one, row_of
from survnode.node.state.records import Profile
from survnode.node.state.tables import profiles


def find_profile(connection: Transaction, destination: str) -> Profile | None:
    """What a destination said last; None if it was never asked."""
    return fetch_one(connection, Profile, select(profiles).where(profiles.c.destination == destination))


def keep_profile(connection: Transaction, profile: Profile) -> None:
    """Record what a destination said, in place of what it said before."""
    row = row_of(profile)
    new = sqlite.insert(profiles).values(row)
    connection.execute(new.on_conflict_do_update(index_elements=["destination"], set_=row))
