"""What the node remembers: the tables of its database. A column is named as the field of its record.

They are read and written in the transactions of `survnode.node.state.database`.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from survnode.model.errors import Reason
from survnode.node.roles import ResultRole
from survnode.node.state.column_types import (
    CompletenessColumn,
    ExpectedSeriesColumn,
    LinesColumn,
    MemberColumn,
    UIDsColumn,
    VerdictsColumn,
)
from survnode.node.state.records import (
    AssociationEnd,
    AuditKind,
    CheckState,
    CommitmentState,
    DeliveryState,
    InstanceState,
    JobState,
    Keeping,
    StudyState,
)

SCHEMA_VERSION = 9  # grows with every change below


metadata = MetaData()

studies = Table(
    "studies",
    metadata,
    Column("study_instance_uid", String, primary_key=True),
    Column("patient_id", String, nullable=False),
    Column("patient_conflict", Boolean, nullable=False, default=False),
    Column("first_received_at", Float, nullable=False),
    Column("last_received_at", Float, nullable=False),
    Column("due_at", Float, index=True),
    Column("revision", Integer, nullable=False),
    Column("state", MemberColumn(StudyState), nullable=False),
    Column("error", String, nullable=False, default=""),
    Column("detail", String, nullable=False, default=""),
    Column("accession_number", String, nullable=False, default="", index=True),
    Column("study_date", String, nullable=False, default="", index=True),
    Column("calling_ae_title", String, nullable=False, default=""),
    Column("called_ae_title", String, nullable=False, default=""),
    Column("rule", String, nullable=False, default=""),
    Index("studies_of_patient", "patient_id"),
    Index("studies_by_time", "last_received_at", "study_instance_uid"),
    Index("studies_of_state", "state"),
    Index("studies_by_end_of_uid", text("substr(study_instance_uid, -8)")),
)

other_series = Table(
    "other_series",
    metadata,
    Column("study_instance_uid", ForeignKey("studies.study_instance_uid"), primary_key=True),
    Column("series_instance_uid", String, primary_key=True),
    Column("sop_class_uid", String, primary_key=True),
    Column("keeping", MemberColumn(Keeping), primary_key=True),
    Column("modality", String, nullable=False),
    Column("body_part", String, nullable=False),
    Column("series_description", String, nullable=False),
    Column("protocol_name", String, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("last_received_at", Float, nullable=False),
)

associations = Table(
    "associations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("peer", String, nullable=False),
    Column("calling_ae_title", String, nullable=False),
    Column("called_ae_title", String, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False, index=True),
    Column("end", MemberColumn(AssociationEnd), nullable=False),
    Column("contexts_accepted", Integer, nullable=False),
    Column("contexts_rejected", Integer, nullable=False),
    Column("rejected", LinesColumn, nullable=False),
    Column("echoes", Integer, nullable=False),
    Column("images", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("detail", String, nullable=False),
    Column("certificate", String, nullable=False),
    sqlite_autoincrement=True,
)

instances = Table(
    "instances",
    metadata,
    Column("sop_instance_uid", String, primary_key=True),
    Column("sop_class_uid", String, nullable=False),
    Column("study_instance_uid", ForeignKey("studies.study_instance_uid"), nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("transfer_syntax_uid", String, nullable=False),
    Column("patient_id", String, nullable=False),
    Column("calling_ae_title", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("path", String, nullable=False, unique=True),
    Column("received_at", Float, nullable=False),
    Column("state", MemberColumn(InstanceState), nullable=False),
    Index("instances_of_series", "study_instance_uid", "series_instance_uid"),
)

quarantined = Table(
    "quarantined",
    metadata,
    Column("sop_instance_uid", String, primary_key=True),
    Column("sha256", String, primary_key=True),
    Column("study_instance_uid", String, nullable=False),
    Column("calling_ae_title", String, nullable=False),
    Column("path", String, nullable=False),
    Column("received_at", Float, nullable=False),
    Index("quarantined_of_study", "study_instance_uid"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_instance_uid", ForeignKey("studies.study_instance_uid"), nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("sop_instance_uids", UIDsColumn, nullable=False),
    Column("input_digest", String, nullable=False),
    Column("device_uid", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", MemberColumn(Reason)),
    Column("detail", String, nullable=False, default=""),
    Column("verdicts", VerdictsColumn, nullable=False),
    Column("state", MemberColumn(JobState), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("kills", Integer, nullable=False, default=0),
    Column("token", Integer, nullable=False, default=0),
    Column("worker", String),
    Column("lease_until", Float),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("error", String, nullable=False, default=""),
    Column("destinations", LinesColumn),
    Column("reports_refusal", Boolean, nullable=False, default=True),
    Column("completeness", CompletenessColumn),
    UniqueConstraint("study_instance_uid", "version"),
    Index("jobs_to_claim", "state", "due_at"),
    Index("jobs_by_end", "state", "ended_at"),
    Index("jobs_by_standing", "study_instance_uid", "version", "state", "reason"),  # beside the UIDs, which fill pages
    sqlite_autoincrement=True,
)

results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("role", MemberColumn(ResultRole), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("sop_class_uid", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("path", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("variant_of", ForeignKey("results.id")),
    UniqueConstraint("job_id", "sop_instance_uid"),
    Index("results_by_uid", "sop_instance_uid"),
    Index("results_by_series", "series_instance_uid"),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("result_id", ForeignKey("results.id"), nullable=False),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("destination", String, nullable=False),
    Column("state", MemberColumn(DeliveryState), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("first_tried_at", Float),
    Column("settled_at", Float),
    Column("status", Integer),
    Column("error", String, nullable=False, default=""),
    Column("doubts", Integer, nullable=False, default=0),
    Column("perhaps_there_since", Float),
    Column("commitment", MemberColumn(CommitmentState), nullable=False, default=CommitmentState.NONE),
    Column("commitment_uid", String, index=True),
    Column("commitment_tries", Integer, nullable=False, default=0),
    Column("commitment_due_at", Float),
    Column("commitment_error", String, nullable=False, default=""),
    UniqueConstraint("result_id", "destination"),
    Index("deliveries_to_send", "destination", "state", "due_at"),
    Index("deliveries_by_end", "destination", "state", "settled_at"),
    Index("deliveries_of_state", "state"),
    sqlite_autoincrement=True,
)

checks = Table(
    "checks",
    metadata,
    Column("study_instance_uid", ForeignKey("studies.study_instance_uid"), primary_key=True),
    Column("source", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", MemberColumn(CheckState), nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("series", ExpectedSeriesColumn, nullable=False),
    Column("error", String, nullable=False),
)

profiles = Table(
    "profiles",
    metadata,
    Column("destination", String, primary_key=True),
    Column("accepted", UIDsColumn, nullable=False),
    Column("probed_at", Float, nullable=False),
)


audit = Table(
    "audit",  # written by the triggers of `survnode.node.state.audit_trail`
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False, index=True),
    Column("account", String, nullable=False),
    Column("kind", MemberColumn(AuditKind), nullable=False),
    Column("before", String),
    Column("after", String, nullable=False),
    Column("study_instance_uid", String),
    Column("patient_id", String),
    Column("job", Integer),
    Column("destination", String),
    Column("sop_instance_uid", String),
    Column("peer", String),
    Column("ae_title", String),
    Column("certificate", String),
    Column("detail", String),
    Column("hash", String, nullable=False),
)

audit_sent = Table(
    "audit_sent",  # to which of its entries the trail has reached the server for audit messages
    metadata,
    Column("server", String, primary_key=True),
    Column("last", Integer, nullable=False),
)
