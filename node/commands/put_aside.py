"""A study whose images name more than one patient: a person puts it aside, so that it can be sent again, corrected.

No report says that such a study was not analysed. A report names one patient, and whichever it named, it could be filed
under the wrong one. The study is shown as PATIENT_CONFLICT instead, and logged as an error.
"""

import os
from pathlib import Path

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import sqlite

from survnode.node import errors
from survnode.node.state.database import Database, fetch, fetch_one, row_of
from survnode.node.state.files import sync_folder
from survnode.node.state.records import Instance, InstanceState, Quarantined, Study, StudyState
from survnode.node.state.tables import instances, jobs, other_series, quarantined, studies


def put_aside(database: Database, folder: Path, study_instance_uid: str, *, now: float) -> int:
    """Move the images of a study of several patients to quarantine, and forget them; how many.

    Sent again, they are new: as if they had never come.

    Parameters
    ----------
    folder : of the store

    Raises
    ------
    RecordNotFound, PatientsAgree
    """
    with database.transaction() as connection:  # while it lasts no instance can be stored
        mine = studies.c.study_instance_uid == study_instance_uid
        study = fetch_one(connection, Study, select(studies).where(mine))
        if study is None:
            raise errors.RecordNotFound(f"There is no study {study_instance_uid}.")
        if study.state is not StudyState.PATIENT_CONFLICT:
            raise errors.PatientsAgree(
                f"Its images do not name several patients: it is {study.state}. {study.state.sentence}"
            )
        of_study = instances.c.study_instance_uid == study_instance_uid
        found = fetch(connection, Instance, select(instances).where(of_study))
        moved = [_keep(connection, folder, it, now) for it in found if it.state is not InstanceState.DELETED]
        sync_folder(folder / "quarantine")
        connection.execute(delete(instances).where(of_study))
        connection.execute(delete(other_series).where(other_series.c.study_instance_uid == study_instance_uid))
        if connection.execute(select(jobs.c.id).where(jobs.c.study_instance_uid == study_instance_uid)).first():
            reset = {"state": StudyState.DELETED, "patient_conflict": False, "due_at": None}
            connection.execute(update(studies).where(mine).values(reset))
        else:
            connection.execute(delete(studies).where(mine))
        for path in moved:
            path.unlink(missing_ok=True)
    return len(moved)


def _keep(connection: Connection, folder: Path, instance: Instance, now: float) -> Path:
    """Give an image a second name in quarantine, and its row there; its first name."""
    kept = f"quarantine/{Path(instance.path).name}"
    first, second = folder / instance.path, folder / kept
    if first.exists() and not second.exists():
        os.link(first, second)
    record = Quarantined(
        instance.sop_instance_uid, instance.study_instance_uid, instance.calling_ae_title, instance.sha256, kept, now
    )
    connection.execute(sqlite.insert(quarantined).values(row_of(record)).on_conflict_do_nothing())
    return first
