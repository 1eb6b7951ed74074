"""The sections of the configuration: their keys, and what holds where nothing is said."""

from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, IPvAnyNetwork, ValidationInfo, field_validator, model_validator

from survnode.node.config.rule import NotAnalysed, Rule
from survnode.node.config.values import (
    AETitle,
    ConfigPath,
    ConfigSection,
    Device,
    LogLevel,
    Name,
    Port,
    Seconds,
    beside_the_file,
)
from survnode.node.roles import DEFAULT_ROLES, SERIES_NUMBERS, ResultRole

DEMONSTRATION_CHECKPOINT = "demo"


class OtherInstances(StrEnum):
    """What is done with received instances that are not CT."""

    DROP = "drop"
    KEEP = "keep"


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; of names only localhost is taken for it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ReceiverTLSConfig(ConfigSection):
    """TLS for what comes in; files in PEM, read again when they change."""

    certificate: ConfigPath  # with the chain below the root
    key: ConfigPath  # without a passphrase
    client_ca: ConfigPath | None = None  # who must have signed a sender's certificate; None: senders need none


class DestinationTLSConfig(ConfigSection):
    """TLS for what goes to a destination; files in PEM."""

    ca: ConfigPath  # who must have signed its certificate
    server_name: str | None = None  # what its certificate is for; None: its host
    certificate: ConfigPath | None = None  # our own, if it wants one
    key: ConfigPath | None = None

    @model_validator(mode="after")
    def _has_a_key_for_its_certificate(self) -> Self:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("needs certificate and key, or neither of them")
        return self


class ReceiverConfig(ConfigSection):
    """Where images come in."""

    ae_title: AETitle = "SURVNODE"
    also_called: tuple[AETitle, ...] = ()  # further titles that it answers to, for rules
    host: str = "127.0.0.1"  # beyond loopback it must say who may send, or open = true
    port: Annotated[int, Field(ge=0, le=65535)] = 11112  # 0: any free one, written to receiver.port in data_dir
    calling_ae_titles: tuple[AETitle, ...] = ()  # empty: any
    networks: tuple[IPvAnyNetwork, ...] = ()  # empty: any
    max_associations: Annotated[int, Field(ge=1, le=1000)] = 128  # one address may have as many as are free
    min_free_gib: Annotated[float, Field(ge=0)] = 2.0  # less free disk: images are answered with 0xA700
    open: bool = False  # whether everybody may send, from everywhere
    tls: ReceiverTLSConfig | None = None

    @model_validator(mode="after")
    def _says_who_may_send(self) -> Self:
        if not (self.open or _is_loopback(self.host) or self._is_listed):
            msg = (
                f"would take images from everybody who reaches {self.host}: name the senders in calling_ae_titles or "
                "networks, ask for their certificates (tls.client_ca), listen at 127.0.0.1 alone, or say open = true"
            )
            raise ValueError(msg)
        return self

    @property
    def _is_listed(self) -> bool:
        """Whether it is said who may send; a network that holds every address says nothing."""
        has_networks = bool(self.networks) and all(network.prefixlen > 0 for network in self.networks)
        has_certificates = self.tls is not None and self.tls.client_ca is not None
        return bool(self.calling_ae_titles) or has_networks or has_certificates


class AssemblyConfig(ConfigSection):
    """When a study is complete."""

    quiet_period_s: Seconds = 60.0  # without a new image
    not_analysed_report: NotAnalysed = NotAnalysed.CHEST
    other_instances: OtherInstances = OtherInstances.DROP


class ModelConfig(ConfigSection):
    """What is computed; all of its settings are the checkpoint's own."""

    checkpoint: str = "demo"  # a folder, or "demo" for the packaged demonstration model
    encoder_weights: ConfigPath | None = (
        None  # where to look for the frozen encoder's weights besides package and cache
    )
    lungmask_weights: ConfigPath | None = None  # of the lung U-net, besides those of its cache

    @field_validator("checkpoint")
    @classmethod
    def _is_beside_the_file(cls, value: str, info: ValidationInfo) -> str:
        return value if value == DEMONSTRATION_CHECKPOINT else str(beside_the_file(Path(value), info))


class SiteKey(StrEnum):
    """By which identifier of a study a row of the site's table is found."""

    PATIENT_ID = "PatientID"
    ACCESSION_NUMBER = "AccessionNumber"


class LookupConfig(ConfigSection):
    """Where values are that a model takes beside the images; which ones it takes, its checkpoint says."""

    csv: ConfigPath | None = None  # one row a patient or study, its columns named as in training
    database: str | None = None  # or the URL of a database as SQLAlchemy writes it, whose user may only read
    table: str | None = None  # of the database
    key: SiteKey = SiteKey.PATIENT_ID
    key_column: str | None = None  # that is searched; None: it has the key's name

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if (self.csv is None) is (self.database is None):
            raise ValueError("needs csv, or database and table")
        if (self.database is None) is not (self.table is None):
            raise ValueError("needs database and table together")
        return self


class WorkConfig(ConfigSection):
    """Where it is computed."""

    device: Device = "auto"
    lease_s: Annotated[float, Field(ge=5)] = 60.0  # a worker without a heartbeat for so long is taken for dead
    job_timeout_s: Seconds = 1800.0  # a job that takes longer is ended with its worker
    max_attempts: Annotated[int, Field(ge=1)] = 3
    drain_s: Annotated[float, Field(ge=0)] = 120.0  # time that a stop gives a running job


class ResultsConfig(ConfigSection):
    """What is sent."""

    captures: Annotated[int, Field(ge=1, le=50)] = 5
    pdf_names_patient: bool = True  # name, ID, birth date, accession number and study date on each page of the PDF
    series_numbers: dict[ResultRole, Annotated[int, Field(ge=1)]] = SERIES_NUMBERS


class DestinationConfig(ConfigSection):
    """Where results go."""

    name: Name
    ae_title: AETitle
    host: str
    port: Port
    objects: Annotated[tuple[ResultRole, ...], Field(min_length=1)] = DEFAULT_ROLES
    report_class: Literal["auto", "comprehensive-3d", "comprehensive", "enhanced"] = "auto"  # auto: the best it accepts
    timeout_s: Seconds = 30.0
    give_up_after_h: Annotated[float, Field(gt=0)] = 72.0
    commitment: bool = False  # ask it for storage commitment; it then calls the receiver, which must know it
    commitment_timeout_s: Seconds = 3600.0  # without an answer for so long it is asked again
    tls: DestinationTLSConfig | None = None

    @field_validator("objects")
    @classmethod
    def _are_not_withdrawals(cls, value: tuple[ResultRole, ...]) -> tuple[ResultRole, ...]:
        if ResultRole.WITHDRAWAL in value:
            msg = (
                "withdrawal is no object to choose: a note of withdrawal goes by itself to each destination that got "
                "what is withdrawn (survnode send --withdraw)"
            )
            raise ValueError(msg)
        return value


class RetrieveMethod(StrEnum):
    """How images come from a source."""

    MOVE = "move"  # C-MOVE: it calls the receiver, and must know it
    GET = "get"  # C-GET: on the association of the request


class SourceConfig(ConfigSection):
    """An archive that is asked whether studies came whole, and from which studies are fetched."""

    name: Name
    ae_title: AETitle
    host: str
    port: Port
    method: RetrieveMethod = RetrieveMethod.MOVE
    reconcile: bool = False  # ask it how many images it holds of a study that counts as complete
    fetch_missing: bool = False  # and for those that are missing
    timeout_s: Seconds = 30.0
    tls: DestinationTLSConfig | None = None

    @model_validator(mode="after")
    def _fetches_what_it_knows_to_be_missing(self) -> Self:
        if self.fetch_missing and not self.reconcile:
            msg = "fetch_missing needs reconcile = true, which finds what is missing"
            raise ValueError(msg)
        return self


class RetentionConfig(ConfigSection):
    """How long the files of a study stay after it has ended."""

    days: Annotated[float, Field(gt=0)] = 7.0
    report_days: Annotated[float, Field(gt=0)] = 365.0  # the report alone, so that results can be withdrawn
    association_days: Annotated[float, Field(gt=0)] = 30.0  # the record of who connected and what came of it


class SyslogConfig(ConfigSection):
    """A server for audit messages: syslog over TLS."""

    host: str
    port: Port = 6514
    timeout_s: Seconds = 30.0
    tls: DestinationTLSConfig


class AuditConfig(ConfigSection):
    """Where the audit trail goes besides the database."""

    syslog: SyslogConfig | None = None


class NodeConfig(ConfigSection):
    """The whole file."""

    data_dir: ConfigPath
    log_level: LogLevel = "info"
    receiver: ReceiverConfig = ReceiverConfig()
    assembly: AssemblyConfig = AssemblyConfig()
    model: ModelConfig = ModelConfig()
    lookup: LookupConfig | None = None
    work: WorkConfig = WorkConfig()
    results: ResultsConfig = ResultsConfig()
    retention: RetentionConfig = RetentionConfig()
    audit: AuditConfig = AuditConfig()
    destinations: tuple[DestinationConfig, ...] = ()
    sources: tuple[SourceConfig, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def database_path(self) -> Path:
        """The durable state."""
        return self.data_dir / "survnode.db"

    @property
    def received_dir(self) -> Path:
        """Received instances."""
        return self.data_dir / "received"

    @property
    def results_dir(self) -> Path:
        """Result objects, a folder a job."""
        return self.data_dir / "results"

    @property
    def port_file(self) -> Path:
        """Holds the port on which the receiver listens while it does."""
        return self.data_dir / "receiver.port"
