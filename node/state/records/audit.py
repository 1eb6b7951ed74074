"""What is kept of every change."""

from dataclasses import dataclass
from enum import StrEnum


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
    certificate : whose it was, where the peer showed one that is trusted
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
    certificate: str | None
    detail: str | None
    hash: str
