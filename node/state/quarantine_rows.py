"""Reads and writes of the images in quarantine, and what becomes of their study when a person has decided."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Select, delete, exists, false, func, insert, or_, select, update

from survnode.node.state.database import Database, Transaction, fetch, row_of
from survnode.node.state.readable_columns import moment
from survnode.node.state.records import Instance, InstanceState, Quarantined, Study, StudyState
from survnode.node.state.study_rows import find_study
from survnode.node.state.summaries import QuarantinedImage
from survnode.node.state.tables import instances, quarantined, studies

_NAMES_NOTHING = quarantined.c.sop_instance_uid == ""  # its header cannot be read
_IS_LATER = quarantined.c.received_at > instances.c.received_at  # than the image that stands


def _joined(*columns: ColumnElement[Any]) -> Select[Any]:
    own = instances.c.sop_instance_uid == quarantined.c.sop_instance_uid
    return select(*columns).select_from(quarantined.outerjoin(instances, own))


def list_quarantined(connection: Transaction, study_instance_uid: str | None = None) -> tuple[QuarantinedImage, ...]:
    """The images in quarantine, of one study or of all; the last that came first."""
    waits = func.coalesce(or_(_NAMES_NOTHING, _IS_LATER), false(), type_=Boolean)
    query = _joined(*quarantined.c, moment(quarantined.c.received_at, "received"), waits.label("waits")).order_by(
        quarantined.c.received_at.desc()
    )
    if study_instance_uid is not None:
        query = query.where(quarantined.c.study_instance_uid == study_instance_uid)
    return tuple(fetch(connection, QuarantinedImage, query))


def count_undecided(database: Database) -> int:
    """How many images in quarantine wait for a person: they came later than what stands, or cannot be read."""
    with database.reading() as connection:
        counted = _joined(func.count()).where(or_(_NAMES_NOTHING, _IS_LATER))
        return int(connection.execute(counted).scalar_one())


def exchange(connection: Transaction, old: Instance, new: Instance, path_of_old: str) -> None:
    """Let ``new``, which was in quarantine, stand in the place of ``old``, which is there now unless it was deleted."""
    remove(connection, old.sop_instance_uid, new.sha256)
    if old.state is not InstanceState.DELETED:
        uids = old.sop_instance_uid, old.study_instance_uid
        record = Quarantined(*uids, old.calling_ae_title, old.sha256, path_of_old, old.received_at)
        connection.execute(insert(quarantined).values(row_of(record)))
    own = instances.c.sop_instance_uid == old.sop_instance_uid
    connection.execute(update(instances).where(own).values(row_of(new)))


def remove(connection: Transaction, sop_instance_uid: str, sha256: str) -> None:
    """Forget an image in quarantine."""
    own = quarantined.c.sop_instance_uid == sop_instance_uid, quarantined.c.sha256 == sha256
    connection.execute(delete(quarantined).where(*own))


def patients_of(connection: Transaction, study_instance_uid: str) -> Sequence[str]:
    """The patients that the images of a study name."""
    of_study = instances.c.study_instance_uid == study_instance_uid, instances.c.state != InstanceState.DELETED
    return connection.execute(select(instances.c.patient_id).where(*of_study).distinct()).scalars().all()


def has_undecided(connection: Transaction, study_instance_uid: str) -> bool:
    """Whether images of a study wait in quarantine for a person."""
    waiting = _joined(quarantined.c.sha256).where(quarantined.c.study_instance_uid == study_instance_uid, _IS_LATER)
    return bool(connection.execute(select(exists(waiting.subquery().select()))).scalar_one())


def reopen_study(connection: Transaction, study_instance_uid: str, patients: Sequence[str], *, now: float) -> None:
    """Have a study judged whose images were exchanged: as one of several patients if they name them, or may yet."""
    study: Study | None = find_study(connection, study_instance_uid)
    if study is None:
        return
    conflict = len(patients) > 1 or (study.patient_conflict and has_undecided(connection, study_instance_uid))
    again = {
        "patient_id": patients[0] if len(patients) == 1 else study.patient_id,
        "patient_conflict": conflict,
        "due_at": now,
        "state": StudyState.RECEIVING,
        "revision": study.revision + 1,
        "error": "",
        "detail": "",
    }
    connection.execute(update(studies).where(studies.c.study_instance_uid == study_instance_uid).values(again))
