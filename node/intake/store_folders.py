"""The folders of received files: who may write there, and that their names survive a power cut."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from survnode.node import errors
from survnode.node.intake.incoming_file import FILE_MODE, FOLDER_MODE
from survnode.node.state.files import sync_folder

REMEMBERED_FOLDERS = 4096


class StoreFolders:
    """The folder ``root`` and those in it, made if they are absent; for any number of threads of one process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: set[Path] = set()
        self._lock: int | None = None
        for name in ("incoming", "studies", "other", "quarantine"):
            (root / name).mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        for made in (root, *root.absolute().parents):
            with suppress(OSError):  # of what is not ours to open, nothing was made here
                sync_folder(made)

    def make_durable(self, folder: Path) -> None:
        """Make a folder and those above it, each of them known to its parent on disk.

        Raises
        ------
        StorageFailed
        """
        if folder == self.root:
            return
        if folder in self._durable:
            if folder.is_dir():
                return
            self._durable.clear()  # somebody took it away
        self.make_durable(folder.parent)
        try:
            folder.mkdir(FOLDER_MODE, exist_ok=True)
            sync_folder(folder.parent)  # also if it was there: the thread that made it may not have come so far
        except OSError as error:
            raise errors.storage_error(error) from error
        if len(self._durable) >= REMEMBERED_FOLDERS:
            self._durable.clear()
        self._durable.add(folder)

    def lock(self) -> None:
        """Make this process the only one that receives into them.

        Raises
        ------
        StoreInUse
        """
        if self._lock is not None:
            return
        lock = os.open(self.root / "receiver.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise errors.StoreInUse(f"Another process receives into {self.root}.") from None
        self._lock = lock

    def unlock(self) -> None:
        """Let another process receive."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
