"""What a PACS administrator wants to know before the node is started."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID

from survnode.model.checkpoint import Card, checkpoint_folder, load_checkpoint, read_card
from survnode.model.errors import ModelError
from survnode.node.config import DestinationConfig, NodeConfig, ReceiverConfig, load_config
from survnode.node.contexts import COMMITMENT
from survnode.node.delivery.sender import echo, probe
from survnode.node.errors import DeliveryFailed, DeviceMissing
from survnode.node.roles import RESULT_SOP_CLASSES, best_report_class
from survnode.node.service.sweeps import destination_of

GIB = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


def run_checks(path: Path) -> Iterator[Finding]:
    """Look at everything that `serve` needs, one finding each; a fault in one does not hide the next.

    Raises
    ------
    ConfigurationRefused
        There is nothing else to look at then.
    """
    config = load_config(path)
    yield Finding("configuration", True, str(path))
    yield from _check_model(config)
    yield _check_disk(config)
    for settings in config.destinations:
        yield from _check_destination(settings, config.receiver)
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


def _check_weights(config: NodeConfig, card: Card, folder: Path) -> Finding:
    """Load the model as a worker would: weights are there, are the right ones, and fit."""
    from survnode.model.predict import Predictor
    from survnode.node.work.pipeline import devices

    lungs = f"lungs by {card.lungs.method}, sha256 {card.lungs.weights_sha256 or 'none needed'}"
    try:
        device = devices(config.work.device)[0]
        Predictor(load_checkpoint(folder), device, config.model.encoder_weights, config.model.lungmask_weights)
    except (ModelError, DeviceMissing) as error:
        return Finding("weights", False, str(error))
    return Finding("weights", True, f"{card.backbone.name}, sha256 {card.backbone.sha256}; {lungs}; on {device}")


def _check_destination(settings: DestinationConfig, receiver: ReceiverConfig) -> Iterator[Finding]:
    """Whether it answers, and whether it takes what it is to get; nothing is stored there."""
    destination = destination_of(settings, receiver.ae_title)
    name = f"destination {settings.name}"
    if settings.commitment and receiver.calling_ae_titles and settings.ae_title not in receiver.calling_ae_titles:
        refused = f"receiver.calling_ae_titles must hold {settings.ae_title}, or its answers are refused"
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
    lacks = f"does not accept {_named(missing)}, as it is to; " if missing else ""
    takes = f"accepts {_named(accepted)}; reports go as {_named({report_class})}"
    yield Finding(f"{name}: classes", not missing, lacks + takes)


def _named(sop_classes: Iterable[str | None]) -> str:
    return ", ".join(sorted(UID(uid).name.removesuffix(" Storage") for uid in sop_classes if uid)) or "none"


def _check_disk(config: NodeConfig) -> Finding:
    existing = next(folder for folder in (config.data_dir, *config.data_dir.absolute().parents) if folder.exists())
    free, needed = shutil.disk_usage(existing).free / GIB, config.receiver.min_free_gib
    return Finding("free disk", free >= needed, f"{free:.1f} GiB at {existing}, at least {needed:g} needed")
