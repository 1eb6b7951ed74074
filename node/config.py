"""The node's configuration: one TOML file, read once, validated whole; every fault is reported at once.

Nothing in here can change a prediction: the numbers come from the checkpoint.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from survnode.node.errors import ConfigurationRefused
from survnode.node.roles import DEFAULT_ROLES, SERIES_NUMBERS, ResultRole


def _text(pattern: str, words: str) -> AfterValidator:
    """A check whose fault is told in words."""
    expression = re.compile(pattern)

    def check(value: str) -> str:
        if not expression.fullmatch(value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def _listed(value: object) -> object:
    """One text as a list of one."""
    return (value,) if isinstance(value, str) else value


# PS3.5 6.2: of the default repertoire, no backslash, no control characters, not only spaces.
AETitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    _text(r"[ -\[\]-~]{1,16}", "must be 1 to 16 ASCII characters without a backslash"),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, _text(r"[A-Za-z0-9_-]{1,64}", "must be 1 to 64 letters, digits, underscores or hyphens")]
Seconds = Annotated[float, Field(gt=0)]
Pattern = Annotated[str, _text(r"(?s).*\S.*", "must not be empty; * stands for any characters, ? for one")]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_listed)]
LogLevel = Annotated[str, _text(r"debug|info|warning|error", "must be debug, info, warning or error")]
Device = Annotated[str, _text(r"auto|cpu|cuda(:\d+)?", "must be auto, cpu, cuda or cuda:N")]


DEMONSTRATION_CHECKPOINT = "demo"


class NotAnalysed(StrEnum):
    """When a study without a series that can be analysed gets a report that says so."""

    ALWAYS = "always"
    CHEST = "chest"  # if one of its CT series may be a chest's, see `survnode.node.intake.rules.may_be_chest`
    NEVER = "never"


class OtherInstances(StrEnum):
    """What is done with received instances that are not CT."""

    DROP = "drop"
    KEEP = "keep"


class RuleAction(StrEnum):
    """What a rule does with a study."""

    ANALYSE = "analyse"
    ANALYSE_ONLY = "analyse-only"  # and send nothing
    IGNORE = "ignore"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _beside_the_file(value: Path, info: ValidationInfo) -> Path:
    """A relative path as one from the configuration file's own folder."""
    return Path(info.context["folder"]) / value if info.context else value


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; of names only localhost is taken for it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


ConfigPath = Annotated[Path, AfterValidator(_beside_the_file)]


class ReceiverTLSConfig(_Section):
    """TLS for what comes in; files in PEM, read again when they change."""

    certificate: ConfigPath  # with the chain below the root
    key: ConfigPath  # without a passphrase
    client_ca: ConfigPath | None = None  # who must have signed a sender's certificate; None: senders need none


class DestinationTLSConfig(_Section):
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


class ReceiverConfig(_Section):
    """Where images come in."""

    ae_title: AETitle = "SURVNODE"
    also_called: tuple[AETitle, ...] = ()  # further titles that it answers to, for rules
    host: str = "127.0.0.1"  # beyond loopback it must say who may send, or open = true
    port: Annotated[int, Field(ge=0, le=65535)] = 11112  # 0: any free one, written to receiver.port in data_dir
    calling_ae_titles: tuple[AETitle, ...] = ()  # empty: any
    networks: tuple[IPvAnyNetwork, ...] = ()  # empty: any
    max_associations: Annotated[int, Field(ge=1, le=1000)] = 64
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


class AssemblyConfig(_Section):
    """When a study is complete."""

    quiet_period_s: Seconds = 60.0  # without a new image
    not_analysed_report: NotAnalysed = NotAnalysed.CHEST
    other_instances: OtherInstances = OtherInstances.DROP


class ModelConfig(_Section):
    """What is computed; all of its settings are the checkpoint's own."""

    checkpoint: str = "demo"  # a folder, or "demo" for the packaged demonstration model
    encoder_weights: ConfigPath | None = (
        None  # where to look for the frozen encoder's weights besides package and cache
    )
    lungmask_weights: ConfigPath | None = None  # of the lung U-net, besides those of its cache

    @field_validator("checkpoint")
    @classmethod
    def _is_beside_the_file(cls, value: str, info: ValidationInfo) -> str:
        return value if value == DEMONSTRATION_CHECKPOINT else str(_beside_the_file(Path(value), info))


class WorkConfig(_Section):
    """Where it is computed."""

    device: Device = "auto"
    lease_s: Annotated[float, Field(ge=5)] = 60.0  # a worker without a heartbeat for so long is taken for dead
    job_timeout_s: Seconds = 1800.0  # a job that takes longer is ended with its worker
    max_attempts: Annotated[int, Field(ge=1)] = 3
    drain_s: Annotated[float, Field(ge=0)] = 120.0  # time that a stop gives a running job


class ResultsConfig(_Section):
    """What is sent."""

    captures: Annotated[int, Field(ge=1, le=50)] = 5
    pdf_names_patient: bool = True  # name, ID, birth date, accession number and study date on each page of the PDF
    series_numbers: dict[ResultRole, Annotated[int, Field(ge=1)]] = SERIES_NUMBERS


class DestinationConfig(_Section):
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


class SourceConfig(_Section):
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


class Rule(_Section):
    """What is done with the studies that fit it; the first rule that fits decides.

    A pattern is compared with the whole value, without case; of several patterns one must fit.
    """

    CONDITIONS: ClassVar[frozenset[str]] = frozenset(
        {
            *("calling_ae_title", "called_ae_title", "contrast", "min_age_years", "max_age_years"),
            *("modality", "body_part", "study_description", "series_description", "protocol"),
        }
    )

    name: Name
    calling_ae_title: Patterns = ()
    called_ae_title: Patterns = ()
    modality: Patterns = ()
    body_part: Patterns = ()
    study_description: Patterns = ()
    series_description: Patterns = ()
    protocol: Patterns = ()
    min_age_years: Annotated[int, Field(ge=0, le=150)] | None = None
    max_age_years: Annotated[int, Field(ge=0, le=150)] | None = None
    contrast: bool | None = None
    action: RuleAction = RuleAction.ANALYSE
    quiet_period_s: Seconds | None = None
    destinations: tuple[Name, ...] | None = None
    not_analysed_report: NotAnalysed | None = None

    @property
    def asks_of_series(self) -> bool:
        """Whether it names anything that one series has to fit."""
        texts = (self.modality, self.body_part, self.study_description, self.series_description, self.protocol)
        return any(texts) or self.min_age_years is not None or self.max_age_years is not None

    @model_validator(mode="after")
    def _is_of_one_mind(self) -> Self:
        faults = [words for wrong, words in self._contradictions() if wrong]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _contradictions(self) -> list[tuple[bool, str]]:
        ages = (self.min_age_years, self.max_age_years)
        silent, ignores = self.action is not RuleAction.ANALYSE, self.action is RuleAction.IGNORE
        return [
            (None not in ages and (ages[0] or 0) > (ages[1] or 0), "min_age_years must not be more than max_age_years"),
            (
                silent and self.destinations is not None,
                f'destinations mean nothing with action = "{self.action}", which sends nothing',
            ),
            (self.destinations == (), 'destinations must name one; to send nothing, say action = "analyse-only"'),
            (
                ignores and self.not_analysed_report is not None,
                'not_analysed_report means nothing with action = "ignore", which never reports',
            ),
        ]


class RetentionConfig(_Section):
    """How long the files of a study stay after it has ended."""

    days: Annotated[float, Field(gt=0)] = 7.0
    report_days: Annotated[float, Field(gt=0)] = 365.0  # the report alone, so that results can be withdrawn
    association_days: Annotated[float, Field(gt=0)] = 30.0  # the record of who connected and what came of it


class NodeConfig(_Section):
    """The whole file."""

    data_dir: ConfigPath
    log_level: LogLevel = "info"
    receiver: ReceiverConfig = ReceiverConfig()
    assembly: AssemblyConfig = AssemblyConfig()
    model: ModelConfig = ModelConfig()
    work: WorkConfig = WorkConfig()
    results: ResultsConfig = ResultsConfig()
    retention: RetentionConfig = RetentionConfig()
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


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a configuration file."""

    key: str
    value: str
    rule: str

    def __str__(self) -> str:
        return f"{self.key} = {self.value}: {self.rule}"


def load_config(path: Path) -> NodeConfig:
    """The configuration in the TOML file at ``path``.

    Raises
    ------
    ConfigurationRefused
        With every fault at once.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationRefused(path, [Fault("file", str(path), f"must be readable text ({error})")]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationRefused(path, [Fault("file", str(path), f"must be TOML ({error})")]) from error
    faults = [*_repeated_names(values), *_unknown_destinations(values), *_unreached_rules(values)]
    try:
        config = NodeConfig.model_validate(values, context={"folder": path.absolute().parent})
    except ValidationError as error:
        raise ConfigurationRefused(path, [*_faults(error), *faults]) from error
    if faults:
        raise ConfigurationRefused(path, faults)
    return config


def _tables(values: Mapping[str, object], key: str) -> list[dict[str, object]]:
    """The tables of an array in the file as it was written; whatever else stands there is refused elsewhere."""
    found = values.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _repeated_names(values: Mapping[str, object]) -> list[Fault]:
    faults = []
    for key in ("destinations", "sources", "rules"):
        names = [str(item.get("name")) for item in _tables(values, key)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        rule = f"each of the {key} needs a name of its own; repeated: {', '.join(repeated)}"
        faults += [Fault(f"{key}.name", ", ".join(repeated), rule)] if repeated else []
    return faults


def _unknown_destinations(values: Mapping[str, object]) -> list[Fault]:
    known = {item.get("name") for item in _tables(values, "destinations")}
    faults = []
    for index, rule in enumerate(_tables(values, "rules")):
        named = rule.get("destinations")
        unknown = [name for name in named if name not in known] if isinstance(named, list) else []
        words = "must be the name of one of the destinations"
        faults += [Fault(f"rules.{index}.destinations", repr(name), words) for name in unknown]
    return faults


def _unreached_rules(values: Mapping[str, object]) -> list[Fault]:
    words = "fits every study, since it names no condition, so the rules after it are never reached: put it last"
    return [
        Fault(f"rules.{index}", str(rule.get("name")), words)
        for index, rule in enumerate(_tables(values, "rules")[:-1])
        if not Rule.CONDITIONS.intersection(rule)
    ]


def _faults(error: ValidationError) -> list[Fault]:
    return [
        Fault(
            key=".".join(str(part) for part in fault["loc"]) or "file",
            value="(absent)" if fault["type"] == "missing" else _shown(fault["input"]),
            rule=_RULES.get(fault["type"], fault["msg"].removeprefix("Value error, ")),
        )
        for fault in error.errors(include_url=False)
    ]


_RULES = {
    "extra_forbidden": "is not a key of this section",
    "missing": "is required",
    "too_short": "must have at least one item",
    "string_type": "must be a text in quotes",
    "tuple_type": "must be a list",
    "ip_any_network": 'must be an address or a network, as in "192.0.2.0/24"',
}


def _shown(value: object) -> str:
    return "(as a whole)" if isinstance(value, dict) else repr(value)
