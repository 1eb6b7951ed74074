"""The way of results to destinations, and what those take."""

from dataclasses import dataclass

from survnode.model.errors import Explained


class DeliveryState(Explained):
    """Where one result object stands on its way to one destination."""

    WAITING = "WAITING", "It is sent when it is due."
    SENT = "SENT", "The destination confirmed that it stored it."
    REFUSED = "REFUSED", "It cannot be stored there: see its status or error, and send it again by hand."
    FAILED = "FAILED", "It could not be sent for too long: see its error and send it again by hand."
    WITHDRAWN = "WITHDRAWN", "Its result was withdrawn before it was sent."
    RECALLED = "RECALLED", "Its result was withdrawn when it may have arrived already: a note follows if it did."


class CommitmentState(Explained):
    """Whether a destination has taken the responsibility for an object that it stored (PS3.4 J)."""

    NONE = "NONE", "Its destination has not been asked to commit to it."
    REQUESTED = "REQUESTED", "Its destination was asked to commit to it and has not answered yet."
    COMMITTED = "COMMITTED", "Its destination has taken the responsibility for keeping it."
    FAILED = "FAILED", "Its destination did not commit to it, does not answer or could not be asked: see the error."


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
