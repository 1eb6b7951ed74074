"""A data set on its way to disk: written once, hashed while it comes, never whole in memory."""

import errno
import os
import threading
from concurrent.futures import Executor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from survnode.node import errors
from survnode.node.intake.instance import START_BYTES, Spooled, StoreRequest
from survnode.node.state.files import sync_folder

FILE_MODE, FOLDER_MODE = 0o600, 0o700  # images of patients are nobody else's
COPY_BYTES = 1 << 20

_NO_LINK = frozenset({errno.EEXIST, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})  # or: no links here


class Budget:
    """How many bytes may be on disk of objects that are not whole: of all peers, and of one.

    Nobody is kept from sending large objects; but who begins many and ends none must not fill the disk.
    """

    def __init__(self, total: int, per_peer: int) -> None:
        self._total, self._per_peer = total, per_peer
        self._lock = threading.Lock()
        self._taken: dict[str, int] = {}

    def take(self, peer: str, size: int) -> None:
        """Count bytes of an object.

        Raises
        ------
        StorageFull
        """
        with self._lock:
            of_peer = self._taken.get(peer, 0) + size
            if of_peer > self._per_peer or sum(self._taken.values()) + size > self._total:
                raise errors.StorageFull("Too many bytes of unfinished images are on their way.")
            self._taken[peer] = of_peer

    def give_back(self, peer: str, size: int) -> None:
        """Count no more what was taken."""
        with self._lock:
            left = self._taken.get(peer, 0) - size
            self._taken.pop(peer, None)
            if left > 0:
                self._taken[peer] = left


class IncomingFile:
    """A Part 10 file that grows in ``folder`` until it is whole.

    Raises
    ------
    StorageFailed
    """

    def __init__(self, folder: Path, request: StoreRequest, budget: Budget) -> None:
        self.path, self._request, self._budget = folder / uuid4().hex, request, budget
        self._digest, self._size_bytes, self._is_moved = sha256(), 0, False
        self._start = bytearray()
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise errors.storage_error(error) from error
        try:
            self._write(memoryview(request.file_header))
        except BaseException:
            self.discard()
            raise

    def write(self, fragment: memoryview) -> None:
        """Add the next bytes of the data set.

        Raises
        ------
        StorageFailed
        """
        self._budget.take(self._request.peer, len(fragment))
        self._size_bytes += len(fragment)
        if len(self._start) < START_BYTES:
            self._start += fragment[: START_BYTES - len(self._start)]
        self._digest.update(fragment)
        self._write(fragment)

    def spooled(self) -> Spooled:
        """The request with what was written of its data set."""
        request = self._request
        return Spooled(
            request.sop_class_uid,
            request.sop_instance_uid,
            request.transfer_syntax_uid,
            request.calling_ae_title,
            self.path,
            self._digest.hexdigest(),
            self._size_bytes,
            called_ae_title=request.called_ae_title,
            peer=request.peer,
            start=bytes(self._start),
        )

    def move_to(self, target: Path, beside: Executor) -> None:
        """Put the file at ``target``, in a durable folder: its bytes and its name are durable on return.

        File and folder are synced at the same time, by this thread and one of ``beside``: where the disk is busy, each
        sync waits for it anew (20 ms an image one after the other, 12 so). What a power cut leaves of a file that was
        not whole does not hold the bytes that its name was made of, and is not taken for one.

        Raises
        ------
        StorageFailed
        """
        is_new = False
        try:
            is_new = self._name(target)
            folder_synced = beside.submit(sync_folder, target.parent)
            try:
                os.fsync(self._file)
            finally:
                folder_synced.result()
        except OSError as error:
            if is_new:
                self._take_back(target)
            raise errors.storage_error(error) from error

    def copy_to(self, target: Path) -> None:
        """Write it again, wherever its first name has gone.

        Raises
        ------
        StorageFailed
        """
        try:
            self.path.unlink(missing_ok=True)
            copy = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            try:
                place = 0
                while sent := os.sendfile(copy, self._file, place, COPY_BYTES):
                    place += sent
                os.fsync(copy)
            finally:
                os.close(copy)
            self.path.rename(target)
            self._is_moved = True
            sync_folder(target.parent)
        except OSError as error:
            raise errors.storage_error(error) from error

    def discard(self) -> None:
        """Remove what has not been moved, and let go of the rest."""
        if self._file < 0:
            return
        os.close(self._file)
        self._file = -1
        self._budget.give_back(self._request.peer, self._size_bytes)
        if not self._is_moved:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _name(self, target: Path) -> bool:
        """Let the file be found at ``target``; whether nothing was there.

        What is there has the same name, and so the same bytes, and may have been acknowledged: it is replaced only by
        a file that is durable.
        """
        try:
            os.link(self.path, target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            os.fsync(self._file)
            self.path.rename(target)
            self._is_moved = True
            return False
        return True

    def _take_back(self, target: Path) -> None:
        with suppress(OSError):
            if target.stat().st_ino == os.fstat(self._file).st_ino:  # else somebody else's has replaced it
                target.unlink()

    def _write(self, content: memoryview) -> None:
        try:
            while content:
                content = content[os.write(self._file, content) :]
        except OSError as error:
            raise errors.storage_error(error) from error
