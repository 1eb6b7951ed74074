"""Results that went out before: sent again, withdrawn or made anew, for a study, a time span or a version of the model.

Everything here only writes rows; the running node does the rest. It works while no node runs, too.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from survnode.node.config import DestinationConfig, NodeConfig
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.withdrawal import Withdrawals, Withdrawn
from survnode.node.errors import InputRefused, RecordNotFound
from survnode.node.results.identity import Layout
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database
from survnode.node.state.records import RecordedObject
from survnode.node.state.reissuing import FinishedJob, Selection, is_withdrawn, selected_jobs, sent_objects
from survnode.node.state.rejudging import judge_again
from survnode.node.state.result_rows import originals_of

DELETED = "Its files were deleted after their retention time."
RECALLED = "Withdrawn. Some of it may be on its way: a note on that follows if it arrives."
NEVER_SENT = "Nothing of it went there."
WITHDRAWN = "It was withdrawn there: have it made anew."  # a PACS hides a rejected UID even if it comes again
WOULD_BE = "It would be withdrawn."
AGAIN = "It is sent again."
LEFT_OUT = "The rule of its study leaves this destination out: name it with --destination to send there all the same."
JUDGED_AGAIN = "It is judged again."
NOT_HERE = "Not all of its images are here, or some are still coming in: send the study again, or wait."


@dataclass(frozen=True)
class Reissued:
    """What became of the results of one job for one destination.

    Parameters
    ----------
    destination : None if they are made anew
    """

    study_instance_uid: str
    job: int
    version: int
    destination: str | None
    objects: int
    note: str


@dataclass(frozen=True)
class Reissue:
    """Sends again, withdraws, and has made anew.

    Parameters
    ----------
    folder : that the paths of result objects are relative to
    destinations : to which; all others are left alone
    despite_rules : send again also to a destination that the study's rule leaves out, since a person named it
    clock : seconds since the epoch
    """

    database: Database
    folder: Path
    destinations: Sequence[DestinationConfig]
    clock: Callable[[], float] = time.time
    despite_rules: bool = False

    def send_again(self, selection: Selection) -> list[Reissued]:
        """Queue the newest of the selected results of each study, whether or not they were sent before.

        What was withdrawn from a destination stays withdrawn there.

        Raises
        ------
        RecordNotFound
            There are no such results.
        """
        newest = {job.study_instance_uid: job for job in self._selected(selection)}
        return [self._send_again(job, destination) for job in newest.values() for destination in self.destinations]

    def withdraw(self, selection: Selection, layout: Layout) -> list[Reissued]:
        """Queue a rejection note on all of the selected results, of every version, that went to a destination.

        What still waits for a destination is not sent to it any more.

        Raises
        ------
        RecordNotFound
            There are no such results.
        """
        selected = self._selected(selection)
        return [self._withdraw(job, destination, layout) for job in selected for destination in self.destinations]

    def would_withdraw(self, selection: Selection) -> list[Reissued]:
        """What `withdraw` would do; nothing is written.

        Raises
        ------
        RecordNotFound
            There are no such results.
        """
        selected = self._selected(selection)
        return [self._would_withdraw(job, destination) for job in selected for destination in self.destinations]

    def make_anew(self, selection: Selection) -> list[Reissued]:
        """Have the selected studies judged again, for the model that the node has now.

        A new version comes of it, with the old one as its predecessor, if model or images are not the same as before,
        or if the old one was withdrawn.

        Raises
        ------
        RecordNotFound
            There are no such results.
        """
        newest = {job.study_instance_uid: job for job in self._selected(selection)}
        return [_row(job, note=self._make_anew(job)) for job in newest.values()]

    def _selected(self, selection: Selection) -> list[FinishedJob]:
        with self.database.reading() as connection:
            selected = selected_jobs(connection, selection)
        if not selected:
            raise RecordNotFound("There are no results of that study, time or model.")
        return selected

    def _send_again(self, job: FinishedJob, destination: DestinationConfig) -> Reissued:
        if not self.despite_rules and job.destinations is not None and destination.name not in job.destinations:
            return _row(job, destination.name, note=LEFT_OUT)
        with self.database.reading() as connection:
            originals = originals_of(connection, job.id, destination.objects)
            withdrawn = is_withdrawn(connection, job.id, destination.name)
        if withdrawn:
            return _row(job, destination.name, note=WITHDRAWN)
        if not self._all_there(originals):
            return _row(job, destination.name, note=DELETED)
        outbox = Outbox(self.database, self.folder, clock=self.clock)
        objects = outbox.resend(job.id, destination.name, destination.objects)
        return _row(job, destination.name, objects=objects, note=AGAIN if objects else "")

    def _withdraw(self, job: FinishedJob, destination: DestinationConfig, layout: Layout) -> Reissued:
        withdrawals = Withdrawals(self.database, self.folder, layout, clock=self.clock)
        withdrawn = withdrawals.withdraw(job, destination.name)
        return _row(job, destination.name, objects=withdrawn.objects, note=_note_of(withdrawn))

    def _would_withdraw(self, job: FinishedJob, destination: DestinationConfig) -> Reissued:
        with self.database.reading() as connection:
            sent = sent_objects(connection, job.id, destination.name)
            reports = originals_of(connection, job.id, (ResultRole.REPORT,))
        note = NEVER_SENT if not sent else WOULD_BE if self._all_there(reports) else DELETED
        return _row(job, destination.name, objects=len(sent) if note is WOULD_BE else 0, note=note)

    def _make_anew(self, job: FinishedJob) -> str:
        judged = judge_again(self.database, job.study_instance_uid, now=self.clock())
        return JUDGED_AGAIN if judged else NOT_HERE

    def _all_there(self, found: Iterable[RecordedObject]) -> bool:
        return all((self.folder / result.path).exists() for result in found)


def destinations_of(config: NodeConfig, name: str | None) -> tuple[DestinationConfig, ...]:
    """The destination of that name, or all.

    Raises
    ------
    InputRefused
        There is none of that name.
    """
    destinations = tuple(destination for destination in config.destinations if name in {None, destination.name})
    if not destinations:
        names = ", ".join(destination.name for destination in config.destinations) or "none"
        raise InputRefused(f"There is no destination {name or ''}; the configuration has: {names}.")
    return destinations


def _note_of(withdrawn: Withdrawn) -> str:
    if withdrawn.deleted:
        return DELETED
    if withdrawn.recalled:
        return RECALLED
    return "Withdrawn." if withdrawn.objects else NEVER_SENT


def _row(job: FinishedJob, destination: str | None = None, *, objects: int = 0, note: str = "") -> Reissued:
    return Reissued(job.study_instance_uid, job.id, job.version, destination, objects, note)
