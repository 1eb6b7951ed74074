"""The process that asks sources whether studies came whole, and for what is missing; see `survnode.node.query`.

It is a process of its own: what a source answers is parsed here, and a source that hangs, or sends what breaks a
parser, holds up nothing else. It runs only where a source is to be asked.
"""

import os
import shutil
from multiprocessing.connection import Connection

from survnode.node.config import NodeConfig, OtherInstances, SourceConfig
from survnode.node.delivery.destination import Destination
from survnode.node.errors import NodeError
from survnode.node.intake.instance import Received
from survnode.node.intake.register import Stored
from survnode.node.intake.rules import Routes
from survnode.node.intake.store import Store
from survnode.node.intake.watermark import DiskWatermark
from survnode.node.logs import configure_logging, end_unquoted
from survnode.node.query.reconciliation import Reconciliation
from survnode.node.query.source import Keep, Source
from survnode.node.service.lifetime import end_with_parent, refuse_to_start, stop_on_signals
from survnode.node.service.loops import Loop
from survnode.node.service.receiving import ACCEPT_AGAIN, GIB
from survnode.node.service.sweeps import client_tls
from survnode.node.state.database import Database

EVERY_S = 0.5


def ask_sources(config: NodeConfig, ready: Connection) -> None:
    """Check studies until SIGTERM: the body of the process, from the configuration alone."""
    configure_logging(config.log_level)
    end_unquoted()
    stop = stop_on_signals()
    end_with_parent()
    try:
        database = Database(config.database_path)
    except NodeError as refusal:
        refuse_to_start(ready, refusal)
        return
    keep = keep_of(config, database)
    for settings in asked_sources(config):
        work = reconciliation_of(config, settings, database, keep)
        Loop(settings.name, EVERY_S, work.check_due).start()
    ready.send("")
    stop.wait()
    os._exit(0)  # a request on its way is not waited for: what came is stored, and the rest is asked for again


def asked_sources(config: NodeConfig) -> tuple[SourceConfig, ...]:
    """The sources that are asked whether studies came whole."""
    return tuple(settings for settings in config.sources if settings.reconcile)


def source_of_settings(settings: SourceConfig, calling_ae_title: str) -> Source:
    """The source that ``settings`` describe."""
    peer = Destination(
        name=settings.name,
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.port,
        calling_ae_title=calling_ae_title,
        connection_timeout_s=settings.timeout_s,
        acse_timeout_s=settings.timeout_s,
        dimse_timeout_s=settings.timeout_s,
        tls=client_tls(settings.tls) if settings.tls else None,
    )
    return Source(peer, settings.method)


def keep_of(config: NodeConfig, database: Database) -> Keep:
    """Stores what comes by C-GET while there is room on the disk, as the receiver does what comes to it."""
    keep_other = config.assembly.other_instances is OtherInstances.KEEP
    store = Store(config.received_dir, database, routes=Routes.of(config), keep_other=keep_other)
    low = int(config.receiver.min_free_gib * GIB)
    watermark = DiskWatermark(low, int(low * ACCEPT_AGAIN), lambda: shutil.disk_usage(config.received_dir).free)

    def keep(received: Received) -> Stored:
        watermark.check()
        return store.add(received)

    return keep


def reconciliation_of(config: NodeConfig, settings: SourceConfig, database: Database, keep: Keep) -> Reconciliation:
    """The checks with one source."""
    return Reconciliation(
        database=database,
        source=source_of_settings(settings, config.receiver.ae_title),
        ae_titles=[source.ae_title for source in asked_sources(config)],
        quiet_period_s=config.assembly.quiet_period_s,
        fetches=settings.fetch_missing,
        keep=keep,
    )
