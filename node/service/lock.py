"""One node a data folder: who serves there holds its lock."""

import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path

from survnode.node.errors import StartRefused

NAME = "service.lock"
PATIENCE_S = 1.0  # `is_locked` holds the lock for a moment
POLL_S = 0.05


def lock_data_dir(data_dir: Path, folders: Iterable[Path]) -> int:
    """A descriptor that holds the lock of ``data_dir``, whose ``folders`` are made if they are absent.

    Raises
    ------
    StartRefused
        The folder cannot be used, or another node runs there.
    """
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartRefused(f"The data folder {data_dir} cannot be used: {error.strerror}.") from error
    deadline = time.monotonic() + PATIENCE_S
    while not _take(lock, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(lock)
            raise StartRefused(f"Another node runs in {data_dir}.")
        time.sleep(POLL_S)
    return lock


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock at ``path``, as a node that runs holds `NAME` in its data folder.

    Raises
    ------
    OSError
        The lock is there and cannot be opened.
    """
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _take(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _take(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
