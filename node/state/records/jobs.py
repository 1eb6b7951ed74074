"""The work on a study."""

from dataclasses import dataclass

from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.errors import Explained, Reason
from survnode.node.state.records.completeness import Completeness


class JobState(Explained):
    """Where a job stands."""

    QUEUED = "QUEUED", "It waits for a worker."
    RUNNING = "RUNNING", "A worker has it on a lease."
    FINISHED = "FINISHED", "Its result objects are written and handed to the outbox."
    FAILED = "FAILED", "It failed and is not tried again by itself: see its error and retry it."
    QUARANTINED = "QUARANTINED", "It killed its worker repeatedly and is kept away from workers: retry it by hand."
    SUPERSEDED = "SUPERSEDED", "Newer images made a newer version before it was started."


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
