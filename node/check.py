"""What a PACS administrator wants to know before the node is started."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from survnode.model.checkpoint import Card, checkpoint_folder, load_checkpoint, read_card
from survnode.model.errors import ModelError
from survnode.node.config import NodeConfig, load_config
from survnode.node.delivery.sender import echo
from survnode.node.errors import DeliveryFailed, InputRefused
from survnode.node.sweeps import destination_of

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
        where = f"{settings.ae_title} at {settings.host}:{settings.port}"
        try:
            echo(destination_of(settings, config.receiver.ae_title))
        except DeliveryFailed as error:
            yield Finding(f"destination {settings.name}", False, str(error))
        else:
            yield Finding(f"destination {settings.name}", True, f"{where} answers C-ECHO")
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
    except (ModelError, InputRefused) as error:
        return Finding("weights", False, str(error))
    return Finding("weights", True, f"{card.backbone.name}, sha256 {card.backbone.sha256}; {lungs}; on {device}")


def _check_disk(config: NodeConfig) -> Finding:
    existing = next(folder for folder in (config.data_dir, *config.data_dir.absolute().parents) if folder.exists())
    free, needed = shutil.disk_usage(existing).free / GIB, config.receiver.min_free_gib
    return Finding("free disk", free >= needed, f"{free:.1f} GiB at {existing}, at least {needed:g} needed")
