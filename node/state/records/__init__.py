"""What the node knows of a study, its work and its results, as plain values.

Times are seconds since the epoch, UTC. Paths are relative to the folder that the owner of the file was given.
"""

from survnode.node.state.records.associations import Association, AssociationEnd
from survnode.node.state.records.audit import AuditEntry, AuditKind
from survnode.node.state.records.completeness import Check, CheckState, Completeness, ExpectedSeries
from survnode.node.state.records.deliveries import CommitmentState, Delivery, DeliveryState, PlannedDelivery, Profile
from survnode.node.state.records.images import (
    Instance,
    InstanceState,
    Keeping,
    OtherSeries,
    Quarantined,
    Study,
    StudyState,
)
from survnode.node.state.records.jobs import Job, JobState
from survnode.node.state.records.results import RecordedObject, StoredObject

__all__ = [
    "Association",
    "AssociationEnd",
    "AuditEntry",
    "AuditKind",
    "Check",
    "CheckState",
    "CommitmentState",
    "Completeness",
    "Delivery",
    "DeliveryState",
    "ExpectedSeries",
    "Instance",
    "InstanceState",
    "Job",
    "JobState",
    "Keeping",
    "OtherSeries",
    "PlannedDelivery",
    "Profile",
    "Quarantined",
    "RecordedObject",
    "StoredObject",
    "Study",
    "StudyState",
]
