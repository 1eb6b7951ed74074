"""The files of received instances and their rows: when `Store.add` returns, both survive a power cut.

::

    <folder>/incoming/    files that are being written; whatever lies there at start is of a crash
    <folder>/studies/     <study>/<series>/<instance>.dcm, each name a hash: no UID becomes a path
    <folder>/other/       what is not CT, if it is kept: <study>/<series>/<instance>.dcm, deleted with its study's CT
    <folder>/quarantine/  instances that came under a known UID with other bytes; never deleted by the node

The order is: write, fsync, rename, fsync of the folders, row. A crash leaves a file without a row, never a row without
a file, and `Store.sweep` removes such files before the next sender is answered.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Executable, case, exists, insert, or_, select, update
from sqlalchemy.dialects import sqlite

from survnode.node import errors
from survnode.node.contexts import CT_SOP_CLASSES
from survnode.node.intake.instance import Header, Received, read_header
from survnode.node.intake.rules import Routes, StudyFacts
from survnode.node.state.database import Database, fetch_one, row_of
from survnode.node.state.files import hashed, other_folder, sync_folder, write_durably
from survnode.node.state.records import Instance, InstanceState, Keeping, OtherSeries, Quarantined, Study, StudyState
from survnode.node.state.tables import instances, other_series, quarantined, results, studies

log = structlog.get_logger()

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REMEMBERED_FOLDERS = 4096


class Stored(StrEnum):
    """What became of an acknowledged instance."""

    NEW = "NEW"  # written, or written again after its file had been deleted
    DUPLICATE = "DUPLICATE"  # it is known, byte for byte
    QUARANTINED = "QUARANTINED"  # its UID is known with other bytes, and those are kept
    OTHER = "OTHER"  # it is not CT: counted, and kept if the site wants that


class DiskWatermark:
    """Refuses before the disk is full, and until there is room again.

    Parameters
    ----------
    refuse_below_bytes : of free space
    accept_above_bytes : of free space; more than ``refuse_below_bytes``, so that it does not flap
    free_bytes : measures the free space
    """

    def __init__(self, refuse_below_bytes: int, accept_above_bytes: int, free_bytes: Callable[[], int]) -> None:
        self._low, self._high, self._free_bytes = refuse_below_bytes, accept_above_bytes, free_bytes
        self.refusing = False

    def check(self) -> None:
        """Do nothing while there is room.

        Raises
        ------
        StorageFull
        """
        free = self._free_bytes()
        refusing = free < (self._high if self.refusing else self._low)
        if refusing != self.refusing:
            log.error("disk.low", free_bytes=free) if refusing else log.info("disk.ok", free_bytes=free)
        self.refusing = refusing
        if refusing:
            raise errors.StorageFull("The disk is nearly full.")


class Store:
    """Instances on disk and in the database; for any number of threads of one receiving process.

    Parameters
    ----------
    folder : made if absent
    quiet_period_s : a study is judged when no image came for so long; not used with ``routes``
    routes : the site's rules, and the quiet period where none of them fits
    keep_other : keep the files of what is not CT
    clock : seconds since the epoch
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        *,
        quiet_period_s: float = 60.0,
        routes: Routes | None = None,
        keep_other: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self._database = folder, database
        self._routes, self._keep_other, self._clock = routes or Routes(quiet_period_s=quiet_period_s), keep_other, clock
        self._durable_folders: set[Path] = set()
        self._lock: int | None = None
        for name in ("incoming", "studies", "other", "quarantine"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for made in (folder, *folder.absolute().parents):
            with suppress(OSError):  # of what is not ours to open, nothing was made here
                sync_folder(made)

    def add(self, received: Received) -> Stored:
        """Store one instance; both file and row are durable on return.

        Raises
        ------
        InstanceRefused
            UIDInvalid, InstanceUnparsable or InstanceMismatch: nothing is kept.
        StorageFailed, DatabaseFailed
            The disk or the database did not take it.
        """
        header = read_header(received)
        if header.sop_class_uid not in CT_SOP_CLASSES:
            return self._add_other(header, received)
        path = _path_of(header, received)
        self._write(path, received.part10)
        return self._record(header, received, path)

    def sweep(self) -> int:
        """Make this process the one that receives, and remove what crashes left: files without a row.

        Returns
        -------
        The number of files that were removed; none of them was acknowledged.

        Raises
        ------
        StoreInUse
            Another process receives into this folder: its unfinished files must be left alone.
        """
        self._lock_folder()
        with self._database.reading() as connection:
            rows = connection.execute(select(instances.c.path).where(instances.c.state != InstanceState.DELETED))
            known = set(rows.scalars())
        found = [path for name in ("incoming", "studies") for path in (self.folder / name).rglob("*") if path.is_file()]
        orphans = [path for path in found if path.relative_to(self.folder).as_posix() not in known]
        for path in orphans:
            path.unlink()
        _remove_empty_folders(self.folder / "studies")
        return len(orphans)

    def close(self) -> None:
        """Let another process receive."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _lock_folder(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self.folder / "receiver.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise errors.StoreInUse(f"Another process receives into {self.folder}.") from None
        self._lock = lock

    def _write(self, path: str, content: bytes) -> None:
        """Put ``content`` at ``path``: all of it or nothing, and durable."""
        temporary = self.folder / "incoming" / uuid4().hex
        target = self.folder / path
        try:
            write_durably(temporary, content)
            self._make_durable(target.parent)
            temporary.rename(target)
            sync_folder(target.parent)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise _typed(error) from error

    def _make_durable(self, folder: Path) -> None:
        """Make a folder and those above it, each of them known to its parent on disk."""
        if folder == self.folder or folder in self._durable_folders:
            return
        self._make_durable(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)  # also if it was there: the thread that made it may not have come so far
        if len(self._durable_folders) >= _REMEMBERED_FOLDERS:
            self._durable_folders.clear()
        self._durable_folders.add(folder)

    def _record(self, header: Header, received: Received, path: str) -> Stored:
        now = self._clock()
        row = Instance(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            transfer_syntax_uid=received.transfer_syntax_uid,
            patient_id=header.patient_id,
            calling_ae_title=received.calling_ae_title,
            sha256=received.sha256,
            size_bytes=len(received.encoded),
            path=path,
            received_at=now,
        )
        with self._database.transaction() as connection:
            mine = instances.c.sop_instance_uid == row.sop_instance_uid
            known = fetch_one(connection, Instance, select(instances).where(mine))
            if known is None:
                self._write_if_gone(path, received)
                self._push_study(connection, header, received, now)
                connection.execute(insert(instances).values(row_of(row)))
                return Stored.NEW
            if (known.study_instance_uid, known.series_instance_uid) != (
                row.study_instance_uid,
                row.series_instance_uid,
            ):
                (self.folder / path).unlink(missing_ok=True)  # no row can name it: its name holds study and series
                raise errors.InstanceMismatch("The SOP Instance UID is known with another study or series.")
            if known.path != path:
                self._quarantine(connection, row, received.part10)
                return Stored.QUARANTINED
            if known.state is not InstanceState.DELETED:
                return Stored.DUPLICATE
            self._write_if_gone(path, received)
            self._push_study(connection, header, received, now)
            connection.execute(update(instances).where(mine).values(state=InstanceState.STORED, received_at=now))
            return Stored.NEW

    def _add_other(self, header: Header, received: Received) -> Stored:
        """Count what is not CT, and keep its file if that is wanted.

        It lets a study wait that is still coming. A study that was judged it does not open again: what is analysed is
        CT alone, and the node's own results, which a PACS may send back, must not set off the next.
        """
        with self._database.reading() as connection:
            own = header.is_own or _is_result(connection, header)
        if self._keep_other and not own:
            self._write_other(header, received)
        keeping = Keeping.OWN if own else Keeping.KEPT if self._keep_other else Keeping.DROPPED
        now = self._clock()
        due_at = None if own else now + self._quiet_period_of(header, received)
        with self._database.transaction() as connection:
            connection.execute(_study_of_other(header, received, now, due_at))
            connection.execute(_other_series(header, received, keeping, now))
        log.debug("instance.other", sop_class_uid=header.sop_class_uid, keeping=str(keeping.value))
        return Stored.OTHER

    def _write_other(self, header: Header, received: Received) -> None:
        _, _, series, name = _path_of(header, received).split("/")
        path = f"{other_folder(header.study_instance_uid)}/{series}/{name}"
        if not (self.folder / path).exists():
            self._write(path, received.part10)

    def _quiet_period_of(self, header: Header, received: Received) -> float:
        """As far as one instance can tell; the study is judged by the rule that fits it whole."""
        if not self._routes.rules:
            return self._routes.quiet_period_s
        study = StudyFacts(received.calling_ae_title, received.called_ae_title, (header.facts,))
        return self._routes.route(study).quiet_period_s

    def _write_if_gone(self, path: str, received: Received) -> None:
        """Write a file again that the retention sweep, or a person, took away before its row was there."""
        if not (self.folder / path).exists():
            self._write(path, received.part10)

    def _push_study(self, connection: Connection, header: Header, received: Received, now: float) -> None:
        """Let the study wait for a whole quiet period again; one whose images are all gone begins anew."""
        first = _study_row(header, received, now, now + self._quiet_period_of(header, received))
        of_study = instances.c.study_instance_uid == header.study_instance_uid
        begins = (studies.c.state == StudyState.DELETED) | ~exists().where(of_study)
        other = studies.c.patient_id != header.patient_id
        named = ("patient_id", "accession_number", "study_date", "calling_ae_title", "called_ae_title")
        again = {name: case((begins, first[name]), else_=studies.c[name]) for name in named} | {
            "patient_conflict": case((begins, False), else_=or_(studies.c.patient_conflict, other)),
            "last_received_at": now,
            "due_at": first["due_at"],
            "revision": studies.c.revision + 1,
            "state": StudyState.RECEIVING,
            "error": "",
            "detail": "",
        }
        new = sqlite.insert(studies).values(first)
        connection.execute(new.on_conflict_do_update(index_elements=["study_instance_uid"], set_=again))

    def _quarantine(self, connection: Connection, row: Instance, content: bytes) -> None:
        """Keep other bytes of a known instance apart; the same other bytes only once.

        It is written again, not moved: another sender of the same bytes may have moved it.
        """
        kept = f"quarantine/{Path(row.path).name}"
        self._write(kept, content)
        (self.folder / row.path).unlink(missing_ok=True)
        record = Quarantined(
            row.sop_instance_uid, row.study_instance_uid, row.calling_ae_title, row.sha256, kept, row.received_at
        )
        connection.execute(sqlite.insert(quarantined).values(row_of(record)).on_conflict_do_nothing())


def _path_of(header: Header, received: Received) -> str:
    """Where the file lies: two senders of different bytes never meet at one path, two of the same bytes may."""
    names = (
        header.study_instance_uid,
        header.series_instance_uid,
        f"{header.sop_instance_uid}/{received.transfer_syntax_uid}/{received.sha256}",
    )
    study, series, instance = map(hashed, names)
    return f"studies/{study}/{series}/{instance}.dcm"


def _study_row(header: Header, received: Received, now: float, due_at: float) -> dict[str, Any]:
    return row_of(
        Study(
            study_instance_uid=header.study_instance_uid,
            patient_id=header.patient_id,
            patient_conflict=False,
            first_received_at=now,
            last_received_at=now,
            due_at=due_at,
            revision=1,
            state=StudyState.RECEIVING,
            accession_number=header.accession_number,
            study_date=header.study_date,
            calling_ae_title=received.calling_ae_title,
            called_ae_title=received.called_ae_title,
        )
    )


def _is_result(connection: Connection, header: Header) -> bool:
    """Whether this node made it, or other objects of its series."""
    known = (results.c.sop_instance_uid == header.sop_instance_uid) | (
        results.c.series_instance_uid == header.series_instance_uid
    )
    return connection.execute(select(results.c.id).where(known).limit(1)).first() is not None


def _study_of_other(header: Header, received: Received, now: float, due_at: float | None) -> Executable:
    """Makes the study of an instance that is not CT, or lets it wait until ``due_at`` if it is still coming."""
    new = sqlite.insert(studies).values(_study_row(header, received, now, due_at or now))
    if due_at is None:
        return new.on_conflict_do_nothing()
    waits = {"due_at": due_at, "last_received_at": now, "revision": studies.c.revision + 1}
    return new.on_conflict_do_update(
        index_elements=["study_instance_uid"], set_=waits, where=studies.c.state == StudyState.RECEIVING
    )


def _other_series(header: Header, received: Received, keeping: Keeping, now: float) -> Executable:
    facts = header.facts
    record = OtherSeries(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        sop_class_uid=header.sop_class_uid,
        keeping=keeping,
        modality=facts.modality,
        body_part=facts.body_part,
        series_description=facts.series_description,
        protocol_name=facts.protocol,
        instances=1,
        size_bytes=len(received.encoded),
        last_received_at=now,
    )
    more = {
        "instances": other_series.c.instances + 1,
        "size_bytes": other_series.c.size_bytes + record.size_bytes,
        "last_received_at": now,
    }
    new = sqlite.insert(other_series).values(row_of(record))
    return new.on_conflict_do_update(index_elements=list(other_series.primary_key.columns), set_=more)


def _remove_empty_folders(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        if path.is_dir():
            with suppress(OSError):  # it is not empty
                path.rmdir()


def _typed(error: OSError) -> errors.StorageFailed:
    kind = errors.StorageFull if error.errno in _FULL else errors.StorageFailed
    return kind(f"The disk did not take the instance: {errno.errorcode.get(error.errno or 0, 'unknown')}.")
