"""The node's configuration: one TOML file, read once, validated whole; every fault is reported at once.

Nothing in here can change a prediction: the numbers come from the checkpoint.
"""

from survnode.node.config.file import load_config
from survnode.node.config.rule import NotAnalysed, Rule, RuleAction
from survnode.node.config.sections import (
    AssemblyConfig,
    AuditConfig,
    DestinationConfig,
    DestinationTLSConfig,
    ModelConfig,
    NodeConfig,
    OtherInstances,
    ReceiverConfig,
    ReceiverTLSConfig,
    ResultsConfig,
    RetentionConfig,
    RetrieveMethod,
    SourceConfig,
    SyslogConfig,
    WorkConfig,
)

__all__ = [
    "AssemblyConfig",
    "AuditConfig",
    "DestinationConfig",
    "DestinationTLSConfig",
    "ModelConfig",
    "NodeConfig",
    "NotAnalysed",
    "OtherInstances",
    "ReceiverConfig",
    "ReceiverTLSConfig",
    "ResultsConfig",
    "RetentionConfig",
    "RetrieveMethod",
    "Rule",
    "RuleAction",
    "SourceConfig",
    "SyslogConfig",
    "WorkConfig",
    "load_config",
]
