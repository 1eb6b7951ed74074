"""The files of received instances and their rows: when `Store.add` returns, both survive a power cut.

::

    <folder>/incoming/    files that are being written; whatever lies there at start is of a crash
    <folder>/studies/     <study>/<series>/<instance>.dcm, each name a hash: no UID becomes a path
    <folder>/other/       what is not CT, if it is kept: <study>/<series>/<instance>.dcm, deleted with its study's CT
    <folder>/quarantine/  instances that came under a known UID with other bytes; never deleted by the node

The order is: write, name, fsync of file and folders, row. A crash leaves a file without a row, never a row without
a file. What is below ``studies`` is whole, and its row may have been acknowledged and lost since with the database: it
is `adopted <survnode.node.intake.adoption>`, never removed.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from survnode.node import errors
from survnode.node.contexts import CT_SOP_CLASSES
from survnode.node.intake.incoming_file import Budget, IncomingFile
from survnode.node.intake.instance import Received, Spooled, StoreRequest
from survnode.node.intake.instance_header import Header, read_header
from survnode.node.intake.register import Placed, Register, Stored, path_of
from survnode.node.intake.rules import Routes
from survnode.node.intake.store_folders import StoreFolders
from survnode.node.state.database import Database
from survnode.node.state.ingest import Ingest

SYNCS_AT_ONCE = 16  # of folders; who comes later waits
MAX_INCOMING_BYTES = 8 << 30  # of objects that are not whole, on disk: eight of the largest ...
MAX_INCOMING_BYTES_OF_A_PEER = 4 << 30  # ... and four from one address


class Store:
    """Instances on disk and in the database; for any number of threads of one receiving process.

    Parameters
    ----------
    folder : made if absent
    quiet_period_s : a study is judged when no image came for so long; not used with ``routes``
    routes : the site's rules, and the quiet period where none of them fits
    keep_other : keep the files of what is not CT
    clock : seconds since the epoch
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        *,
        quiet_period_s: float = 60.0,
        routes: Routes | None = None,
        keep_other: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self.rows, self.clock = folder, Ingest(database), clock
        self._folders = StoreFolders(folder)
        rules = routes or Routes(quiet_period_s=quiet_period_s)
        self._register = Register(self.rows, self._folders, rules, clock, keep_other=keep_other)
        self._syncing = ThreadPoolExecutor(SYNCS_AT_ONCE, "sync")
        self._budget = Budget(MAX_INCOMING_BYTES, MAX_INCOMING_BYTES_OF_A_PEER)

    def begin(self, request: StoreRequest) -> "Arriving":
        """Take the data set of one instance as it comes.

        Raises
        ------
        UIDInvalid, StorageFailed
        """
        request.check_uids()
        return Arriving(self, IncomingFile(self.folder / "incoming", request, self._budget))

    def add(self, received: Received) -> Stored:
        """Store one instance that is in memory; both file and row are durable on return.

        Raises
        ------
        InstanceRefused
            UIDInvalid, InstanceUnparsable or InstanceMismatch: nothing is kept.
        StorageFailed, DatabaseFailed
            The disk or the database did not take it.
        """
        arriving = self.begin(received)
        try:
            arriving.write(memoryview(received.encoded))
            return arriving.keep()
        finally:
            arriving.discard()

    def keep(self, file: IncomingFile) -> Stored:
        """Store the instance in ``file``; both file and row are durable on return.

        Raises
        ------
        InstanceRefused, StorageFailed, DatabaseFailed
        """
        spooled = file.spooled()
        try:
            header = read_header(spooled)
        except OSError as error:
            raise errors.storage_error(error) from error
        if header.sop_class_uid not in CT_SOP_CLASSES:
            return self._register.add_other(header, spooled, lambda path: self._place(file, path))
        path = path_of(header, spooled)
        self._place(file, path)
        return self._register.add(Placed(header, spooled, path, file.copy_to))

    def adopt(self, spooled: Spooled, header: Header, path: str) -> Stored:
        """Give a file at ``path`` that has no row its row, as if it came now.

        Raises
        ------
        InstanceMismatch, StorageFailed, DatabaseFailed
        """
        return self._register.add(Placed(header, spooled, path, None))

    def adopt_quarantined(self, spooled: Spooled, header: Header, path: str) -> None:
        """Give a file in quarantine at ``path`` that has no row its row, as if it came now.

        Raises
        ------
        StorageFailed, DatabaseFailed
        """
        self._register.quarantine(Placed(header, spooled, path, None))

    def sweep(self) -> int:
        """Make this process the one that receives, and remove the unfinished files that crashes left.

        Returns
        -------
        The number of files that were removed; none of them was acknowledged.

        Raises
        ------
        StoreInUse
            Another process receives into this folder: its unfinished files must be left alone.
        """
        self._folders.lock()
        partial = [path for path in (self.folder / "incoming").iterdir() if path.is_file()]
        for path in partial:
            path.unlink()
        return len(partial)

    def close(self) -> None:
        """Let another process receive."""
        self._syncing.shutdown()
        self.rows.close()
        self._folders.unlock()

    def _place(self, file: IncomingFile, path: str) -> None:
        target = self.folder / path
        self._folders.make_durable(target.parent)
        try:
            file.move_to(target, self._syncing)
        except errors.StorageFailed:
            if target.parent.is_dir():
                raise
            self._folders.make_durable(target.parent)  # it was empty, and was removed meanwhile
            file.move_to(target, self._syncing)


class Arriving:
    """One instance on its way into the store."""

    def __init__(self, store: Store, file: IncomingFile) -> None:
        self._store, self._file = store, file
        self.write, self.discard = file.write, file.discard

    def keep(self) -> Stored:
        """Store it, see `Store.keep`."""
        return self._store.keep(self._file)
