"""The node's configuration: one TOML file, read once, validated whole; every fault is reported at once.

Nothing in here can change a prediction: the numbers come from the checkpoint.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, StringConstraints, ValidationError, model_validator

from survnode.node.errors import ConfigurationRefused
from survnode.node.roles import DEFAULT_ROLES, SERIES_NUMBERS, ResultRole

# PS3.5 6.2: at most 16 characters of the default repertoire, no backslash, no control characters, not only spaces.
AETitle = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[ -\[\]-~]{1,16}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Seconds = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReceiverConfig(_Section):
    """Where images come in."""

    ae_title: AETitle = "SURVNODE"
    host: str = "0.0.0.0"  # noqa: S104  a node that no other machine reaches is none
    port: Annotated[int, Field(ge=0, le=65535)] = 11112  # 0: any free one, written to receiver.port in data_dir
    calling_ae_titles: tuple[AETitle, ...] = ()  # empty: any
    networks: tuple[IPvAnyNetwork, ...] = ()  # empty: any
    max_associations: Annotated[int, Field(ge=1, le=1000)] = 64
    min_free_gib: Annotated[float, Field(ge=0)] = 2.0  # less free disk: images are answered with 0xA700


class AssemblyConfig(_Section):
    """When a study is complete."""

    quiet_period_s: Seconds = 60.0  # without a new image


class ModelConfig(_Section):
    """What is computed; all of its settings are the checkpoint's own."""

    checkpoint: str = "demo"  # a folder, or "demo" for the packaged demonstration model
    encoder_weights: Path | None = None  # where to look for the frozen encoder's weights besides package and cache
    lungmask_weights: Path | None = None  # where to look for the lung U-net's weights besides its cache


class WorkConfig(_Section):
    """Where it is computed."""

    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    lease_s: Annotated[float, Field(ge=5)] = 60.0  # a worker without a heartbeat for so long is taken for dead
    job_timeout_s: Seconds = 1800.0  # a job that takes longer is ended with its worker
    max_attempts: Annotated[int, Field(ge=1)] = 3
    drain_s: Annotated[float, Field(ge=0)] = 120.0  # time that a stop gives a running job


class ResultsConfig(_Section):
    """What is sent."""

    captures: Annotated[int, Field(ge=1, le=50)] = 5
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


class RetentionConfig(_Section):
    """How long the files of a study stay after it has ended."""

    days: Annotated[float, Field(gt=0)] = 7.0
    report_days: Annotated[float, Field(gt=0)] = 365.0  # the report alone, so that results can be withdrawn


class NodeConfig(_Section):
    """The whole file."""

    data_dir: Path
    log_level: Annotated[str, StringConstraints(pattern=r"^(debug|info|warning|error)$")] = "info"
    receiver: ReceiverConfig = ReceiverConfig()
    assembly: AssemblyConfig = AssemblyConfig()
    model: ModelConfig = ModelConfig()
    work: WorkConfig = WorkConfig()
    results: ResultsConfig = ResultsConfig()
    retention: RetentionConfig = RetentionConfig()
    destinations: tuple[DestinationConfig, ...] = ()

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

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [destination.name for destination in self.destinations]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            msg = f"each destination needs a name of its own; repeated: {', '.join(repeated)}"
            raise ValueError(msg)
        return self


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
    try:
        return NodeConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigurationRefused(path, _faults(error)) from error


def _faults(error: ValidationError) -> list[Fault]:
    return [
        Fault(
            key=".".join(str(part) for part in fault["loc"]) or "file",
            value="(absent)" if fault["type"] == "missing" else _shown(fault["input"]),
            rule=_RULES.get(fault["type"], fault["msg"].removeprefix("Value error, ")),
        )
        for fault in error.errors(include_url=False)
    ]


_RULES = {"extra_forbidden": "is not a key of this section", "missing": "is required"}


def _shown(value: object) -> str:
    return "(the whole file)" if isinstance(value, dict) else repr(value)
