"""What of the configuration holds without a restart: who may send. SIGHUP has it read anew.

Certificates need no signal: they are read again whenever their files change.
"""

from dataclasses import dataclass
from pathlib import Path

import structlog

from survnode.node.config import NodeConfig, load_config
from survnode.node.errors import ConfigurationRefused

log = structlog.get_logger()

RELOADED = ("calling_ae_titles", "networks")  # of the section receiver


@dataclass(frozen=True)
class Reloading:
    """The configuration as it runs, and the file that it came from."""

    running: NodeConfig
    path: Path

    def reread(self) -> NodeConfig:
        """The running configuration with what the file says now of who may send; a file with faults changes nothing.

        What else has changed is told: it needs a restart.
        """
        try:
            written = load_config(self.path)
        except ConfigurationRefused as refusal:
            log.error("config.not_reloaded", error=str(refusal))
            return self.running
        lists = {key: getattr(written.receiver, key) for key in RELOADED}
        reloaded = self.running.model_copy(update={"receiver": self.running.receiver.model_copy(update=lists)})
        changed = [key for key in NodeConfig.model_fields if getattr(written, key) != getattr(reloaded, key)]
        if changed:
            log.warning("config.needs_restart", sections=changed)
        return reloaded
