"""What there is to say about an association when it has ended: one record, one log event, one row.

A `Tally` is filled by whoever serves the association; it knows nothing of the network.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import structlog

from survnode.node.contexts import WATCHDOG_AE_TITLE, ContextResult, Negotiated, StoreStatus, name_of
from survnode.node.errors import NodeError
from survnode.node.state.associations import record_associations
from survnode.node.state.database import Database
from survnode.node.state.records import Association, AssociationEnd

log = structlog.get_logger()

MAX_REJECTED_NAMED = 16  # of up to 128 contexts; the number of all is told beside them
MAX_WAITING = 1000  # records; a flood of connections must not fill the memory
POLL_S = 0.5

AS_IT_SHOULD = frozenset({AssociationEnd.RELEASED})

OnAssociation = Callable[[Association], object]


def rejection_of(
    called: str, calling: str, *, ours: Sequence[str], allowed: Sequence[str], full: bool = False
) -> str | None:
    """Why an association is rejected; None if it is not for any of these reasons.

    Parameters
    ----------
    ours : the AE titles that this node answers to
    allowed : the calling AE titles that are taken; none means all
    full : there are as many associations as may be at once
    """
    if called not in ours:
        return f"It called {called}; this node is {', '.join(ours)}."
    if allowed and calling not in allowed:
        return f"The calling AE title {calling} is not in the receiver's calling_ae_titles."
    return "All associations are in use." if full else None


@dataclass
class Tally:
    """Counts what happens in one association, for any number of threads that serve it one after the other."""

    peer: str
    clock: Callable[[], float] = time.time
    certificate: str = ""
    calling_ae_title: str = ""
    called_ae_title: str = ""
    began_at: float = field(init=False)
    accepted: int = 0
    rejected: list[str] = field(default_factory=list)
    echoes: int = 0
    images: int = 0
    refused: int = 0
    size_bytes: int = 0
    end: AssociationEnd | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        self.began_at = self.clock()

    def requested(self, calling_ae_title: str, called_ae_title: str) -> None:
        """The peer asked for an association."""
        self.calling_ae_title, self.called_ae_title = calling_ae_title, called_ae_title

    def answered(self, abstract_syntax: str, answer: Negotiated) -> None:
        """A presentation context was accepted or rejected."""
        if answer.result is ContextResult.ACCEPTED:
            self.accepted += 1
        else:
            self.rejected.append(f"{name_of(abstract_syntax)}: {answer.result.words}")

    def echoed(self) -> None:
        """A C-ECHO was answered."""
        self.echoes += 1

    def stored(self, size_bytes: int, status: int) -> None:
        """A C-STORE was answered with ``status``."""
        self.size_bytes += size_bytes
        if status == StoreStatus.SUCCESS:
            self.images += 1
        else:
            self.refused += 1

    def ends(self, end: AssociationEnd, detail: str = "") -> None:
        """It ends so; what is said first stands, since what follows comes of it."""
        if self.end is None:
            self.end, self.detail = end, detail

    def record(self) -> Association:
        """What is to be said of it, now that its connection is closed."""
        asked = bool(self.called_ae_title or self.calling_ae_title)
        otherwise = AssociationEnd.CONNECTION_LOST if asked else AssociationEnd.NO_REQUEST
        return Association(
            peer=self.peer,
            calling_ae_title=self.calling_ae_title,
            called_ae_title=self.called_ae_title,
            began_at=self.began_at,
            ended_at=self.clock(),
            end=self.end or otherwise,
            contexts_accepted=self.accepted,
            contexts_rejected=len(self.rejected),
            rejected=tuple(dict.fromkeys(self.rejected))[:MAX_REJECTED_NAMED],
            echoes=self.echoes,
            images=self.images,
            refused=self.refused,
            size_bytes=self.size_bytes,
            detail=self.detail,
            certificate=self.certificate,
        )


def logged(association: Association) -> None:
    """Say in one event what there was; what a person may have to look at is a warning."""
    well = association.end in AS_IT_SHOULD and not association.refused and not association.rejected
    say = log.info if well else log.warning
    say(
        "association.ended",
        peer=association.peer,
        calling_ae_title=association.calling_ae_title,
        called_ae_title=association.called_ae_title,
        certificate=association.certificate or None,
        end=str(association.end.value),
        detail=association.detail or None,
        contexts_accepted=association.contexts_accepted,
        contexts_rejected=association.contexts_rejected,
        rejected=list(association.rejected) or None,
        echoes=association.echoes,
        images=association.images,
        refused=association.refused,
        bytes=association.size_bytes,
        seconds=round(association.ended_at - association.began_at, 3),
    )


class AssociationLog:
    """Logs each ended association and writes its row, in a thread of its own: no sender waits for it.

    Rows that have come together are written in one transaction. Of a flood that the disk cannot follow only the log
    tells; how many rows are missing is logged too.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: queue.Queue[Association] = queue.Queue(MAX_WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="association-log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, association: Association) -> None:
        """Log it, and have its row written; the node's own question whether the receiver answers is none of either."""
        if association.calling_ae_title == WATCHDOG_AE_TITLE and ip_address(association.peer).is_loopback:
            return
        logged(association)
        try:
            self._waiting.put_nowait(association)
        except queue.Full:
            log.error("association.not_recorded", peer=association.peer)

    def close(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._write(self._taken())

    def _run(self) -> None:
        while not self._stop.is_set():
            self._write(self._taken(POLL_S))

    def _taken(self, timeout_s: float | None = None) -> list[Association]:
        """Everything that waits now; the first of it is waited for."""
        records: list[Association] = []
        try:
            if timeout_s is not None:
                records.append(self._waiting.get(timeout=timeout_s))
            while True:
                records.append(self._waiting.get_nowait())
        except queue.Empty:
            return records

    def _write(self, found: Sequence[Association]) -> None:
        if not found:
            return
        try:
            with self._database.transaction() as connection:
                record_associations(connection, found)
        except NodeError as error:
            log.error("association.not_recorded", number=len(found), error=str(error))
