"""What a person is shown of studies, jobs, deliveries and associations: frozen records, made by named queries.

Times are in UTC. What a job is to read or a loop is to do stands in `survnode.node.state.records`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.errors import Explained, Reason
from survnode.node.roles import ResultRole
from survnode.node.state.records import (
    AssociationEnd,
    CheckState,
    CommitmentState,
    DeliveryState,
    JobState,
    OtherSeries,
    StudyState,
)

T = TypeVar("T")


class Standing(Explained):
    """Where a study stands for a person, whatever study and job say each."""

    RECEIVING = "RECEIVING", "Images are coming in, or its quiet period has not passed."
    WAITING = "WAITING", "It waits for its analysis, or is being analysed."
    ANALYSED = "ANALYSED", "It was analysed and its results were made."
    NOT_ANALYSED = "NOT_ANALYSED", "It cannot be analysed; its report says why."
    WITHDRAWN = "WITHDRAWN", "Its newest results were withdrawn, from one destination or more."
    FAILED = "FAILED", "A person must act: see its state and error."
    IGNORED = "IGNORED", "It gets neither an analysis nor a report."


@dataclass(frozen=True)
class Search:
    """Which studies, or the jobs of which studies, are meant: those that fulfil all that is given.

    Parameters
    ----------
    since, until : when its last image was received, seconds since the epoch; ``until`` is no longer in it
    """

    accession_number: str | None = None
    patient_id: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True)
class Page:
    """A part of a list.

    Parameters
    ----------
    limit : rows at most
    number : from 1
    """

    limit: int = 50
    number: int = 1

    @property
    def offset(self) -> int:
        """The rows before it."""
        return self.limit * (self.number - 1)


@dataclass(frozen=True)
class Listing(Generic[T]):
    """The rows of one page, and how many come after it."""

    rows: tuple[T, ...]
    more: int


@dataclass(frozen=True)
class StudySummary:
    """One study and its newest job that was not superseded.

    Parameters
    ----------
    study_date : YYYYMMDD, or empty
    images : CT that was received
    others : received instances that are not CT
    last_received : its last image
    due : when it is judged; None when nothing is to be judged
    reason, reason_detail : why there is no analysis
    error : of judging it, else of its job
    """

    study_instance_uid: str
    accession_number: str
    patient_id: str
    study_date: str
    standing: Standing
    state: StudyState
    images: int
    others: int
    first_received: datetime
    last_received: datetime
    due: datetime | None
    rule: str
    job: int | None
    job_state: JobState | None
    reason: Reason | None
    detail: str
    error: str


@dataclass(frozen=True)
class JobSummary:
    """One job of a study."""

    job: int
    study_instance_uid: str
    accession_number: str
    patient_id: str
    version: int
    state: JobState
    reason: Reason | None
    detail: str
    attempts: int
    kills: int
    created: datetime
    ended: datetime | None
    error: str


@dataclass(frozen=True)
class ResultSummary:
    """One result object."""

    role: ResultRole
    sop_instance_uid: str
    path: str


@dataclass(frozen=True)
class DeliverySummary:
    """One result object on its way to one destination.

    Parameters
    ----------
    status : the destination's last DIMSE status, as 0x0000; None if none came
    due : when it is tried next; None if it is not
    """

    delivery: int
    job: int
    study_instance_uid: str
    destination: str
    role: ResultRole
    rank: int
    state: DeliveryState
    tries: int
    status: str | None
    created: datetime
    due: datetime | None
    settled: datetime | None
    error: str
    commitment: CommitmentState
    commitment_due: datetime | None
    commitment_error: str


@dataclass(frozen=True)
class ComparedSeries:
    """How many instances of a CT series are here, and how many a source held when it was asked."""

    series_instance_uid: str
    received: int
    expected: int


@dataclass(frozen=True)
class QuarantinedImage:
    """An image that came under a known UID with other bytes, or whose header cannot be read; see `Quarantined`.

    Parameters
    ----------
    waits : for a decision: it came later than the image that stands, or names none
    """

    sop_instance_uid: str
    study_instance_uid: str
    calling_ae_title: str
    sha256: str
    path: str
    received: datetime
    waits: bool


@dataclass(frozen=True)
class StudyDetail(StudySummary):
    """One study with what belongs to it.

    Parameters
    ----------
    series : what was decided about each, the last time that it was judged
    other_series : what was received that is not CT
    check, checked_with, check_error : what came of asking a source whether it came whole, the last time
    expected_series : what that source held
    """

    sentence: str = field(kw_only=True)
    check: CheckState | None = field(kw_only=True, default=None)
    checked_with: str = field(kw_only=True, default="")
    check_error: str = field(kw_only=True, default="")
    expected_series: tuple[ComparedSeries, ...] = field(kw_only=True, default=())
    series: tuple[SeriesVerdict, ...] = field(kw_only=True)
    other_series: tuple[OtherSeries, ...] = field(kw_only=True)
    quarantined: tuple[QuarantinedImage, ...] = field(kw_only=True)
    jobs: tuple[JobSummary, ...] = field(kw_only=True)
    deliveries: tuple[DeliverySummary, ...] = field(kw_only=True)


@dataclass(frozen=True)
class JobDetail(JobSummary):
    """One job with its results and deliveries."""

    sentence: str = field(kw_only=True)
    series_instance_uid: str = field(kw_only=True)
    images: int = field(kw_only=True)
    device_uid: str = field(kw_only=True)
    results: tuple[ResultSummary, ...] = field(kw_only=True)
    deliveries: tuple[DeliverySummary, ...] = field(kw_only=True)


@dataclass(frozen=True)
class AssociationSummary:
    """One association that has ended, or a connection that did not become one; see `records.Association`."""

    association: int
    began: datetime
    ended: datetime
    peer: str
    calling_ae_title: str
    called_ae_title: str
    end: AssociationEnd
    contexts_accepted: int
    contexts_rejected: int
    rejected: tuple[str, ...]
    echoes: int
    images: int
    refused: int
    size_bytes: int
    detail: str


@dataclass(frozen=True)
class DestinationSummary:
    """How deliveries to one destination go.

    Parameters
    ----------
    waiting : objects that are still to be sent
    failed : objects that it refused or that were given up: a person must act
    down_since : since when the tries fail without a success after; None while it is not known to be down
    """

    destination: str
    waiting: int
    failed: int
    last_success: datetime | None
    last_error_at: datetime | None
    last_error: str
    down_since: datetime | None


@dataclass(frozen=True)
class StudyCounts:
    """How many studies were received, and how many of them stand where."""

    received: int = 0
    receiving: int = 0
    waiting: int = 0
    analysed: int = 0
    not_analysed: int = 0
    withdrawn: int = 0
    failed: int = 0
    ignored: int = 0
