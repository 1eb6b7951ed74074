"""The rows of a received instance, on the shortest way: SQLAlchemy's statements, run by the driver itself.

An image is acknowledged when its row is on disk, so this is the one place where the time of a statement counts: each
is compiled once and kept prepared by the driver (17 us in place of 330 through SQLAlchemy's engine).
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ClauseElement, and_, bindparam, case, exists, insert, or_, select, update
from sqlalchemy.dialects import sqlite

from survnode.node.state.database import Database, prepare, row_of, typed
from survnode.node.state.records import Instance, InstanceState, OtherSeries, Quarantined, Study, StudyState
from survnode.node.state.tables import instances, other_series, quarantined, results, studies

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


_STATES = {str(state.value): state for state in InstanceState}


@dataclass(frozen=True)
class KnownInstance:
    """What is remembered of an instance that came before."""

    study_instance_uid: str
    series_instance_uid: str
    path: str
    state: InstanceState


class Ingest:
    """The writes of instances; one connection, used in `transaction` by one thread at a time."""

    def __init__(self, database: Database) -> None:
        try:
            self._connection = sqlite3.connect(
                database.path, timeout=database.busy_timeout_s, isolation_level=None, check_same_thread=False
            )
            prepare(self._connection)
        except sqlite3.Error as error:
            raise typed(error) from error
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything that is written until the block ends is on disk then, or undone.

        Raises
        ------
        DatabaseBusy, StorageFull, DatabaseFailed
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise typed(error) from error
                raise

    def known(self, sop_instance_uid: str) -> KnownInstance | None:
        """What is remembered of an instance."""
        row = _KNOWN.run(self._connection, {"uid": sop_instance_uid}).fetchone()
        return None if row is None else KnownInstance(row[0], row[1], row[2], _STATES[row[3]])

    def add_instance(self, instance: Instance) -> None:
        """Remember an instance; its study must be known."""
        _ADD_INSTANCE.run(self._connection, row_of(instance))

    def restore_instance(self, sop_instance_uid: str, received_at: float) -> None:
        """Remember that an instance whose file was deleted is there again."""
        _RESTORE_INSTANCE.run(self._connection, {"uid": sop_instance_uid, "at": received_at})

    def push_study(self, study: Study) -> None:
        """Let a study wait for a whole quiet period again; one whose images are all gone begins anew.

        Nearly always it waits already, and only what changes is written: each index that a statement names is a page
        more that goes to disk with each image.
        """
        values = row_of(study)
        if _PUSH_WAITING.run(self._connection, values).rowcount == 0:
            _PUSH_STUDY.run(self._connection, values)

    def is_result(self, sop_instance_uid: str, series_instance_uid: str) -> bool:
        """Whether this node made an instance, or others of its series."""
        uids = {"uid": sop_instance_uid, "series": series_instance_uid}
        return _IS_RESULT.run(self._connection, uids).fetchone() is not None

    def wait_for_study(self, study: Study, *, pushes: bool) -> None:
        """Remember a study of which something came that is not CT, and let it wait if it is still coming.

        Parameters
        ----------
        pushes : whether it is to wait; if not, it is only remembered
        """
        statement = _WAIT_FOR_STUDY if pushes else _KNOW_STUDY
        statement.run(self._connection, row_of(study))

    def count_other(self, series: OtherSeries) -> None:
        """Count one more instance that is not CT."""
        _COUNT_OTHER.run(self._connection, row_of(series))

    def mark_conflict(self, study: Study) -> bool:
        """Have a study judged again of which an image came again with another patient; False if it is the same."""
        values = {"uid": study.study_instance_uid, "patient": study.patient_id, "due": study.due_at}
        return _MARK_CONFLICT.run(self._connection, values).rowcount == 1

    def add_quarantined(self, record: Quarantined) -> None:
        """Remember other bytes of a known instance, once."""
        _ADD_QUARANTINED.run(self._connection, row_of(record))

    def quarantined_paths(self) -> set[str]:
        """Where the files in quarantine lie that have a row."""
        with self._lock:
            return {path for (path,) in _QUARANTINED.run(self._connection, {}).fetchall()}

    def states_below(self, folder: str) -> dict[str, InstanceState]:
        """The instances whose files lie in ``folder`` or should, by path."""
        with self._lock:
            rows = _BELOW.run(self._connection, {"first": f"{folder}/", "last": f"{folder}0"}).fetchall()
        return {path: _STATES[state] for path, state in rows}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class GroupCommit(Generic[ItemT, ResultT]):
    """Lets threads that want to commit at the same time share one transaction, and so one write to disk.

    Whoever gets the lock commits what all those behind him brought; alone, he waits for nobody.

    Parameters
    ----------
    commit : gets the items of several threads, and returns the result or the error of each
    """

    def __init__(self, commit: Callable[[Sequence[ItemT]], Sequence[ResultT | Exception]]) -> None:
        self._commit = commit
        self._waiting: deque[_Ticket[ItemT, ResultT]] = deque()  # always the same one: others append while one takes
        self._committing = threading.Lock()

    def add(self, item: ItemT) -> ResultT:
        """Commit an item, perhaps together with others; its result.

        Raises
        ------
        The error that ``commit`` has for the item, or raises for all of them.
        """
        ticket: _Ticket[ItemT, ResultT] = _Ticket(item)
        self._waiting.append(ticket)
        with self._committing:
            if not ticket.outcome:
                self._serve([self._waiting.popleft() for _ in range(len(self._waiting))])
        outcome = ticket.outcome[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _serve(self, batch: "list[_Ticket[ItemT, ResultT]]") -> None:
        try:
            outcomes = self._commit([ticket.item for ticket in batch])
        except Exception as error:  # noqa: BLE001  each of those who wait gets it
            outcomes = [error] * len(batch)
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.outcome.append(outcome)


class _Ticket(Generic[ItemT, ResultT]):
    """An item that waits to be committed; its outcome is absent until it was."""

    def __init__(self, item: ItemT) -> None:
        self.item = item
        self.outcome: list[ResultT | Exception] = []


class _Prepared:
    """A statement of SQLAlchemy's as the driver takes it."""

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        self.sql, self.constants = str(compiled), dict(compiled.params)

    def run(self, connection: sqlite3.Connection, values: dict[str, Any]) -> sqlite3.Cursor:
        return connection.execute(self.sql, self.constants | values)


def _push_study() -> ClauseElement:
    """What is told of the first CT image stays, of all that come until it is deleted."""
    new = sqlite.insert(studies)
    of_study = instances.c.study_instance_uid == new.excluded.study_instance_uid
    begins = (studies.c.state == StudyState.DELETED) | ~exists().where(of_study)
    other = studies.c.patient_id != new.excluded.patient_id
    named = ("patient_id", "accession_number", "study_date", "calling_ae_title", "called_ae_title")
    again: dict[str, Any] = {name: case((begins, new.excluded[name]), else_=studies.c[name]) for name in named} | {
        "patient_conflict": case((begins, False), else_=or_(studies.c.patient_conflict, other)),
        "last_received_at": new.excluded.last_received_at,
        "due_at": new.excluded.due_at,
        "revision": studies.c.revision + 1,
        "state": new.excluded.state,
        "error": "",
        "detail": "",
    }
    return new.on_conflict_do_update(index_elements=["study_instance_uid"], set_=again)


def _push_waiting() -> ClauseElement:
    """As `_push_study`, for a study that waits and of which there is an image."""
    of_study = instances.c.study_instance_uid == studies.c.study_instance_uid
    waits = and_(
        studies.c.study_instance_uid == bindparam("study_instance_uid"),
        studies.c.state == StudyState.RECEIVING,
        exists().where(of_study),
    )
    return (
        update(studies)
        .where(waits)
        .values(
            patient_conflict=or_(studies.c.patient_conflict, studies.c.patient_id != bindparam("patient_id")),
            last_received_at=bindparam("last_received_at"),
            due_at=bindparam("due_at"),
            revision=studies.c.revision + 1,
            error="",
            detail="",
        )
    )


def _wait_for_study() -> ClauseElement:
    new = sqlite.insert(studies)
    waits = {
        "due_at": new.excluded.due_at,
        "last_received_at": new.excluded.last_received_at,
        "revision": studies.c.revision + 1,
    }
    return new.on_conflict_do_update(
        index_elements=["study_instance_uid"], set_=waits, where=studies.c.state == StudyState.RECEIVING
    )


def _count_other() -> ClauseElement:
    new = sqlite.insert(other_series)
    more = {
        "instances": other_series.c.instances + new.excluded.instances,
        "size_bytes": other_series.c.size_bytes + new.excluded.size_bytes,
        "last_received_at": new.excluded.last_received_at,
    }
    return new.on_conflict_do_update(index_elements=list(other_series.primary_key.columns), set_=more)


_OF_UID = instances.c.sop_instance_uid == bindparam("uid")
_KNOWN = _Prepared(
    select(instances.c.study_instance_uid, instances.c.series_instance_uid, instances.c.path, instances.c.state).where(
        _OF_UID
    )
)
_BELOW = _Prepared(
    select(instances.c.path, instances.c.state).where(
        and_(instances.c.path >= bindparam("first"), instances.c.path < bindparam("last"))
    )
)
_ADD_INSTANCE = _Prepared(insert(instances))
_RESTORE_INSTANCE = _Prepared(
    update(instances).where(_OF_UID).values(state=InstanceState.STORED, received_at=bindparam("at"))
)
_ADD_QUARANTINED = _Prepared(sqlite.insert(quarantined).on_conflict_do_nothing())
_QUARANTINED = _Prepared(select(quarantined.c.path))
_PUSH_STUDY = _Prepared(_push_study())
_PUSH_WAITING = _Prepared(_push_waiting())
_WAIT_FOR_STUDY = _Prepared(_wait_for_study())
_MARK_CONFLICT = _Prepared(
    update(studies)
    .where(studies.c.study_instance_uid == bindparam("uid"), studies.c.patient_id != bindparam("patient"))
    .values(patient_conflict=True, due_at=bindparam("due"), state=StudyState.RECEIVING, revision=studies.c.revision + 1)
)
_KNOW_STUDY = _Prepared(sqlite.insert(studies).on_conflict_do_nothing())
_COUNT_OTHER = _Prepared(_count_other())
_IS_RESULT = _Prepared(
    select(results.c.id)
    .where(or_(results.c.sop_instance_uid == bindparam("uid"), results.c.series_instance_uid == bindparam("series")))
    .limit(1)
)
