"""What can go wrong in the node.

::

    NodeError
    ├── ConfigurationRefused          the configuration file has faults; all of them are named
    ├── StartRefused                  the node cannot start
    ├── InputRefused                  what a command was given cannot be used
    ├── DeviceMissing                 the machine does not have the device that it is to work on
    ├── DeviceLost                    the device failed while it worked
    ├── DemonstrationFailed           the node of the demonstration did not do its part
    ├── StudyUnreadable               none of the files of a study can be read
    ├── ImagesAltered                 files of a study are not what was received
    ├── JudgingFailed                 nobody expected what reading a study's files raised
    ├── JudgingDied                   the process that read a study's files died over it, or took too long
    ├── PatientsAgree                 a study is to be put aside, but its images name one patient
    ├── InstanceRefused               a sender is told no; each class has its DIMSE status in `contexts`
    │   ├── UIDInvalid                a UID breaks the rules of UIDs
    │   ├── InstanceUnparsable        the data set cannot be read
    │   └── InstanceMismatch          the data set contradicts its command, or what is known of its UID
    ├── StorageFailed                 the disk did not take it                                      (can retry)
    │   └── StorageFull               ... because it is full                                        (can retry)
    ├── StoreInUse                    another process receives into this store
    ├── DatabaseFailed                the database cannot be used
    │   ├── DatabaseBusy              another process held it for too long                          (can retry)
    │   ├── DatabaseDamaged           its file is not what SQLite wrote
    │   └── DatabaseVersionUnknown    it was written by another version of this software
    ├── ObjectFaulty                  a result object breaks our own rules: nothing of its job is sent
    ├── RecordNotFound                there is no job, study or delivery of that number
    ├── NotRetryable                  its state allows no retry
    ├── LeaseLost                     the job was given to another worker, or ended
    ├── ReceiverFailed                it cannot listen
    ├── TLSUnusable                   a certificate, a key or the certificates of an authority cannot be used
    ├── QueryFailed                   a source could not be asked, or said no                       (can retry)
    │   ├── SourceUnreachable         no association with it                                        (can retry)
    │   ├── SourceRefused             it answered, with a status that says no
    │   └── TooManyMatches            more fit a question than can be taken at once
    ├── SiteTableFailed           what a site knows of its patients cannot be read              (can retry)
    ├── AuditNotSent                  the server for audit messages did not take them                (can retry)
    └── DeliveryFailed                nothing of a batch was sent                                   (can retry)
        ├── DestinationUnreachable    no connection                                                 (can retry)
        └── AssociationRejected       a connection, but no association                              (can retry)
            └── ContextsRejected      ... since it takes nothing of what was proposed               (can retry)
"""

import errno
from collections.abc import Sequence
from pathlib import Path
from traceback import extract_tb, format_tb
from typing import ClassVar

from survnode.model.errors import ModelError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class NodeError(Exception):
    """The root of everything that the node raises itself."""

    can_retry: ClassVar[bool] = False  # whether the same thing may succeed later without anybody's help


class ConfigurationRefused(NodeError):
    """The configuration cannot be used; ``faults`` names everything that is wrong with it."""

    def __init__(self, path: Path, faults: Sequence[object]) -> None:
        self.path, self.faults = path, tuple(faults)
        listed = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(f"The configuration {path} has {len(faults)} fault{'s'[: len(faults) != 1]}:{listed}")


class InputRefused(NodeError):
    """What a command was given cannot be used; the message says why."""


class DeviceMissing(NodeError):
    """The machine does not have the device that it is to work on."""


class DeviceLost(NodeError):
    """The device failed in the middle of a job; a process that used it can use it no more."""


class DemonstrationFailed(NodeError):
    """The node of the demonstration did not do its part; the message holds the end of its log."""


class StudyUnreadable(NodeError):
    """None of the files of a study can be read, so that no report can name its patient."""


class ImagesAltered(NodeError):
    """Files on disk are not what was received, so what they show is not analysed; sent again they are mended."""


class JudgingFailed(NodeError):
    """Reading the files of a study raised what nobody expected; ``trace`` says where, without a value."""

    def __init__(self, kind: str, trace: str) -> None:
        self.kind, self.trace = kind, trace
        super().__init__(f"Judging it failed: {kind}.")


class JudgingDied(NodeError):
    """The process that read the files of a study died over it, or was ended; the message says of what."""


class PatientsAgree(NodeError):
    """A study is put aside only if its images name several patients; those of this one do not."""


class StartRefused(NodeError):
    """The node cannot start; the message says why."""


class InstanceRefused(NodeError):
    """An instance is not taken; the message goes to the log and, shortened, to the sender: it names no identity."""


class UIDInvalid(InstanceRefused):
    """A UID is not 1 to 64 digits and dots (PS3.5 9.1)."""


class InstanceUnparsable(InstanceRefused):
    """The header of the data set cannot be read."""


class InstanceMismatch(InstanceRefused):
    """The data set lacks a UID, or disagrees with its command or with what is known of its SOP Instance UID."""


class StorageFailed(NodeError):
    """The disk did not take an instance or a result."""

    can_retry = True


class StorageFull(StorageFailed):
    """There is no room on the disk."""


class StoreInUse(NodeError):
    """Another process receives into this store; there can be one."""


class DatabaseFailed(NodeError):
    """The database cannot be read or written."""


class DatabaseBusy(DatabaseFailed):
    """Another process held the database for longer than the time-out."""

    can_retry = True


class DatabaseDamaged(DatabaseFailed):
    """The database's file was cut, or overwritten; the message says how to go on without it."""

    def __init__(self, fault: str) -> None:
        super().__init__(
            f"The database is damaged ({fault}). Stop the node, move survnode.db, survnode.db-wal and survnode.db-shm "
            "away together, put back the newest backup or nothing, and start: each received image is taken up from "
            "its file."
        )


class DatabaseVersionUnknown(DatabaseFailed):
    """The database has tables of a version that this software does not know."""


class ObjectFaulty(NodeError):
    """Result objects break the node's own rules; ``faults`` names each by object, tag and rule, never by a value."""

    MAX_LISTED: ClassVar[int] = 10

    def __init__(self, faults: Sequence[object]) -> None:
        self.faults = tuple(faults)
        listed = "; ".join(str(fault) for fault in self.faults[: self.MAX_LISTED])
        more = len(self.faults) - self.MAX_LISTED
        rest = f"; and {more} more" if more > 0 else ""
        super().__init__(f"The results are not sent, since they break the node's own rules: {listed}{rest}.")


class RecordNotFound(NodeError):
    """There is nothing of that number or UID."""


class NotRetryable(NodeError):
    """Its state allows no retry: it has not failed, and does not wait to be sent."""


class LeaseLost(NodeError):
    """The worker's claim on a job is no longer the newest: it must drop what it has."""


class ReceiverFailed(NodeError):
    """The receiver cannot listen at its address."""


class TLSUnusable(NodeError):
    """A file that TLS needs cannot be used, or does not fit to another; the message names it."""


class QueryFailed(NodeError):
    """A source could not be asked, or did not answer in time."""

    can_retry = True


class SourceUnreachable(QueryFailed):
    """There is no association with the source."""


class SourceRefused(QueryFailed):
    """The source answered, with a status that says no; ``status`` is that."""

    can_retry = False

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class TooManyMatches(QueryFailed):
    """More fit a question than can be taken at once: ask for less."""

    can_retry = False


class SiteTableFailed(NodeError):
    """The table of what a site knows of its patients beside their images cannot be read; a study waits for it."""

    can_retry = True


class AuditNotSent(NodeError):
    """The server for audit messages could not be reached, or did not read to the end."""

    can_retry = True


class DeliveryFailed(NodeError):
    """Nothing of a batch could be sent."""

    can_retry = True


class DestinationUnreachable(DeliveryFailed):
    """No connection to the destination."""


class AssociationRejected(DeliveryFailed):
    """The destination took the connection but not the association."""


class ContextsRejected(AssociationRejected):
    """The destination accepted none of the proposed presentation contexts."""


def storage_error(error: OSError) -> StorageFailed:
    """What the disk answered, as an error of the node's."""
    kind = StorageFull if error.errno in _FULL else StorageFailed
    return kind(f"The disk did not take it: {errno.errorcode.get(error.errno or 0, 'unknown')}.")


def trace_of(error: BaseException) -> str:
    """Where an error came from, for a log: without its message and its variables, which may name a patient."""
    return type(error).__name__ + "\n" + "".join(format_tb(error.__traceback__))


def described(error: BaseException) -> str:
    """An error for logs and people: our own words, but of a foreign error only its kind and place.

    Libraries quote attribute values in their messages, and those can be a patient's identity.
    """
    if isinstance(error, NodeError | ModelError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There was not enough memory for it."
    frames = extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}."
