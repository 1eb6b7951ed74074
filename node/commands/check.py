"""What a PACS administrator wants to know before the node is started: whether `serve` will do all that it is to."""

import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

from pydicom.uid import UID

from survnode.model.checkpoint import Card, checkpoint_folder, read_card
from survnode.model.errors import ModelError
from survnode.node.commands.status import listening_port
from survnode.node.config import (
    DestinationConfig,
    NodeConfig,
    ReceiverConfig,
    RetrieveMethod,
    SourceConfig,
    load_config,
)
from survnode.node.contexts import COMMITMENT, FIND, GET, MOVE
from survnode.node.delivery.sender import echo, probe
from survnode.node.errors import (
    DatabaseFailed,
    DeliveryFailed,
    DeviceMissing,
    SiteTableFailed,
    StartRefused,
    TLSUnusable,
)
from survnode.node.roles import RESULT_SOP_CLASSES, best_report_class
from survnode.node.service.child_bodies import layout_of
from survnode.node.service.lock import NAME as LOCK
from survnode.node.service.lock import is_locked, lock_data_dir
from survnode.node.service.querying import source_of_settings
from survnode.node.service.receiving import server_tls
from survnode.node.service.sweeps import client_tls, destination_of
from survnode.node.state.database import Database
from survnode.node.state.files import write_durably
from survnode.node.tls import client_context, server_context, valid_until

GIB = 1 << 30
EXPIRES_SOON_DAYS = 30  # a certificate, whose renewal takes a hospital's IT some days


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


def run_checks(path: Path) -> Iterator[Finding]:
    """Try everything that `serve` will do, one finding each; a fault in one does not hide the next.

    Nothing that was not there before is left behind.

    Raises
    ------
    ConfigurationRefused
        There is nothing else to look at then.
    """
    config = load_config(path)
    yield Finding("configuration", True, str(path))
    yield from _check_model(config)
    with _what_serve_makes(config):
        yield _check_data_dir(config)
    yield _check_database(config)
    yield _check_disk(config)
    yield _check_address(config)
    yield from _check_tls(config)
    for settings in config.destinations:
        yield from _check_destination(settings, config.receiver)
    for source in config.sources:
        yield from _check_source(source, config.receiver)
    if not config.destinations:
        yield Finding("destinations", False, "none: results would go nowhere")


def _check_model(config: NodeConfig) -> Iterator[Finding]:
    folder = checkpoint_folder(config.model.checkpoint)
    try:
        card = read_card(folder)
    except ModelError as error:
        yield Finding("checkpoint", False, str(error))
        return
    yield Finding("checkpoint", True, f"{card.name} {card.version}, sha256 {card.weights_sha256}")
    yield _check_weights(config, card, folder)
    yield from _check_lookup(config, card)


def _check_weights(config: NodeConfig, card: Card, folder: Path) -> Finding:
    """Load the model on each device as its worker would: weights are there, are the right ones, and fit."""
    from survnode.node.work.pipeline import Pipeline, devices

    lungs = f"lungs by {card.lungs.method}, sha256 {card.lungs.weights_sha256 or 'none needed'}"
    try:
        usable = devices(config.work.device)
        for device in usable:
            Pipeline(folder, layout_of(config), device, config.model.encoder_weights, config.model.lungmask_weights)
    except (ModelError, DeviceMissing) as error:
        return Finding("weights", False, str(error))
    on = f"on {', '.join(usable)}"
    return Finding("weights", True, f"{card.backbone.name}, sha256 {card.backbone.sha256}; {lungs}; {on}")


def _check_lookup(config: NodeConfig, card: Card) -> Iterator[Finding]:
    """Read the names of the site's columns: what the model takes and nobody has is said."""
    from survnode.node.state.site_table import site_table_of

    site = site_table_of(config.lookup)
    if site is None:
        return
    try:
        columns = site.columns()
    except SiteTableFailed as error:
        yield Finding("lookup", False, str(error))
        return
    wanted = [it.name for it in card.covariates or ()]
    absent = [name for name in wanted if name not in columns]
    if site.column not in columns:
        yield Finding("lookup", False, f"{site.name} has no column {site.column}")
    elif not wanted:
        yield Finding("lookup", True, f"{site.name}: the model takes nothing beside the images")
    else:
        lacking = f"; not in it: {', '.join(absent)}" if absent else ""
        yield Finding("lookup", True, f"{site.name} has {len(wanted) - len(absent)} of {len(wanted)} values{lacking}")


@contextmanager
def _what_serve_makes(config: NodeConfig) -> Iterator[None]:
    """Take away what the block makes of a data folder that was not there."""
    data_dir = config.data_dir.absolute()
    absent = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    yield
    if absent:
        with suppress(OSError):  # it holds what is not ours
            for folder in (config.received_dir, config.results_dir):
                folder.rmdir()
            (data_dir / LOCK).unlink()
            for folder in absent:
                folder.rmdir()


def _check_data_dir(config: NodeConfig) -> Finding:
    """Whether the folder can be made, locked and written to."""
    folders = (config.received_dir, config.results_dir)
    try:
        lock = lock_data_dir(config.data_dir, folders)
    except StartRefused as error:
        runs = f"this node runs in {config.data_dir}: a second one cannot be started beside it"
        return Finding("data folder", False, runs if _node_runs(config) else str(error))
    folder = config.received_dir
    try:
        if is_locked(folder / "receiver.lock"):
            return Finding("data folder", False, f"a receiver still runs in {folder}")
        inner = [path for path in config.received_dir.iterdir() if path.is_dir()]
        for folder in (config.data_dir, *folders, *inner):
            _write_something(folder)
    except OSError as error:
        return Finding("data folder", False, f"{folder} cannot be written to: {error.strerror}")
    finally:
        os.close(lock)
    return Finding("data folder", True, f"{config.data_dir} can be written to, and no node runs there")


def _node_runs(config: NodeConfig) -> bool:
    try:
        return is_locked(config.data_dir / LOCK)
    except OSError:
        return False


def _write_something(folder: Path) -> None:
    path = folder / f".check-{uuid4().hex}"
    try:
        write_durably(path, b"survnode check")
    finally:
        path.unlink(missing_ok=True)


def _check_database(config: NodeConfig) -> Finding:
    if not config.database_path.exists():
        return Finding("database", True, f"{config.database_path} will be made")
    try:
        with closing(Database(config.database_path)) as database:
            database.check()
    except DatabaseFailed as error:
        return Finding("database", False, str(error))
    return Finding("database", True, f"{config.database_path} is whole and of this software's version")


def _check_disk(config: NodeConfig) -> Finding:
    existing = next(folder for folder in (config.data_dir, *config.data_dir.absolute().parents) if folder.exists())
    free, needed = shutil.disk_usage(existing).free / GIB, config.receiver.min_free_gib
    return Finding("free disk", free >= needed, f"{free:.1f} GiB at {existing}, at least {needed:g} needed")


def _check_address(config: NodeConfig) -> Finding:
    """Whether the node can listen where it is to; it does for a moment, and answers nobody."""
    receiver = config.receiver
    where = f"{receiver.host}:{receiver.port or 'any free port'}"
    try:
        addresses = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = addresses[0]
        with socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(1)
    except (OSError, UnicodeError) as error:
        if _node_runs(config) and listening_port(config) == receiver.port:
            return Finding("address", False, f"this node runs and listens at {where} already")
        why = getattr(error, "strerror", None) or type(error).__name__
        return Finding("address", False, f"cannot listen at {where}: {why}")
    return Finding("address", True, f"{receiver.ae_title} can listen at {where}")


def _check_tls(config: NodeConfig) -> Iterator[Finding]:
    """Whether each certificate of the node's own can be used, and for how long."""
    if config.receiver.tls is not None:
        files = server_tls(config.receiver.tls)
        asked = f"senders need a certificate by {files.client_ca}" if files.client_ca else "senders need no certificate"
        yield _check_certificate("receiver: TLS", files.certificate, files.key, asked, lambda: server_context(files))
    for destination in config.destinations:
        yield from _check_peer_tls(f"destination {destination.name}: TLS", destination)
    for source in config.sources:
        yield from _check_peer_tls(f"source {source.name}: TLS", source)


def _check_peer_tls(what: str, settings: DestinationConfig | SourceConfig) -> Iterator[Finding]:
    if settings.tls is not None:
        ours = client_tls(settings.tls)
        asked = f"its certificate must be by {ours.ca} for {ours.server_name or settings.host}"
        yield _check_certificate(what, ours.certificate, ours.key, asked, partial(client_context, ours))


def _check_certificate(
    what: str, certificate: Path | None, key: Path | None, asked: str, load: Callable[[], object]
) -> Finding:
    try:
        load()
        if certificate is None or key is None:
            return Finding(what, True, asked)
        end = valid_until(certificate, key, of_server=what.startswith("receiver"))
    except TLSUnusable as error:
        return Finding(what, False, str(error))
    days = (end - datetime.now(UTC)).days
    readable = key.stat().st_mode & 0o077
    validity = f"{certificate} is valid until {end:%Y-%m-%d}, {days} days"
    if readable:
        return Finding(what, False, f"{validity}; but its key {key} can be read by others: chmod 600")
    return Finding(what, days >= EXPIRES_SOON_DAYS, f"{validity}; {asked}")


def _check_destination(settings: DestinationConfig, receiver: ReceiverConfig) -> Iterator[Finding]:
    """Whether it answers, and whether it takes what it is to get; nothing is stored there."""
    destination = destination_of(settings, receiver.ae_title)
    name = f"destination {settings.name}"
    if settings.commitment and receiver.calling_ae_titles and settings.ae_title not in receiver.calling_ae_titles:
        refused = f"receiver.calling_ae_titles must name {settings.ae_title}, or its answers are refused"
        yield Finding(f"{name}: commitment", False, refused)
    try:
        echo(destination)
        yield Finding(name, True, f"{settings.ae_title} at {settings.host}:{settings.port} answers C-ECHO")
        accepted = set(probe(destination, (*RESULT_SOP_CLASSES, COMMITMENT)))
    except DeliveryFailed as error:
        yield Finding(name, False, str(error))
        return
    report_class = destination.report_sop_class or best_report_class(accepted)
    needed = {role.sop_class(report_class) for role in settings.objects}
    missing = (needed | {COMMITMENT} if settings.commitment else needed) - accepted
    lacks = f"does not accept {_named(missing)}, but is to get it; " if missing else ""
    takes = f"accepts {_named(accepted)}; reports go as {_named({report_class})}"
    yield Finding(f"{name}: classes", not missing, lacks + takes)


def _check_source(settings: SourceConfig, receiver: ReceiverConfig) -> Iterator[Finding]:
    """Whether it can be asked, and may send; whether it knows the node, only a study that it sends can show."""
    name, method = f"source {settings.name}", settings.method.upper()
    moves = settings.method is RetrieveMethod.MOVE
    if moves and receiver.calling_ae_titles and settings.ae_title not in receiver.calling_ae_titles:
        refused = f"receiver.calling_ae_titles must hold {settings.ae_title}, or what it sends is refused"
        yield Finding(f"{name}: calling", False, refused)
    needed = (FIND, MOVE if moves else GET)
    try:
        accepted = probe(source_of_settings(settings, receiver.ae_title).peer, needed)
    except DeliveryFailed as error:
        yield Finding(name, False, str(error))
        return
    where = f"{settings.ae_title} at {settings.host}:{settings.port}"
    missing = ", ".join(UID(uid).name for uid in needed if uid not in accepted)
    detail = f"{where} does not accept {missing}" if missing else f"{where} can be asked by C-FIND and C-{method}"
    yield Finding(name, not missing, detail)


def _named(sop_classes: Iterable[str | None]) -> str:
    return ", ".join(sorted(UID(uid).name.removesuffix(" Storage") for uid in sop_classes if uid)) or "none"
