"""What the node knows of a study, its work and its results, as plain values.

Times are seconds since the epoch, UTC. Paths are relative to the folder that the owner of the file was given.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.errors import Explained, Reason
from survnode.node.roles import ResultRole


class InstanceState(Explained):
    """Where the file of an instance stands."""

    STORED = "STORED", "Its file is on disk as it was received."
    UNREADABLE = "UNREADABLE", "Its file cannot be read, or is not what was received: send it again."
    DELETED = "DELETED", "Its file was deleted after its retention time; it may be sent again."


class StudyState(Explained):
    """Where a study stands between its first image and its job."""

    RECEIVING = "RECEIVING", "Images are coming in, or its quiet period has not passed."
    ASSEMBLED = "ASSEMBLED", "Its images were judged; its newest job says what came of it."
    PATIENT_CONFLICT = (
        "PATIENT_CONFLICT",
        "Its images name several patients: put it aside, correct it, send it again.",
    )
    UNASSEMBLED = "UNASSEMBLED", "Judging its images failed: see its error and have it judged again."
    IGNORED = "IGNORED", "It gets neither an analysis nor a report: its detail says why."
    PARTLY_DELETED = "PARTLY_DELETED", "Images came after the others were deleted: send the whole study again."
    DELETED = "DELETED", "Its files were deleted after their retention time; its rows and results' UIDs remain."


class JobState(Explained):
    """Where a job stands."""

    QUEUED = "QUEUED", "It waits for a worker."
    RUNNING = "RUNNING", "A worker has it on a lease."
    FINISHED = "FINISHED", "Its result objects are written and handed to the outbox."
    FAILED = "FAILED", "It failed and is not tried again by itself: see its error and retry it."
    QUARANTINED = "QUARANTINED", "It killed its worker repeatedly and is kept away from workers: retry it by hand."
    SUPERSEDED = "SUPERSEDED", "Newer images made a newer version before it was started."


class DeliveryState(Explained):
    """Where one result object stands on its way to one destination."""

    WAITING = "WAITING", "It is sent when it is due."
    SENT = "SENT", "The destination confirmed that it stored it."
    REFUSED = "REFUSED", "It cannot be stored there: see its status or error, and send it again by hand."
    FAILED = "FAILED", "It could not be sent for too long: see its error and send it again by hand."
    WITHDRAWN = "WITHDRAWN", "Its result was withdrawn before it was sent."
    RECALLED = "RECALLED", "Its result was withdrawn when it may have arrived already: a note follows if it did."


class Keeping(Explained):
    """What was done with received instances that are not CT."""

    DROPPED = "DROPPED", "They were acknowledged, counted and not kept: this software reads CT alone."
    KEPT = "KEPT", "Their files are on disk for as long as the study's CT."
    OWN = "OWN", "They are results of this software that came back: counted, not kept, never analysed."


class AssociationEnd(Explained):
    """How an association ended, or why there was none."""

    RELEASED = "RELEASED", "The peer released it, as it should."
    ABORTED_BY_PEER = "ABORTED_BY_PEER", "The peer aborted it."
    ABORTED_BY_NODE = "ABORTED_BY_NODE", "This node aborted it: see the detail."
    CONNECTION_LOST = "CONNECTION_LOST", "The connection ended without a release."
    REJECTED = "REJECTED", "This node rejected it: see the detail."
    ADDRESS_REFUSED = "ADDRESS_REFUSED", "The peer's address is not in the receiver's networks."
    TLS_REFUSED = "TLS_REFUSED", "The TLS handshake failed: see the detail."
    NO_REQUEST = "NO_REQUEST", "The peer connected, but did not ask for an association."


class CommitmentState(Explained):
    """Whether a destination has taken the responsibility for an object that it stored (PS3.4 J)."""

    NONE = "NONE", "Its destination has not been asked to commit to it."
    REQUESTED = "REQUESTED", "Its destination was asked to commit to it and has not answered yet."
    COMMITTED = "COMMITTED", "Its destination has taken the responsibility for keeping it."
    FAILED = "FAILED", "Its destination did not commit to it, does not answer or could not be asked: see the error."


class CheckState(Explained):
    """What came of asking a source whether a study came whole."""

    WAITING = "WAITING", "Fewer images came than the source holds: the study waits once more for the others."
    FETCHING = "FETCHING", "Fewer images came than the source holds: the others were asked for."
    WHOLE = "WHOLE", "As many images came as the source holds."
    INCOMPLETE = "INCOMPLETE", "Fewer images came than the source holds, and no more are waited for."
    UNKNOWN = "UNKNOWN", "The source holds no CT series of the study."
    UNANSWERED = "UNANSWERED", "The source could not be asked: see the error."


@dataclass(frozen=True)
class Instance:
    """One received SOP instance.

    Parameters
    ----------
    sha256 : of the encoded data set, without preamble and file meta information
    size_bytes : of the encoded data set
    path : of its Part 10 file, below the store's folder
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    patient_id: str
    calling_ae_title: str
    sha256: str
    size_bytes: int
    path: str
    received_at: float
    state: InstanceState = InstanceState.STORED


@dataclass(frozen=True)
class Quarantined:
    """An instance that came under a known UID with other bytes: kept apart for a person to look at."""

    sop_instance_uid: str
    study_instance_uid: str
    calling_ae_title: str
    sha256: str
    path: str
    received_at: float


@dataclass(frozen=True)
class Study:
    """A study and the time at which it counts as complete.

    Parameters
    ----------
    patient_id, accession_number, study_date, calling_ae_title, called_ae_title : of its first CT image; while there is
        none, of the first instance; the accession number and the date (YYYYMMDD) are empty where it names none
    due_at : when it is judged unless another image comes; None when nothing is to be judged
    revision : grows with every image that changes the study
    error : what failed
    detail : why it is ignored
    rule : the name of the rule that decided about it; empty if it was not judged yet or none fits
    """

    study_instance_uid: str
    patient_id: str
    patient_conflict: bool
    first_received_at: float
    last_received_at: float
    due_at: float | None
    revision: int
    state: StudyState
    error: str = ""
    detail: str = ""
    accession_number: str = ""
    study_date: str = ""
    calling_ae_title: str = ""
    called_ae_title: str = ""
    rule: str = ""


@dataclass(frozen=True)
class OtherSeries:
    """What was received of one series in one SOP class that is not CT.

    Parameters
    ----------
    modality, body_part, series_description, protocol_name : of its first instance; empty where it names none
    instances : received; one that came twice counts twice
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    keeping: Keeping
    modality: str
    body_part: str
    series_description: str
    protocol_name: str
    instances: int
    size_bytes: int
    last_received_at: float


@dataclass(frozen=True)
class Association:
    """One association that has ended, or a connection that did not become one.

    Parameters
    ----------
    peer : its address
    calling_ae_title, called_ae_title : as the peer gave them; empty if it asked for nothing
    contexts_accepted, contexts_rejected : how many presentation contexts
    rejected : each rejected SOP class and why; the first of them where there are many
    echoes : C-ECHO requests that were answered
    images : C-STORE requests that were answered with success
    refused : C-STORE requests that were answered otherwise
    size_bytes : of the data sets of all C-STORE requests
    detail : why it was rejected or aborted; empty if it was not
    """

    peer: str
    calling_ae_title: str
    called_ae_title: str
    began_at: float
    ended_at: float
    end: AssociationEnd
    contexts_accepted: int = 0
    contexts_rejected: int = 0
    rejected: tuple[str, ...] = ()
    echoes: int = 0
    images: int = 0
    refused: int = 0
    size_bytes: int = 0
    detail: str = ""


@dataclass(frozen=True)
class ExpectedSeries:
    """How many instances a source holds of a CT series."""

    series_instance_uid: str
    instances: int


@dataclass(frozen=True)
class Check:
    """What a source said of whether a study came whole, the last time that it was asked.

    Parameters
    ----------
    revision : of the study when it was asked; what came later was not checked
    tries : how often the study has waited for what is missing since it last counted as complete
    received : instances of the study when it was asked
    series : the CT series that the source holds; empty if it did not answer
    """

    study_instance_uid: str
    source: str
    revision: int
    state: CheckState
    asked_at: float
    tries: int = 0
    received: int = 0
    series: tuple[ExpectedSeries, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Completeness:
    """Whether what a job tells of came whole, as its report says it.

    Parameters
    ----------
    state : of the check
    received, expected : instances of the job's series, of all CT series if there is none; None where the source
        holds no such series or did not answer
    others_lacking : how many other CT series of the study did not come whole
    """

    state: CheckState
    received: int
    expected: int | None
    others_lacking: int = 0

    @property
    def is_lacking(self) -> bool:
        """Whether the source holds more."""
        return self.expected is not None and self.received < self.expected


@dataclass(frozen=True)
class Job:
    """One series (or the lack of one) of one study, for one model, once.

    Parameters
    ----------
    id : 0 until it is recorded
    series_instance_uid : the chosen series; with a ``reason``, the series that the reason is about
    sop_instance_uids : the images of that series when the study was judged, sorted
    input_digest : of what the job depends on, beside the model
    device_uid : of the model
    version : 1 for the first job of the study; whatever differs from the newest that stands makes the next
    reason, detail : why there is no analysis, known before or found during the work; None if there is one
    verdicts : on each series of the study
    destinations : to which its results go; None means all of the configuration
    reports_refusal : if it cannot be analysed, a report says so; otherwise its study says it alone
    completeness : None if no source was to be asked
    token : grows with each claim; only the holder of the newest may report
    failures : how often it failed and was tried again
    kills : how often its worker died with it
    lease_until : by the clock of the machine that never steps
    """

    id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    input_digest: str
    device_uid: str
    version: int
    reason: Reason | None
    detail: str
    verdicts: tuple[SeriesVerdict, ...]
    state: JobState
    created_at: float
    due_at: float
    attempts: int = 0
    failures: int = 0
    kills: int = 0
    token: int = 0
    worker: str | None = None
    lease_until: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    error: str = ""
    destinations: tuple[str, ...] | None = None
    reports_refusal: bool = True
    completeness: Completeness | None = None


@dataclass(frozen=True)
class StoredObject:
    """One DICOM object that a job made; its file is on disk before this is recorded.

    Parameters
    ----------
    rank : from 1 among the captures; 0 elsewhere
    path : of its Part 10 file
    """

    role: ResultRole
    rank: int
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    path: str


@dataclass(frozen=True)
class RecordedObject(StoredObject):
    """A recorded result object.

    Parameters
    ----------
    variant_of : the result that tells the same in another SOP class; None for what the job itself made
    """

    id: int = field(kw_only=True)
    job_id: int = field(kw_only=True)
    created_at: float = field(kw_only=True)
    variant_of: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class PlannedDelivery:
    """That one result object goes to one destination."""

    sop_instance_uid: str
    destination: str


@dataclass(frozen=True)
class Delivery:
    """One result object on its way to one destination.

    Parameters
    ----------
    status : the destination's last DIMSE status; None if none came
    doubts : how often the destination failed with it in a way that may pass
    perhaps_there_since : since when the destination may have it: it is being sent, got no answer, or was sent before;
        None while it cannot
    commitment_uid : the Transaction UID of the newest request
    commitment_due_at : when the destination is asked, or asked again; None: at once if it never was, else never
    """

    id: int
    result_id: int
    job_id: int
    destination: str
    state: DeliveryState
    created_at: float
    due_at: float
    tries: int = 0
    first_tried_at: float | None = None
    settled_at: float | None = None
    status: int | None = None
    error: str = ""
    doubts: int = 0
    perhaps_there_since: float | None = None
    commitment: CommitmentState = CommitmentState.NONE
    commitment_uid: str | None = None
    commitment_tries: int = 0
    commitment_due_at: float | None = None
    commitment_error: str = ""


@dataclass(frozen=True)
class Profile:
    """What a destination said when it was asked what it takes.

    Parameters
    ----------
    accepted : SOP class UIDs
    """

    destination: str
    accepted: tuple[str, ...]
    probed_at: float


class AuditKind(StrEnum):
    """What something happened to."""

    ASSOCIATION = "ASSOCIATION"
    STUDY = "STUDY"
    JOB = "JOB"
    RESULT = "RESULT"
    DELIVERY = "DELIVERY"
    COMMITMENT = "COMMITMENT"


@dataclass(frozen=True)
class AuditEntry:
    """One row of the audit trail.

    Parameters
    ----------
    at : seconds since the epoch
    account : who acted, and by which command
    before, after : states; before is None if there was none
    peer, ae_title : from where it came
    hash : of this row and the hash of the row before
    """

    id: int
    at: float
    account: str
    kind: AuditKind
    before: str | None
    after: str
    study_instance_uid: str | None
    patient_id: str | None
    job: int | None
    destination: str | None
    sop_instance_uid: str | None
    peer: str | None
    ae_title: str | None
    detail: str | None
    hash: str
