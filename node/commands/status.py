"""How a node does, at a glance."""

import shutil
from dataclasses import dataclass
from datetime import datetime

from survnode.node.config import DestinationConfig, NodeConfig
from survnode.node.service.lock import NAME as LOCK
from survnode.node.service.lock import is_locked
from survnode.node.state.associations import list_associations
from survnode.node.state.database import Database
from survnode.node.state.delivery_summaries import read_destinations
from survnode.node.state.quarantine_rows import count_undecided
from survnode.node.state.study_summaries import count_standing, count_studies, oldest_waiting
from survnode.node.state.summaries import (
    AssociationSummary,
    DestinationSummary,
    Page,
    Standing,
    StudyCounts,
    StudySummary,
)

REJECTIONS_SHOWN = 5
GIB = 1 << 30


@dataclass(frozen=True)
class NodeStatus:
    """How a node does.

    Parameters
    ----------
    running : whether a node serves in the data folder
    listening : whether it takes images yet; a node that starts does not
    today : studies whose last image came since midnight, local time
    waiting, failed : of all studies, whenever they came; the failed need a person
    quarantined : images that came again with other content, and wait for a person to accept or drop them
    rejected : the last associations that were turned away, newest first
    """

    running: bool
    listening: bool
    ae_title: str
    host: str
    port: int
    data_dir: str
    free_gib: float
    needed_gib: float
    today: StudyCounts
    waiting: int
    oldest_waiting: StudySummary | None
    failed: int
    quarantined: int
    destinations: tuple[DestinationSummary, ...]
    rejected: tuple[AssociationSummary, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should not be as it is, in words."""
        disk = f"only {self.free_gib:.1f} GiB are free at {self.data_dir}: images are refused"
        return (
            *(() if self.running else ("no node runs here: nothing is received, analysed or sent",)),
            *((_quarantined(self.quarantined),) if self.quarantined else ()),
            *((disk,) if self.free_gib < self.needed_gib else ()),
            *(line for line in map(_down, self.destinations) if line),
        )


def read_status(database: Database, config: NodeConfig, now: datetime) -> NodeStatus:
    """How the node of ``config`` does at ``now``, in whose time zone the day began at midnight."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    waiting = (Standing.RECEIVING, Standing.WAITING)
    running, port = is_locked(config.data_dir / LOCK), listening_port(config)
    return NodeStatus(
        running=running,
        listening=running and port is not None,
        ae_title=config.receiver.ae_title,
        host=config.receiver.host,
        port=port or config.receiver.port,
        data_dir=str(config.data_dir),
        free_gib=round(shutil.disk_usage(config.data_dir).free / GIB, 1),
        needed_gib=config.receiver.min_free_gib,
        today=count_studies(database, received_since=midnight),
        waiting=sum(count_standing(database, standing) for standing in waiting),
        oldest_waiting=oldest_waiting(database),
        failed=count_standing(database, Standing.FAILED),
        quarantined=count_undecided(database),
        destinations=tuple(read_destinations(database, _names(config.destinations))),
        rejected=list_associations(database, turned_away=True, page=Page(REJECTIONS_SHOWN)).rows,
    )


def listening_port(config: NodeConfig) -> int | None:
    """Where the node listens; None while it does not."""
    try:
        return int(config.port_file.read_text())
    except (OSError, ValueError):
        return None


def down_lines(database: Database, config: NodeConfig) -> list[str]:
    """A line on each destination that is down."""
    destinations = read_destinations(database, _names(config.destinations))
    return [line for line in map(_down, destinations) if line]


def _quarantined(images: int) -> str:
    came = "image that came again with other content waits" if images == 1 else "images that came again wait"
    return f"{images} {came} in quarantine: see survnode quarantine list, then accept or drop"


def _down(destination: DestinationSummary) -> str:
    """The line on a destination that is down; empty if it is not."""
    if destination.down_since is None:
        return ""
    since = destination.down_since.astimezone().strftime("%Y-%m-%d %H:%M")
    objects = f"{destination.waiting} object{'s'[: destination.waiting != 1]}"
    down = f"the destination {destination.destination} has been down since {since}"
    return f"{down}, {objects} waiting: {destination.last_error}"


def _names(destinations: tuple[DestinationConfig, ...]) -> list[str]:
    return [destination.name for destination in destinations]
