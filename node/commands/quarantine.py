"""Images that came under a known UID with other bytes: a person has them stand in place of the first, or deletes them.

To accept is its own undoing: the two images change places, and the one that stood is in quarantine then.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from survnode.node import errors
from survnode.node.intake.adoption import spooled_of
from survnode.node.intake.instance_header import read_header
from survnode.node.intake.register import path_of
from survnode.node.intake.store_folders import StoreFolders
from survnode.node.state import quarantine_rows
from survnode.node.state.database import Database, Transaction
from survnode.node.state.files import sync_folder
from survnode.node.state.image_rows import find_image
from survnode.node.state.records import InstanceState
from survnode.node.state.summaries import QuarantinedImage

MIN_NAME = 6  # digits of a sha256: enough for a few thousand images, and too many to be typed by mistake


def find_quarantined(database: Database, names: Sequence[str], study: str | None) -> list[QuarantinedImage]:
    """The images in quarantine whose sha256 begins so, or the undecided ones of a study.

    Raises
    ------
    InputRefused, RecordNotFound
    """
    if bool(names) == (study is not None):
        raise errors.InputRefused("Name images by the beginning of their sha256, or a study with --study: one of both.")
    with database.reading() as connection:
        known = quarantine_rows.list_quarantined(connection, study)
    if study is not None:
        return _not_empty([image for image in known if image.waits], f"of study {study} that waits for a decision")
    return [_one_of(known, name) for name in names]


def _not_empty(images: list[QuarantinedImage], which: str) -> list[QuarantinedImage]:
    if not images:
        raise errors.RecordNotFound(f"There is no image in quarantine {which}.")
    return images


def _one_of(known: Sequence[QuarantinedImage], name: str) -> QuarantinedImage:
    if len(name) < MIN_NAME:
        raise errors.InputRefused(f"{name} is too short: give at least {MIN_NAME} digits of the sha256.")
    named = _not_empty([image for image in known if image.sha256.startswith(name.lower())], f"whose sha256 is {name}")
    if len(named) > 1:
        raise errors.InputRefused(f"{name} is the beginning of {len(named)} images: give more digits.")
    return named[0]


def accept(database: Database, folder: Path, images: Sequence[QuarantinedImage], *, now: float) -> int:
    """Let images stand in the places of those that came first, and have their studies judged again; how many.

    Parameters
    ----------
    folder : of the store

    Raises
    ------
    RecordNotFound
        No image of that UID stands: it was put aside, or its header cannot be read.
    InstanceRefused, StorageFailed
        Its file cannot be read.
    """
    with database.transaction() as connection:  # while it lasts no instance can be stored
        try:
            left = [path for image in images for path in _exchange(connection, folder, image)]
        except OSError as error:
            raise errors.storage_error(error) from error
        _reopen(connection, images, now)
    _unlink(folder, left)
    return len(images)


def drop(database: Database, folder: Path, images: Sequence[QuarantinedImage], *, now: float) -> int:
    """Delete images in quarantine for good, and judge a study again that was held up by them; how many."""
    with database.transaction() as connection:
        for image in images:
            quarantine_rows.remove(connection, image.sop_instance_uid, image.sha256)
        _reopen(connection, [image for image in images if image.waits], now)
    _unlink(folder, [folder / image.path for image in images])
    return len(images)


def _exchange(connection: Transaction, folder: Path, image: QuarantinedImage) -> list[Path]:
    """Give both files their new names and rows; the names that are to go once these are on disk."""
    old = find_image(connection, image.sop_instance_uid)
    if old is None:
        raise errors.RecordNotFound(
            f"No image stands of which {image.sha256[:12]} could take the place: send the study again instead."
        )
    spooled = spooled_of(folder / image.path)
    header = read_header(spooled)
    new = replace(
        old,
        transfer_syntax_uid=spooled.transfer_syntax_uid,
        patient_id=header.patient_id,
        calling_ae_title=image.calling_ae_title,
        sha256=image.sha256,
        size_bytes=spooled.size_bytes,
        path=path_of(header, spooled),
        received_at=image.received.timestamp(),
        state=InstanceState.STORED,
    )
    kept = f"quarantine/{Path(old.path).name}"
    _link(folder, image.path, new.path)
    if old.state is not InstanceState.DELETED:
        _link(folder, old.path, kept)
    quarantine_rows.exchange(connection, old, new, kept)
    return [folder / name for name in (image.path, old.path)]


def _link(folder: Path, first: str, second: str) -> None:
    """Give a file a second name that is on disk; nothing where the file has gone, which is told when it is read."""
    StoreFolders(folder).make_durable((folder / second).parent)
    if (folder / first).exists() and not (folder / second).exists():
        os.link(folder / first, folder / second)
    sync_folder((folder / second).parent)


def _reopen(connection: Transaction, images: Sequence[QuarantinedImage], now: float) -> None:
    for study in sorted({image.study_instance_uid for image in images} - {""}):
        quarantine_rows.reopen_study(connection, study, quarantine_rows.patients_of(connection, study), now=now)


def _unlink(folder: Path, paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    sync_folder(folder / "quarantine")
