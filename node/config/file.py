"""A configuration file is read and validated whole: whatever is wrong with it is said at once."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from survnode.model.fault_words import key_of, rule_of
from survnode.node.config.rule import Rule
from survnode.node.config.sections import NodeConfig
from survnode.node.errors import ConfigurationRefused


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
    tables = values.get(key)
    return [item for item in tables if isinstance(item, dict)] if isinstance(tables, list) else []


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
            key=key_of(fault),
            value="(absent)" if fault["type"] == "missing" else _shown(fault["input"]),
            rule=rule_of(fault),
        )
        for fault in error.errors(include_url=False)
        if not (fault["type"] == "too_short" and fault["input"])  # it is short of an item that is a fault of its own
    ]


def _shown(value: object) -> str:
    return "(as a whole)" if isinstance(value, dict) else repr(value)
