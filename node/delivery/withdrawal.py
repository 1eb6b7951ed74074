"""Results that are withdrawn: what waits is not sent any more, and a note goes out on what a destination has.

What was on its way when it was withdrawn is recalled: once it is known whether the destination may have it, a note goes
out on that, too, or it ends unsent.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from itertools import groupby
from pathlib import Path

import structlog
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from survnode.node import errors
from survnode.node.contexts import Answer, meaning_of
from survnode.node.results.documents.withdrawal import withdrawal
from survnode.node.results.envelope import SourceStudy
from survnode.node.results.identity import Layout, ResultRun
from survnode.node.results.inspection.inspection import inspect
from survnode.node.roles import ResultRole
from survnode.node.state import delivery_rows, result_rows
from survnode.node.state.database import Database
from survnode.node.state.delivery_rows import Due
from survnode.node.state.files import replace_durably
from survnode.node.state.job_rows import find_job
from survnode.node.state.records import Delivery, DeliveryState, RecordedObject, StoredObject
from survnode.node.state.reissuing import FinishedJob, hold_back, queue_note, sent_objects

log = structlog.get_logger()

IDENTITY = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
OF_REPORTS = ("ContentSequence", "CurrentRequestedProcedureEvidenceSequence", "PredecessorDocumentsSequence")
PERHAPS_THERE = "It may have been there when it was withdrawn: a note covers it."
NO_REPORT = "It was withdrawn, but no note can be written: its report was deleted after its retention time."


@dataclass(frozen=True)
class Withdrawn:
    """What became of the results of one job at one destination.

    Parameters
    ----------
    objects : that a note covers
    recalled : that may be there, and on which a note follows if so
    deleted : whether no note can be written, since the report is gone
    """

    objects: int = 0
    recalled: int = 0
    deleted: bool = False


@dataclass(frozen=True)
class Withdrawals:
    """Withdraws what is in ``database``.

    Parameters
    ----------
    folder : that the paths of result objects are relative to
    clock : seconds since the epoch
    """

    database: Database
    folder: Path
    layout: Layout
    clock: Callable[[], float] = time.time

    def withdraw(self, job: FinishedJob, destination: str) -> Withdrawn:
        """Hold back what waits of a job, and queue a note on what the destination has."""
        with self.database.transaction() as connection:
            recalled = hold_back(connection, job.id, destination, self.clock())
            arrived = sent_objects(connection, job.id, destination)
        if not arrived:
            return Withdrawn(recalled=recalled)
        note = self._note(job.id, job.version, arrived)
        if note is None:
            return Withdrawn(recalled=recalled, deleted=True)
        with self.database.transaction() as connection:
            queue_note(connection, note, job.id, destination, self.clock())
        return Withdrawn(len(arrived), recalled)

    def settle(self, destination: str) -> int:
        """Queue the notes on what was recalled; on how many objects.

        To be called when nothing is on its way to the destination: what became of it is known then, or never.
        """
        with self.database.reading() as connection:
            recalled = delivery_rows.recalled_deliveries(connection, destination)
        for job_id, of_job in groupby(recalled, key=lambda item: item.delivery.job_id):
            self._settle(job_id, destination, list(of_job))
        return len(recalled)

    def _settle(self, job_id: int, destination: str, recalled: Sequence[Due]) -> None:
        with self.database.reading() as connection:
            job = find_job(connection, job_id)
        if job is None:
            raise errors.RecordNotFound(f"There is no job {job_id}.")
        note = self._note(job_id, job.version, [item.result for item in recalled])
        with self.database.transaction() as connection:
            if note is not None:
                queue_note(connection, note, job_id, destination, self.clock())
            for item in recalled:
                delivery_rows.update_delivery(connection, item.delivery, _settled(item.delivery, note))
        say = log.error if note is None else log.warning
        say("delivery.recalled", job=job_id, destination=destination, objects=len(recalled), note=note is not None)

    def _note(self, job_id: int, version: int, results: Sequence[RecordedObject]) -> StoredObject | None:
        """The note on ``results``, on disk; None if the report, which says whom they are about, is gone."""
        with self.database.reading() as connection:
            (report,) = result_rows.originals_of(connection, job_id, [ResultRole.REPORT])
        if not (self.folder / report.path).exists():
            return None
        header = dcmread(self.folder / report.path)
        headers = [_header(result, header) for result in results]
        created = datetime.fromtimestamp(self.clock(), UTC).astimezone()
        note = withdrawal(headers, ResultRun(created, version, None, metadata.version("survnode")), self.layout)
        inspect((note,), SourceStudy(tuple(headers)))
        path = f"{Path(report.path).parts[0]}/withdrawal-{note.sop_instance_uid[-12:]}.dcm"
        if not (self.folder / path).exists():  # the same note under another time would be other bytes of one UID
            replace_durably(self.folder / path, note.encode())
        return note.stored_at(path)


def _settled(delivery: Delivery, note: StoredObject | None) -> Delivery:
    if note is None:
        return replace(delivery, state=DeliveryState.WITHDRAWN, error=NO_REPORT)
    if delivery.status is not None and meaning_of(delivery.status) is Answer.STORED:
        return replace(delivery, state=DeliveryState.SENT, error="")
    return replace(delivery, state=DeliveryState.WITHDRAWN, error=PERHAPS_THERE)


def _header(result: RecordedObject, report: Dataset) -> Dataset:
    """What a note needs to know of ``result``, whether or not its file is still there."""
    ds = Dataset()
    ds.update({element.tag: element for element in report if element.keyword not in IDENTITY + OF_REPORTS})
    ds.SOPClassUID, ds.SOPInstanceUID = UID(result.sop_class_uid), result.sop_instance_uid
    ds.SeriesInstanceUID = result.series_instance_uid
    if result.role.is_image:
        ds.Rows = ds.Columns = 1
    return ds
