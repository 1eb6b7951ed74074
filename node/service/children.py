"""The bodies of the node's child processes; each starts from the configuration alone.

A body says through ``ready`` that it has started (an empty string), or why it cannot.
"""

from importlib.metadata import version
from multiprocessing.connection import Connection

import structlog

from survnode.model.checkpoint import checkpoint_folder
from survnode.model.errors import ModelError
from survnode.node.config import NodeConfig, OtherInstances
from survnode.node.delivery.commitment import record_answer
from survnode.node.errors import NodeError
from survnode.node.intake.receiver import Listening
from survnode.node.intake.rules import Routes
from survnode.node.logs import configure_logging
from survnode.node.results.identity import Layout
from survnode.node.retry import RetryPolicy
from survnode.node.roles import DEFAULT_ROLES
from survnode.node.service.lifetime import end_with_parent, stop_on_signals
from survnode.node.service.receiving import Storage, run_receiver
from survnode.node.state.database import Database
from survnode.node.state.files import replace_durably

log = structlog.get_logger()

GIB = 1 << 30
ACCEPT_AGAIN = 1.2  # times the free space under which images are refused, so that it does not flap


def find_devices(wanted: str) -> tuple[str, ...]:
    """The devices that ``wanted`` means on this machine."""
    from survnode.node.work.pipeline import devices

    return devices(wanted)


def receiver(config: NodeConfig, ready: Connection) -> None:
    """Take associations until SIGTERM."""
    configure_logging(config.log_level)
    settings = config.receiver
    listening = Listening(
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.port,
        calling_ae_titles=settings.calling_ae_titles,
        networks=tuple(str(network) for network in settings.networks),
        max_associations=settings.max_associations,
        also_called=settings.also_called,
    )
    storage = Storage(
        folder=config.received_dir,
        database=config.database_path,
        routes=Routes.of(config),
        keep_other=config.assembly.other_instances is OtherInstances.KEEP,
        refuse_below_bytes=int(settings.min_free_gib * GIB),
        accept_above_bytes=int(settings.min_free_gib * GIB * ACCEPT_AGAIN),
    )

    def on_ready(port: int) -> None:
        replace_durably(config.port_file, str(port).encode())
        ready.send("")

    try:
        expects_answers = any(destination.commitment for destination in config.destinations)
        run_receiver(listening, storage, on_ready, on_commitment=record_answer if expects_answers else None)
    except NodeError as refusal:
        _refuse(ready, refusal)
    finally:
        config.port_file.unlink(missing_ok=True)


def worker(config: NodeConfig, device: str, name: str, ready: Connection) -> None:
    """Analyse what the queue holds until SIGTERM."""
    configure_logging(config.log_level)
    stop = stop_on_signals()
    end_with_parent()
    from survnode.node.work.pipeline import Pipeline
    from survnode.node.work.worker import Workplace, work

    try:
        pipeline = Pipeline(
            checkpoint_folder(config.model.checkpoint),
            layout_of(config),
            device,
            config.model.encoder_weights,
            config.model.lungmask_weights,
        )
        database = Database(config.database_path)
    except (ModelError, NodeError) as refusal:
        _refuse(ready, refusal)
        return
    place = Workplace(
        received=config.received_dir,
        results=config.results_dir,
        destinations={destination.name: frozenset(destination.objects) for destination in config.destinations},
        lease_s=config.work.lease_s,
        retry=RetryPolicy(max_tries=config.work.max_attempts),
        software_version=version("survnode"),
    )
    ready.send("")
    work(database, pipeline, place, name, stop)


def layout_of(config: NodeConfig) -> Layout:
    """The site's choices for its results."""
    wanted = {role for destination in config.destinations for role in destination.objects}
    return Layout(
        series_numbers=Layout().series_numbers | config.results.series_numbers,
        captures=config.results.captures,
        pdf_names_patient=config.results.pdf_names_patient,
        optional=frozenset(wanted.difference(DEFAULT_ROLES)),
    )


def _refuse(ready: Connection, refusal: Exception) -> None:
    log.error("child.refused", error=str(refusal))
    ready.send(str(refusal))
