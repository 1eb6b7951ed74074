"""What becomes of an instance whose bytes are on disk: the rules, and the rows that they write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import structlog

from survnode.node import errors
from survnode.node.intake.instance import Received, Spooled
from survnode.node.intake.instance_header import Header
from survnode.node.intake.rules import Routes, StudyFacts
from survnode.node.intake.store_folders import StoreFolders
from survnode.node.state.files import hashed, other_folder, sync_folder
from survnode.node.state.ingest import GroupCommit, Ingest
from survnode.node.state.records import Instance, InstanceState, Keeping, OtherSeries, Quarantined, Study, StudyState

log = structlog.get_logger()


class Stored(StrEnum):
    """What became of an acknowledged instance."""

    NEW = "NEW"  # written, or written again after its file had been deleted
    DUPLICATE = "DUPLICATE"  # it is known, byte for byte
    QUARANTINED = "QUARANTINED"  # its UID is known with other bytes, and those are kept
    OTHER = "OTHER"  # it is not CT: counted, and kept if the site wants that


@dataclass(frozen=True)
class Placed:
    """An instance whose file is in its place and whose row is to be written.

    Parameters
    ----------
    write_again : puts it at a path anew; None if its only copy is in its place
    """

    header: Header
    received: Spooled
    path: str
    write_again: Callable[[Path], object] | None


def path_of(header: Header, received: Received | Spooled) -> str:
    """Where the file lies: two senders of different bytes never meet at one path, two of the same bytes may."""
    names = (
        header.study_instance_uid,
        header.series_instance_uid,
        f"{header.sop_instance_uid}/{received.transfer_syntax_uid}/{received.sha256}",
    )
    study, series, instance = map(hashed, names)
    return f"studies/{study}/{series}/{instance}.dcm"


class Register:
    """Writes the rows of received instances; see `Store` for the parameters."""

    def __init__(
        self, rows: Ingest, folders: StoreFolders, routes: Routes, clock: Callable[[], float], *, keep_other: bool
    ) -> None:
        self.rows, self._folders = rows, folders
        self._routes, self._clock, self._keep_other = routes, clock, keep_other
        self._commits = GroupCommit(self._record)

    def add(self, placed: Placed) -> Stored:
        """Write the rows of a CT instance whose file is in its place; they are durable on return.

        Raises
        ------
        InstanceMismatch, StorageFailed, DatabaseFailed
        """
        return self._commits.add(placed)

    def quarantine(self, placed: Placed) -> None:
        """Write the row of an instance that is in quarantine already, as if it came now.

        Raises
        ------
        StorageFailed, DatabaseFailed
        """
        with self.rows.transaction():
            self._quarantine(placed, self._clock())

    def add_other(self, header: Header, received: Spooled, place: Callable[[str], object]) -> Stored:
        """Count what is not CT, and keep its file if that is wanted.

        It lets a study wait that is still coming. A study that was judged it does not open again: what is analysed is
        CT alone, and the node's own results, which a PACS may send back, must not set off the next.

        Parameters
        ----------
        place : puts the file at a path below the store's folder, durably

        Raises
        ------
        StorageFailed, DatabaseFailed
        """
        now = self._clock()
        with self.rows.transaction():
            own = header.is_own or self.rows.is_result(header.sop_instance_uid, header.series_instance_uid)
        if self._keep_other and not own:
            _, _, series, name = path_of(header, received).split("/")
            place(f"{other_folder(header.study_instance_uid)}/{series}/{name}")
        keeping = Keeping.OWN if own else Keeping.KEPT if self._keep_other else Keeping.DROPPED
        with self.rows.transaction():
            study = self._study(header, received, now)
            self.rows.wait_for_study(replace(study, due_at=now) if own else study, pushes=not own)
            self.rows.count_other(_other_series(header, received, keeping, now))
        log.debug("instance.other", sop_class_uid=header.sop_class_uid, keeping=str(keeping.value))
        return Stored.OTHER

    def _record(self, placed: Sequence[Placed]) -> list[Stored | Exception]:
        """Write the rows of instances whose files are in place, in one transaction."""
        with self.rows.transaction():
            return [self._outcome(it) for it in placed]

    def _outcome(self, placed: Placed) -> Stored | Exception:
        try:
            return self._record_one(placed)
        except (errors.InstanceRefused, errors.StorageFailed) as refusal:  # of this one; the others' rows stand
            return refusal

    def _record_one(self, placed: Placed) -> Stored:
        header, received, now = placed.header, placed.received, self._clock()
        known = self.rows.known(header.sop_instance_uid)
        if known is None:
            self._write_if_gone(placed)
            self.rows.push_study(self._study(header, received, now))
            self.rows.add_instance(_instance(placed, now))
            return Stored.NEW
        if (known.study_instance_uid, known.series_instance_uid) != (
            header.study_instance_uid,
            header.series_instance_uid,
        ):
            if placed.write_again:  # it was not acknowledged, and no row can name it: its name holds study and series
                (self._folders.root / placed.path).unlink(missing_ok=True)
            raise errors.InstanceMismatch("The SOP Instance UID is known with another study or series.")
        if known.path != placed.path:
            self._quarantine(placed, now)
            return Stored.QUARANTINED
        if known.state is InstanceState.STORED:
            return Stored.DUPLICATE
        self._write_if_gone(placed)
        self.rows.push_study(self._study(header, received, now))
        self.rows.restore_instance(header.sop_instance_uid, now)
        return Stored.NEW

    def _write_if_gone(self, placed: Placed) -> None:
        """Write a file again that the retention sweep, or a person, took away before its row was there."""
        target = self._folders.root / placed.path
        if target.exists():
            return
        if placed.write_again is None:
            raise errors.StorageFailed("The file is gone.")
        self._folders.make_durable(target.parent)
        placed.write_again(target)

    def _study(self, header: Header, received: Spooled, now: float) -> Study:
        return Study(
            study_instance_uid=header.study_instance_uid,
            patient_id=header.patient_id,
            patient_conflict=False,
            first_received_at=now,
            last_received_at=now,
            due_at=now + self._quiet_period_of(header, received),
            revision=1,
            state=StudyState.RECEIVING,
            accession_number=header.accession_number,
            study_date=header.study_date,
            calling_ae_title=received.calling_ae_title,
            called_ae_title=received.called_ae_title,
        )

    def _quiet_period_of(self, header: Header, received: Spooled) -> float:
        """As far as one instance can tell; the study is judged by the rule that fits it whole."""
        if not self._routes.rules:
            return self._routes.quiet_period_s
        study = StudyFacts(received.calling_ae_title, received.called_ae_title, (header.facts,))
        return self._routes.route(study).quiet_period_s

    def _quarantine(self, placed: Placed, now: float) -> None:
        """Keep other bytes of a known instance apart; the same other bytes only once."""
        kept = f"quarantine/{Path(placed.path).name}"
        try:
            (self._folders.root / placed.path).replace(self._folders.root / kept)
            sync_folder(self._folders.root / "quarantine")
        except FileNotFoundError:  # another sender of the same bytes has moved it, or a person
            if not (self._folders.root / kept).exists() and placed.write_again:
                placed.write_again(self._folders.root / kept)
        except OSError as error:
            raise errors.storage_error(error) from error
        uids, received = placed.header, placed.received
        record = Quarantined(
            uids.sop_instance_uid,
            uids.study_instance_uid,
            received.calling_ae_title,
            received.sha256,
            kept,
            now,
        )
        self.rows.add_quarantined(record)
        log.warning(
            "instance.quarantined",
            sop_instance_uid=uids.sop_instance_uid,
            study_instance_uid=uids.study_instance_uid,
            calling_ae_title=received.calling_ae_title,
            sha256=received.sha256,
            other_patient=self.rows.mark_conflict(self._study(uids, received, now)),
        )


def _instance(placed: Placed, now: float) -> Instance:
    header, received = placed.header, placed.received
    return Instance(
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        transfer_syntax_uid=received.transfer_syntax_uid,
        patient_id=header.patient_id,
        calling_ae_title=received.calling_ae_title,
        sha256=received.sha256,
        size_bytes=received.size_bytes,
        path=placed.path,
        received_at=now,
    )


def _other_series(header: Header, received: Spooled, keeping: Keeping, now: float) -> OtherSeries:
    facts = header.facts
    return OtherSeries(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        sop_class_uid=header.sop_class_uid,
        keeping=keeping,
        modality=facts.modality,
        body_part=facts.body_part,
        series_description=facts.series_description,
        protocol_name=facts.protocol,
        instances=1,
        size_bytes=received.size_bytes,
        last_received_at=now,
    )
