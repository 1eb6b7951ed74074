"""The bodies of the node's child processes but the receiver's (`light`); each starts from the configuration alone.

A body says through ``ready`` that it has started (an empty string), or why it cannot.
"""

import ctypes
import os
import time
from importlib.metadata import version
from multiprocessing.connection import Connection

from survnode.model.checkpoint import checkpoint_folder
from survnode.model.errors import ModelError
from survnode.node.config import NodeConfig
from survnode.node.errors import NodeError
from survnode.node.logs import configure_logging, end_unquoted
from survnode.node.results.identity import Layout
from survnode.node.retry import RetryPolicy, outlast
from survnode.node.roles import DEFAULT_ROLES
from survnode.node.service.child_process import holder_name
from survnode.node.service.lifetime import end_with_parent, refuse_to_start, stop_on_signals
from survnode.node.state.database import Database

WORKER_NICENESS = 5  # a sender waits for each of its images; a worker takes what of the processor is left


def find_devices(wanted: str) -> tuple[str, ...]:
    """The devices that ``wanted`` means on this machine."""
    from survnode.node.work.pipeline import devices

    return devices(wanted)


def worker(config: NodeConfig, device: str, name: str, beat: ctypes.c_double, ready: Connection) -> None:
    """Analyse what the queue holds until SIGTERM."""
    os.nice(WORKER_NICENESS)
    configure_logging(config.log_level)
    end_unquoted()
    stop = stop_on_signals()
    end_with_parent()
    from survnode.node.state.site_table import site_table_of
    from survnode.node.work.pipeline import Pipeline
    from survnode.node.work.worker import Shift, Workplace, work

    try:
        pipeline = Pipeline(
            checkpoint_folder(config.model.checkpoint),
            layout_of(config),
            device,
            config.model.encoder_weights,
            config.model.lungmask_weights,
            site_table_of(config.lookup),
        )
        database = outlast(lambda: Database(config.database_path), f"{name} start", stop.wait)
    except (ModelError, NodeError) as refusal:
        refuse_to_start(ready, refusal)
        return
    place = Workplace(
        received=config.received_dir,
        results=config.results_dir,
        destinations={destination.name: frozenset(destination.objects) for destination in config.destinations},
        lease_s=config.work.lease_s,
        retry=RetryPolicy(max_tries=config.work.max_attempts),
        software_version=version("survnode"),
    )

    def show_life() -> None:
        beat.value = time.monotonic()

    show_life()
    ready.send("")
    work(database, pipeline, place, Shift(holder_name(name, os.getpid()), stop, show_life))


def ask_sources(config: NodeConfig, ready: Connection) -> None:
    """Ask sources whether studies came whole until SIGTERM."""
    from survnode.node.service import querying

    querying.ask_sources(config, ready)


def layout_of(config: NodeConfig) -> Layout:
    """The site's choices for its results."""
    wanted = {role for destination in config.destinations for role in destination.objects}
    return Layout(
        series_numbers=Layout().series_numbers | config.results.series_numbers,
        captures=config.results.captures,
        pdf_names_patient=config.results.pdf_names_patient,
        optional=frozenset(wanted.difference(DEFAULT_ROLES)),
    )
