"""Reads and writes of received CT images, and of those that are kept in quarantine."""

from collections.abc import Iterable

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import sqlite

from survnode.node.state.database import Transaction, fetch, fetch_one, row_of
from survnode.node.state.records import Instance, InstanceState, Quarantined
from survnode.node.state.tables import instances, quarantined


def images_of_study(connection: Transaction, study_instance_uid: str) -> list[Instance]:
    """Every image of a study, wherever its file stands."""
    return fetch(connection, Instance, select(instances).where(instances.c.study_instance_uid == study_instance_uid))


def find_image(connection: Transaction, sop_instance_uid: str) -> Instance | None:
    """One image; None if there is none of that UID."""
    return fetch_one(connection, Instance, select(instances).where(instances.c.sop_instance_uid == sop_instance_uid))


def mark_unreadable(connection: Transaction, sop_instance_uids: Iterable[str]) -> None:
    """Record that the files of images cannot be read, or are not what was received."""
    for uid in sop_instance_uids:
        own = (instances.c.sop_instance_uid == uid, instances.c.state == InstanceState.STORED)
        connection.execute(update(instances).where(*own).values(state=InstanceState.UNREADABLE))


def forget_images(connection: Transaction, study_instance_uid: str) -> None:
    """Delete the rows of a study's images, as if these had never come."""
    connection.execute(delete(instances).where(instances.c.study_instance_uid == study_instance_uid))


def record_quarantined(connection: Transaction, record: Quarantined) -> None:
    """Remember an image that is kept in quarantine, once."""
    connection.execute(sqlite.insert(quarantined).values(row_of(record)).on_conflict_do_nothing())
