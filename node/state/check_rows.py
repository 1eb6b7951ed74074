"""Reads and writes of what sources said of whether studies came whole.

A study that is due waits for its check, if there is somebody to ask; the check of one revision of a study is settled
once. What is to be done with an answer is the rule of `survnode.node.query.reconciliation`.
"""

from collections import Counter

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.dialects import sqlite

from survnode.node.state.database import Transaction, fetch, fetch_one, row_of
from survnode.node.state.records import Check, CheckState, Completeness, InstanceState, Keeping, Study
from survnode.node.state.tables import checks, instances, other_series, studies

OPEN = (CheckState.WAITING, CheckState.FETCHING)  # the others settle a check


def due_studies(connection: Transaction, now: float, unchecked_before: float | None = None) -> list[Study]:
    """The studies that are to be judged, the one that waits for longest first.

    Parameters
    ----------
    unchecked_before : a study that was due by then waits no longer for its check; None: none is checked
    """
    due = select(studies).where(studies.c.due_at <= now)
    if unchecked_before is not None:
        due = due.where(or_(~_awaits_check(), studies.c.due_at <= unchecked_before))
    return fetch(connection, Study, due.order_by(studies.c.due_at))


def unchecked_studies(connection: Transaction, now: float) -> list[Study]:
    """The due studies whose check is not settled, the one that waits for longest first."""
    due = select(studies).where(studies.c.due_at <= now, _awaits_check())
    return fetch(connection, Study, due.order_by(studies.c.due_at))


def find_check(connection: Transaction, study_instance_uid: str) -> Check | None:
    """The last check of a study."""
    return fetch_one(connection, Check, select(checks).where(checks.c.study_instance_uid == study_instance_uid))


def received_by_series(connection: Transaction, study_instance_uid: str) -> dict[str, int]:
    """How many instances of each series of a study are here, or were acknowledged where they are not CT.

    A series of the modality CT may hold screenshots and protocols: an archive counts them too.
    """
    ct = (
        select(instances.c.series_instance_uid, func.count())
        .where(instances.c.study_instance_uid == study_instance_uid, instances.c.state != InstanceState.DELETED)
        .group_by(instances.c.series_instance_uid)
    )
    others = (
        select(other_series.c.series_instance_uid, func.sum(other_series.c.instances))
        .where(other_series.c.study_instance_uid == study_instance_uid, other_series.c.keeping != Keeping.OWN)
        .group_by(other_series.c.series_instance_uid)
    )
    numbers = Counter[str]()
    for uid, number in (*connection.execute(ct), *connection.execute(others)):
        numbers[uid] += number
    return numbers


def record_check(connection: Transaction, check: Check) -> None:
    """Remember the last check of a study."""
    row = row_of(check)
    new = sqlite.insert(checks).values(row)
    connection.execute(new.on_conflict_do_update(index_elements=["study_instance_uid"], set_=row))


def wait_on(connection: Transaction, study: Study, due_at: float) -> bool:
    """Let a study that is due wait until ``due_at``; False if it changed or was judged since it was read."""
    unchanged = (
        studies.c.study_instance_uid == study.study_instance_uid,
        studies.c.revision == study.revision,
        studies.c.due_at == study.due_at,
    )
    return connection.execute(update(studies).where(*unchanged).values(due_at=due_at)).rowcount == 1


def is_due(connection: Transaction, study: Study) -> bool:
    """Whether a study is still, or again, to be judged."""
    of_study = studies.c.study_instance_uid == study.study_instance_uid
    return connection.execute(select(studies.c.due_at).where(of_study)).scalar() is not None


def completeness_of(connection: Transaction, study: Study, series_instance_uid: str) -> Completeness:
    """What the report on a study's series says of whether it came whole.

    Parameters
    ----------
    series_instance_uid : empty for a report on the study as a whole
    """
    here = received_by_series(connection, study.study_instance_uid)
    check = find_check(connection, study.study_instance_uid)
    if check is None or (check.revision != study.revision and check.state not in OPEN):
        check = Check(study.study_instance_uid, "", study.revision, CheckState.UNANSWERED, 0.0)
    expected = {series.series_instance_uid: series.instances for series in check.series}
    if not series_instance_uid:
        received = sum(here.get(uid, 0) for uid in expected or here)
        return Completeness(check.state, received, sum(expected.values()) if expected else None)
    others = sum(here.get(uid, 0) < number for uid, number in expected.items() if uid != series_instance_uid)
    return Completeness(check.state, here.get(series_instance_uid, 0), expected.get(series_instance_uid), others)


def _awaits_check() -> ColumnElement[bool]:
    """A study is checked that has CT of one patient: nothing else is judged by its images."""
    settled = exists().where(
        checks.c.study_instance_uid == studies.c.study_instance_uid,
        checks.c.revision == studies.c.revision,
        checks.c.state.not_in(OPEN),
    )
    has_ct = exists().where(instances.c.study_instance_uid == studies.c.study_instance_uid)
    return and_(~studies.c.patient_conflict, has_ct, ~settled)
