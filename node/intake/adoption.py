"""What to do at start-up with files that have no row: the database was lost, or is an older copy than the files.

Every file below ``studies`` is whole, and may have been acknowledged. It gets a row from its own header, and its study
is judged again; what cannot be read goes to quarantine. What lies in quarantine is listed again, and a person decides
again. Nothing is removed. It runs while the node receives: a file that is being stored at the same moment gets its row
from whoever comes first.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import structlog
from pydicom.filereader import read_file_meta_info

from survnode.node import errors
from survnode.node.intake.instance import Spooled
from survnode.node.intake.instance_header import read_header
from survnode.node.intake.register import Stored, path_of
from survnode.node.intake.store import Store
from survnode.node.state.files import sync_folder
from survnode.node.state.records import InstanceState, Quarantined

log = structlog.get_logger()


@dataclass
class Adoption:
    """What became of the files below ``studies`` and in quarantine that had no row, and of the rows that had no file.

    Parameters
    ----------
    adopted : files that have a row now
    quarantined : files that were moved to quarantine, since their header cannot be read or they are another's bytes
    missing : rows that say that a file is there, and it is not
    relisted : files in quarantine that have a row now
    """

    adopted: int = 0
    quarantined: int = 0
    missing: int = 0
    relisted: int = 0


def adopt_files(store: Store, stop: threading.Event) -> Adoption:
    """Look at every file below ``studies`` and in quarantine once, and say aloud what was wrong.

    Raises
    ------
    DatabaseFailed, StorageFailed
    """
    adoption = Adoption()
    for folder in _studies(store.folder):
        if stop.is_set():
            break
        _adopt_study(store, folder, adoption)
    else:
        _list_quarantine(store, adoption)
    if adoption != Adoption():
        log.warning(
            "store.database_older_than_files",
            adopted=adoption.adopted,
            quarantined=adoption.quarantined,
            files_missing=adoption.missing,
            in_quarantine=adoption.relisted,
            meaning="The database did not know all files of the store: it was lost, or restored from an older copy.",
        )
    return adoption


def _studies(folder: Path) -> Iterator[Path]:
    with os.scandir(folder / "studies") as entries:
        yield from (Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))


def _adopt_study(store: Store, folder: Path, told: Adoption) -> None:
    name = folder.relative_to(store.folder).as_posix()
    known = store.rows.states_below(name)  # before the files: what is stored from now on is not looked at
    files = {path.relative_to(store.folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    there = {path for path, state in known.items() if state is not InstanceState.DELETED}
    told.missing += len(there - files)
    if not files:
        _remove_empty_folders(folder)
    for path in sorted(files - there):
        if _adopt_file(store, path):
            told.adopted += 1
        elif (store.folder / path).exists():
            _put_aside(store, path)
            told.quarantined += 1


def _remove_empty_folders(folder: Path) -> None:
    """Remove what the retention leaves of a study."""
    below = sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True)
    for path in (*below, folder):
        with suppress(OSError):  # an image has come just now
            path.rmdir()


def _adopt_file(store: Store, path: str) -> bool:
    """Give a file its row; whether it has one."""
    try:
        spooled = spooled_of(store.folder / path)
        header = read_header(spooled)
        return path_of(header, spooled) == path and store.adopt(spooled, header, path) is not Stored.QUARANTINED
    except (errors.InstanceRefused, OSError) as error:
        log.warning("store.file_not_adopted", path=path, error=type(error).__name__)
        return False


def spooled_of(file: Path) -> Spooled:
    """A stored file as it was received.

    Raises
    ------
    InstanceUnparsable, OSError
    """
    try:
        meta = read_file_meta_info(file)
        offset = 144 + int(meta.FileMetaInformationGroupLength)  # preamble, prefix, and the element that says it
        with file.open("rb") as content:
            content.seek(offset)
            digest = file_digest(content, "sha256").hexdigest()
        return Spooled(
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
            calling_ae_title=str(meta.get("SendingApplicationEntityTitle", "")),
            called_ae_title=str(meta.get("ReceivingApplicationEntityTitle", "")),
            file=file,
            sha256=digest,
            size_bytes=file.stat().st_size - offset,
        )
    except OSError:
        raise
    except Exception as error:  # pydicom raises what it likes at bytes that are no file
        raise errors.InstanceUnparsable("The file cannot be read.") from error


def _put_aside(store: Store, path: str) -> None:
    """Move a file that cannot be adopted to quarantine."""
    kept = f"quarantine/{Path(path).name}"
    (store.folder / path).replace(store.folder / kept)
    sync_folder(store.folder / "quarantine")
    _list_unreadable(store, kept)


def _list_quarantine(store: Store, told: Adoption) -> None:
    """Give what lies in quarantine its rows; after ``studies``, so that it came later than the image that stands."""
    with os.scandir(store.folder / "quarantine") as entries:
        files = {f"quarantine/{entry.name}" for entry in entries if entry.is_file(follow_symlinks=False)}
    for path in sorted(files - store.rows.quarantined_paths()):
        with suppress(FileNotFoundError):  # somebody dropped it just now
            told.relisted += _list_one(store, path)


def _list_one(store: Store, path: str) -> bool:
    """Give a file in quarantine its row; not if it is a second name of the image that stands, left by a power cut."""
    try:
        spooled = spooled_of(store.folder / path)
        header = read_header(spooled)
        place = store.folder / path_of(header, spooled)
        if place.exists() and place.samefile(store.folder / path):
            (store.folder / path).unlink()
            return False
        store.adopt_quarantined(spooled, header, path)
    except FileNotFoundError:
        raise
    except (errors.InstanceRefused, OSError):
        _list_unreadable(store, path)
    return True


def _list_unreadable(store: Store, path: str) -> None:
    """Give a file in quarantine whose header cannot be read a row that names nothing."""
    with (store.folder / path).open("rb") as content:
        digest = file_digest(content, "sha256").hexdigest()
    with store.rows.transaction():
        store.rows.add_quarantined(Quarantined("", "", "", digest, path, store.clock()))
